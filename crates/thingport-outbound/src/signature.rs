//! How a receiver knows that a request is this house's and not an old one.
//!
//! Every request to a receiver that has a secret carries
//!
//! ```text
//! X-Thingport-Signature: t=1764104722,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd
//! ```
//!
//! `t` is the moment of sending in seconds since 1970. `v1` is the HMAC-SHA256, in lower-case hexadecimal
//! digits, over the digits of `t`, a full stop, and the body as it was received; its key is the secret's
//! UTF-8 text. A receiver makes the same and compares (in constant time), refuses a `t` that is more than
//! five minutes away from its own clock, and overlooks members it does not know.

use aws_lc_rs::hmac;
use thingport_model::time::Timestamp;
use thingport_model::webhook::Secret;

/// The value of `X-Thingport-Signature` for `body` sent `at`.
#[must_use]
pub fn signature(secret: &Secret, at: Timestamp, body: &[u8]) -> String {
    let seconds = at.ms().div_euclid(1_000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    signed.update(seconds.as_bytes());
    signed.update(b".");
    signed.update(body);
    let mut value = format!("t={seconds},v1=");
    for byte in signed.sign().as_ref() {
        value.push(hex(byte >> 4));
        value.push(hex(byte & 15));
    }
    value
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_comes_to_the_same() {
        // printf '1764104722.{"a":1}' | openssl dgst -sha256 -hmac hush
        let secret = Secret::new("hush".to_owned());
        let value = signature(&secret, Timestamp(1_764_104_722_999), br#"{"a":1}"#);
        assert_eq!(
            value,
            "t=1764104722,v1=831cc5354468c60828da6e0dc58c0b0bf2b682b2c17c61cbc843ed67213368a3"
        );
    }
}
