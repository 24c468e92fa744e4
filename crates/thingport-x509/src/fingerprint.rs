//! The hashes by which credentials and certificates are known.

use core::fmt::Write as _;

use base64::Engine as _;
use sha3::{Digest, Sha3_256};

/// Lower-case hexadecimal SHA3-256 of `text` without certificate frame and line breaks (AU-010).
#[must_use]
pub fn hash_one(text: &str) -> String {
    let bare = CERTIFICATE_FRAME.iter().fold(text.to_owned(), |bare, mark| bare.replace(mark, ""));
    hash_bytes(bare.as_bytes())
}

/// Lower-case hexadecimal SHA3-256.
pub(crate) fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha3_256::digest(bytes))
}

/// [`hash_one`] of the non-empty ones of both texts, joined by a vertical bar (AU-011).
#[must_use]
pub fn hash_two(client_id: &str, user_name: &str) -> String {
    match (client_id.is_empty(), user_name.is_empty()) {
        (false, false) => hash_one(&format!("{client_id}|{user_name}")),
        (true, _) => hash_one(user_name),
        (_, true) => hash_one(client_id),
    }
}

/// Both hashes of a certificate by its DER bytes, whether it can be read or not: that of
/// [`hash_one`] over its base64 text (AU-010), and SHA-256.
#[must_use]
pub fn digests(der: &[u8]) -> [[u8; 32]; 2] {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    [Sha3_256::digest(text.as_bytes()).into(), sha256_digest(der)]
}

fn sha256_digest(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    // SHA-256 has 32 bytes, always.
    digest.as_ref().try_into().unwrap_or_default()
}

/// SHA-256 over the DER bytes as `openssl x509 -fingerprint -sha256` prints it: upper-case pairs with
/// colons between them.
pub(crate) fn sha256(der: &[u8]) -> String {
    let digest = sha256_digest(der);
    let mut text = String::with_capacity(3 * digest.len());
    for byte in digest {
        let colon = if text.is_empty() { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(HEX[usize::from(digit)])).collect()
}

const CERTIFICATE_FRAME: [&str; 4] =
    ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "\r", "\n"];
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha3_256_in_lower_case() {
        // Test vector of FIPS 202 for the three letters abc.
        let abc = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532";
        assert_eq!(hash_one("abc"), abc);
        let framed = "-----BEGIN CERTIFICATE-----\r\na\nbc\n-----END CERTIFICATE-----\n";
        assert_eq!(hash_one(framed), abc);
        let [first, second] = digests(b"any bytes");
        assert_eq!(hex(&first), hash_one("YW55IGJ5dGVz"));
        assert_eq!(sha256(b"any bytes").replace(':', "").to_lowercase(), hex(&second));
        for (client, user, same_as) in [("abc", "", "abc"), ("", "abc", "abc"), ("a", "b", "a|b")] {
            assert_eq!(hash_two(client, user), hash_one(same_as), "{client} {user}");
        }
    }
}
