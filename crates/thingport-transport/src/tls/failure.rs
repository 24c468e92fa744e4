//! What went wrong with TLS, in words that say whose move it is.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use thingport_model::reason::Reason;

use super::client::Unusable;

/// Why a stream cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It went away; the detail is the system's.
    Lost(String),
    /// TLS does not work with this peer.
    Refused(Box<Failure>),
}

/// What is worth an incident.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Refused(Box::new(failure))
    }
}

/// Whether the first bytes of a connection begin a TLS handshake. No MQTT connection begins like this.
pub(crate) fn speaks_tls(first: &[u8]) -> bool {
    match first {
        [HANDSHAKE] => true,
        [HANDSHAKE, version, ..] => *version == TLS_MAJOR,
        _ => false,
    }
}

/// Refuses a peer that speaks no TLS.
pub(super) fn check_first(bytes: &[u8]) -> Result<(), Broken> {
    let (reason, detail) = match bytes {
        // Content types of TLS.
        [20..=23, ..] | [] => return Ok(()),
        [0x10, ..] => (Reason::PlainOnTlsPort, "it began with an MQTT CONNECT packet".to_owned()),
        [first, _, 0x01, ..] if first & 0x80 != 0 => {
            (Reason::TlsVersionTooOld, "it began with the hello of SSL 2".to_owned())
        }
        [letters @ .., _] if bytes.len() > 4 && is_text(letters) => {
            (Reason::PlainOnTlsPort, "it began with text, such as an HTTP request".to_owned())
        }
        [first, ..] => (Reason::PlainOnTlsPort, format!("its first byte was 0x{first:02x}")),
    };
    Err(Failure { reason, detail }.into())
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().take(4).all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The peer went away in the middle of the handshake.
pub(super) fn left(error: Option<&io::Error>) -> Broken {
    let detail = error.map_or_else(|| "it closed the connection".to_owned(), ToString::to_string);
    Failure { reason: Reason::TlsHandshakeAborted, detail }.into()
}

/// A record or message is longer than what is kept of it.
pub(super) fn too_long(max: usize) -> Broken {
    let detail = format!("a message of the handshake is longer than {max} bytes");
    Failure { reason: Reason::TlsMalformed, detail }.into()
}

/// What an error of the library means for people.
pub(super) fn refused(error: &Error, is_handshaking: bool) -> Broken {
    let (reason, detail) = match error {
        Error::AlertReceived(alert) => {
            let detail = format!("the client sent the alert {}", name(*alert));
            (alerted(*alert, is_handshaking), detail)
        }
        Error::PeerIncompatible(what) => (incompatible(what), error.to_string()),
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            (Reason::TlsVersionTooOld, "it asked for SSL 2 or less".to_owned())
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            let detail = "the signature does not verify with the certificate's key".to_owned();
            (Reason::ClientKeyWrong, detail)
        }
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            let unusable = other.0.downcast_ref::<Unusable>();
            let detail = unusable.map_or_else(|| error.to_string(), ToString::to_string);
            (Reason::ClientCertificateUnusable, detail)
        }
        Error::InvalidCertificate(_) => (Reason::ClientCertificateUnusable, error.to_string()),
        Error::General(_) | Error::FailedToGetRandomBytes | Error::FailedToGetCurrentTime => {
            (Reason::Internal, error.to_string())
        }
        _ => (Reason::TlsMalformed, error.to_string()),
    };
    Failure { reason, detail }.into()
}

const fn alerted(alert: AlertDescription, is_handshaking: bool) -> Reason {
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => Reason::ServerCertificateRejected,
        AlertDescription::ProtocolVersion => Reason::TlsVersionTooOld,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            Reason::TlsNoCommonCipher
        }
        // So does a client that trusts a CA of the same name with another key.
        AlertDescription::DecryptError if is_handshaking => Reason::ServerCertificateRejected,
        _ if is_handshaking => Reason::TlsHandshakeAborted,
        _ => Reason::ConnectionLost,
    }
}

