//! The secrets of a device, to be left out of its trace wherever they turn up: a client that puts its
//! token into the topic or the client id shows nothing by it.

use core::fmt;

/// Texts that nobody may read.
#[derive(Clone, Default)]
pub(super) struct Scrub {
    secrets: Vec<Box<str>>,
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.secrets.len())
    }
}

impl Scrub {
    /// Remembers a secret; of many, the latest.
    pub(super) fn learn(&mut self, secret: &str) {
        if secret.is_empty() || self.secrets.iter().any(|known| **known == *secret) {
            return;
        }
        if self.secrets.len() >= SECRETS_MAX {
            self.secrets.remove(0);
        }
        self.secrets.push(secret.into());
        // A secret that is a part of another must not leave the rest of that one.
        self.secrets.sort_by_key(|it| core::cmp::Reverse(it.len()));
    }

    /// Replaces secrets in a text; whether there was any.
    pub(super) fn text(&self, text: &mut String) -> bool {
        let mut found = false;
        for secret in &self.secrets {
            if text == &**secret || (secret.len() >= PART_MIN && text.contains(&**secret)) {
                *text = text.replace(&**secret, REDACTED);
                found = true;
            }
        }
        found
    }

    /// Replaces secrets in bytes; whether there was any.
    pub(super) fn bytes(&self, bytes: &mut Vec<u8>) -> bool {
        let mut found = false;
        for secret in self.secrets.iter().map(|it| it.as_bytes()) {
            if bytes == secret {
                REDACTED.as_bytes().clone_into(bytes);
                found = true;
            } else if secret.len() >= PART_MIN {
                while let Some(at) = bytes.windows(secret.len()).position(|it| it == secret) {
                    bytes.splice(at..at + secret.len(), REDACTED.bytes());
                    found = true;
                }
            }
        }
        found
    }
}

/// What stands where a secret stood.
pub const REDACTED: &str = "***";
/// Secrets remembered for one device.
const SECRETS_MAX: usize = 16;
/// A shorter secret is hidden where it stands alone: looked for everywhere, it would hide the trace.
const PART_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(secrets: &[&str]) -> Scrub {
        let mut scrub = Scrub::default();
        secrets.iter().for_each(|secret| scrub.learn(secret));
        scrub
    }

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let rows = [
            (&["TOKEN"][..], "a/TOKEN/b", "a/***/b", true),
            (&["TOKEN", "TOKEN-2"], "TOKEN-2 TOKEN", "*** ***", true),
            (&["abc"], "abc", "***", true),
            (&["abc"], "abcd", "abcd", false),
            (&["TOKEN"], "token", "token", false),
            (&[""], "", "", false),
        ];
        for (secrets, before, after, found) in rows {
            let scrub = scrub(secrets);
            let (mut text, mut bytes) = (before.to_owned(), before.as_bytes().to_vec());
            assert_eq!((scrub.text(&mut text), &*text), (found, after), "{before}");
            assert_eq!((scrub.bytes(&mut bytes), &*bytes), (found, after.as_bytes()), "{before}");
        }
        assert!(!format!("{:?}", scrub(&["TOKEN"])).contains("TOKEN"));
    }

    #[test]
    fn of_many_secrets_the_latest_are_remembered() {
        let mut scrub = Scrub::default();
        for number in 0..SECRETS_MAX * 2 {
            scrub.learn(&format!("secret-{number:04}"));
        }
        assert_eq!(scrub.secrets.len(), SECRETS_MAX);
        assert!(scrub.text(&mut format!("secret-{:04}", SECRETS_MAX * 2 - 1)));
    }
}
