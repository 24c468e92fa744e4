//! Secrets in what devices say: members of bodies that nobody but the addressee may read.
//!
//! Made for people who look at messages, right ones and wrong ones: a claim that went to a wrong topic,
//! or is broken JSON, still holds its secret. So texts are searched, not parsed, and what looks like the
//! value of such a member is replaced.

/// Whether a member of this name holds a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    NAMES.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Replaces the values of secret members; whether there was any.
pub fn redact(body: &mut Vec<u8>) -> bool {
    let mut found = false;
    for name in NAMES {
        let mut from = 0;
        while let Some(end) = find(body, name.as_bytes(), from) {
            from = end;
            let Some((start, len)) = value_behind(body, end) else { continue };
            body.splice(start..start + len, REDACTED.iter().copied());
            from = start + REDACTED.len();
            found = true;
        }
    }
    found
}

/// The same in a text.
pub fn redact_text(text: &mut String) -> bool {
    let mut bytes = core::mem::take(text).into_bytes();
    let found = redact(&mut bytes);
    // Whole values were replaced by ASCII, so it is UTF-8 as before.
    *text = String::from_utf8(bytes).unwrap_or_default();
    found
}

/// The end of the next occurrence of a name, in any letter case.
fn find(body: &[u8], name: &[u8], from: usize) -> Option<usize> {
    let mut windows = body.get(from..)?.windows(name.len());
    Some(windows.position(|it| it.eq_ignore_ascii_case(name))? + from + name.len())
}

/// Start and length of the value behind the name that ends at `at`, without quotation marks. None when
/// no value follows.
fn value_behind(body: &[u8], at: usize) -> Option<(usize, usize)> {
    let at = skip(body, at, |byte| b"\"'\\".contains(&byte) || byte.is_ascii_whitespace());
    let at = body.get(at).filter(|byte| b":=".contains(byte)).map(|_| at + 1)?;
    let at = skip(body, at, |byte| byte == b'\\' || byte.is_ascii_whitespace());
    let start = at + usize::from(body.get(at).is_some_and(|byte| b"\"'".contains(byte)));
    let end = match body.get(at) {
        Some(quote) if start > at => end_of_text(body, start, *quote),
        _ => skip(body, start, |byte| !b",;&}] \t\r\n".contains(&byte)),
    };
    Some((start, end - start))
}

fn skip(body: &[u8], from: usize, is_one: impl Fn(u8) -> bool) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_one(*byte)).unwrap_or(rest.len())
}

/// Where a text ends that began with this quotation mark: before the next one that is not escaped, or
/// at the end.
fn end_of_text(body: &[u8], from: usize, quote: u8) -> usize {
    let mut is_escaped = false;
    for (at, byte) in body.iter().enumerate().skip(from) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if *byte == quote => return at,
            _ => {}
        }
    }
    body.len()
}

const NAMES: &[&str] =
    &["secretKey", "provisionDeviceKey", "provisionDeviceSecret", "credentialsValue"];
const REDACTED: &[u8] = b"***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_members_are_replaced_in_whatever_shape_they_are() {
        let rows = [
            (r#"{"secretKey":"abc","durationMs":5}"#, r#"{"secretKey":"***","durationMs":5}"#),
            (r#"{"SECRETKEY" : "a\"b\\" , "x":1}"#, r#"{"SECRETKEY" : "***" , "x":1}"#),
            (r#"{"secretKey":12,"x":1}"#, r#"{"secretKey":***,"x":1}"#),
            (r#"{"secretKey":"abc"#, r#"{"secretKey":"***"#),
            ("secretKey=abc&x=1", "secretKey=***&x=1"),
            ("{'secretKey': 'abc'}", "{'secretKey': '***'}"),
            (
                r#"{"provisionDeviceKey":"k","provisionDeviceSecret":"s"}"#,
                r#"{"provisionDeviceKey":"***","provisionDeviceSecret":"***"}"#,
            ),
            (r#"{"a":"{\"secretKey\":\"abc\"}"}"#, r#"{"a":"{\"secretKey\":\"***"}"#),
            (r#"{"secretKey":"a","secretKey":"b"}"#, r#"{"secretKey":"***","secretKey":"***"}"#),
        ];
        for (before, after) in rows {
            let mut text = before.to_owned();
            assert!(redact_text(&mut text), "{before}");
            assert_eq!(text, after, "{before}");
        }
        for clean in ["", "{}", r#"{"temperature":21.5}"#, "secretKey", r#"["secretKey"]"#] {
            let mut text = clean.to_owned();
            assert!(!redact_text(&mut text), "{clean}");
            assert_eq!(text, clean);
        }
        assert!(is_secret("SecretKey") && !is_secret("secret"));
    }
}