const fn incompatible(what: &PeerIncompatible) -> Reason {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => Reason::TlsVersionTooOld,
        _ => Reason::TlsNoCommonCipher,
    }
}

/// The name the standard gives to an alert, such as `unknown_ca`, and its number.
fn name(alert: AlertDescription) -> String {
    let words = alert.as_str().unwrap_or("unknown");
    let mut name = String::with_capacity(words.len() + 8);
    let mut was_lower = false;
    for letter in words.chars() {
        if letter.is_ascii_uppercase() && was_lower {
            name.push('_');
        }
        was_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    format!("{name} ({})", u8::from(alert))
}

/// Content type of handshake records.
const HANDSHAKE: u8 = 0x16;
/// First byte of every version since SSL 3.
const TLS_MAJOR: u8 = 0x03;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(broken: Broken) -> (Reason, String) {
        match broken {
            Broken::Refused(failure) => (failure.reason, failure.detail),
            Broken::Lost(detail) => (Reason::ConnectionLost, detail),
        }
    }

    #[test]
    fn alerts_have_the_standards_names_and_say_who_is_to_move() {
        use AlertDescription as A;
        let rows = [
            (A::UnknownCA, Reason::ServerCertificateRejected, "unknown_ca (48)"),
            (A::BadCertificate, Reason::ServerCertificateRejected, "bad_certificate (42)"),
            (A::CertificateUnknown, Reason::ServerCertificateRejected, "certificate_unknown (46)"),
            (A::CertificateExpired, Reason::ServerCertificateRejected, "certificate_expired (45)"),
            (A::DecryptError, Reason::ServerCertificateRejected, "decrypt_error (51)"),
            (A::ProtocolVersion, Reason::TlsVersionTooOld, "protocol_version (70)"),
            (A::HandshakeFailure, Reason::TlsNoCommonCipher, "handshake_failure (40)"),
            (A::InternalError, Reason::TlsHandshakeAborted, "internal_error (80)"),
            (A::Unknown(222), Reason::TlsHandshakeAborted, "unknown (222)"),
        ];
        for (alert, reason, name) in rows {
            let (found, detail) = told(refused(&Error::AlertReceived(alert), true));
            assert_eq!(found, reason, "{alert:?}");
            assert!(detail.ends_with(name), "{detail}");
        }
    }

    #[test]
    fn the_first_bytes_tell_who_speaks_no_tls() {
        use Reason::{PlainOnTlsPort as Plain, TlsVersionTooOld as Old};
        let rows: [(&[u8], _); 7] = [
            (&[0x16, 3, 1], None),
            (&[0x15, 3, 1], None),
            (&[0x10, 12, 0, 4], Some((Plain, "CONNECT"))),
            (b"GET / HTTP/1.1\r\n", Some((Plain, "HTTP"))),
            (&[0x80, 0x2e, 0x01, 0, 2], Some((Old, "SSL 2"))),
            (&[0x00], Some((Plain, "0x00"))),
            (&[0xff, 0xff, 0xff], Some((Plain, "0xff"))),
        ];
        for (bytes, expected) in rows {
            let found = check_first(bytes).err().map(told);
            match (found, expected) {
                (None, None) => {}
                (Some((reason, detail)), Some((expected, word))) => {
                    assert_eq!(reason, expected, "{bytes:?}");
                    assert!(detail.contains(word), "{detail}");
                }
                (found, _) => panic!("{bytes:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_tls_client_on_the_plain_port_is_known_by_its_first_byte() {
        let rows: [(&[u8], bool); 5] = [
            (&[0x16], true),
            (&[0x16, 3, 1, 2, 0], true),
            (&[0x16, 4], false),
            (&[0x10, 3], false),
            (&[], false),
        ];
        for (bytes, expected) in rows {
            assert_eq!(speaks_tls(bytes), expected, "{bytes:?}");
        }
    }
}
