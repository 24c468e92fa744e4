//! Receivers in other houses: where they are, and what is shared with them alone.

/// The URL of a receiver: `http` or `https`, a host, perhaps a port, a path and a query; 1 to 2,048
/// printable ASCII characters. No user, no password (they would be shown with the URL) and no fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl(String);

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookUrlError {
    /// Empty, or longer than 2,048 characters.
    Length,
    /// Not `http://` or `https://`.
    Scheme,
    /// A blank, a control character, a character beyond ASCII, or one that URLs write with a percent sign.
    Character,
    /// No host, or something that is none.
    Host,
    /// A port that is no number from 1 to 65535.
    Port,
    /// A user or a password in front of the host.
    User,
    /// A fragment, which is never sent.
    Fragment,
}

impl WebhookUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, WebhookUrlError> {
        use WebhookUrlError as Error;
        if text.is_empty() || text.len() > URL_MAX {
            return Err(Error::Length);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Error::Scheme)?;
        if !["http", "https"].contains(&scheme) {
            return Err(Error::Scheme);
        }
        if rest.contains('#') {
            return Err(Error::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Error::User);
        }
        check_authority(authority)?;
        if path.bytes().all(is_of_a_path) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Character)
        }
    }

    /// The URL as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port as they were written: what may be shown to whoever may know less than the
    /// whole URL, whose path and query sometimes hold secrets.
    #[must_use]
    pub fn origin(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[start..].find(['/', '?']).map_or(self.0.len(), |at| start + at);
        &self.0[..end]
    }

    /// Host as it was written; an IPv6 address is without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let origin = self.origin();
        let authority = origin.split_once("://").map_or(origin, |(_, it)| it);
        match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether the way there is encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl core::fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Some receivers are told by a secret in the path who calls.
        f.debug_tuple("WebhookUrl").field(&self.origin()).finish()
    }
}

impl WebhookUrlError {
    /// What was wrong, and what is expected instead.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Length => "is empty or longer than 2,048 characters",
            Self::Scheme => "must begin with http:// or https://",
            Self::Character => {
                "holds a character that a URL may not hold; write blanks and letters beyond ASCII \
                 with percent signs"
            }
            Self::Host => "has no host, or one that is no name and no address",
            Self::Port => "has a port that is no number from 1 to 65535",
            Self::User => {
                "has a user or a password in front of the host; put what the receiver must know into \
                 the secret"
            }
            Self::Fragment => "has a fragment (#), which is never sent",
        }
    }
}

fn check_authority(authority: &str) -> Result<(), WebhookUrlError> {
    use WebhookUrlError as Error;
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or(Error::Host)?;
            host.parse::<core::net::Ipv6Addr>().map_err(|_| Error::Host)?;
            (host, port)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(at);
            let is_of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.len() > HOST_MAX || !host.bytes().all(is_of_a_host) {
                return Err(Error::Host);
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(Error::Host);
    }
    if port.is_empty() {
        return Ok(());
    }
    let digits = port.strip_prefix(':').ok_or(Error::Host)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(1..) if is_number => Ok(()),
        _ => Err(Error::Port),
    }
}

/// What RFC 3986 allows in a path and a query.
const fn is_of_a_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'?'
        )
}

/// A text that is shared with one receiver and shown to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for keeping it, and for making signatures.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

/// Most characters of a URL.
const URL_MAX: usize = 2_048;
/// Most characters of a host name (RFC 1035).
const HOST_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let rows = [
            ("http://a", "http://a", "a", false),
            (
                "https://hooks.example.com/x?y=1",
                "https://hooks.example.com",
                "hooks.example.com",
                true,
            ),
            ("https://10.0.0.7:8443/in", "https://10.0.0.7:8443", "10.0.0.7", true),
            ("http://[fd00::7]:81/", "http://[fd00::7]:81", "fd00::7", false),
            ("http://a?b", "http://a", "a", false),
        ];
        for (text, origin, host, is_secure) in rows {
            let url = WebhookUrl::parse(text).expect(text);
            assert_eq!(
                (url.origin(), url.host(), url.is_secure()),
                (origin, host, is_secure),
                "{text}"
            );
            assert_eq!(url.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_url_of_a_receiver_is_refused() {
        use WebhookUrlError as Error;
        let long = format!("http://a/{}", "x".repeat(URL_MAX));
        let rows = [
            ("", Error::Length),
            (long.as_str(), Error::Length),
            ("hooks.example.com", Error::Scheme),
            ("ftp://a", Error::Scheme),
            ("HTTP://a", Error::Scheme),
            ("file:///etc/passwd", Error::Scheme),
            ("http://", Error::Host),
            ("http:///x", Error::Host),
            ("http://:80", Error::Host),
            ("http://a b/", Error::Host),
            ("http://[::1", Error::Host),
            ("http://[x]/", Error::Host),
            ("http://[::1]x/", Error::Host),
            ("http://a:0/", Error::Port),
            ("http://a:/", Error::Port),
            ("http://a:+80/", Error::Port),
            ("http://a:65536/", Error::Port),
            ("http://user@a/", Error::User),
            ("http://user:password@a/", Error::User),
            ("http://a/#b", Error::Fragment),
            ("http://a/b c", Error::Character),
            ("http://a/\u{e4}", Error::Character),
            ("http://a/\r\nX: y", Error::Character),
        ];
        for (text, error) in rows {
            assert_eq!(WebhookUrl::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hush".to_owned())), "Secret");
        let url = WebhookUrl::parse("https://a/hush?hush").expect("a URL");
        assert_eq!(format!("{url:?}"), "WebhookUrl(\"https://a\")");
    }
}
