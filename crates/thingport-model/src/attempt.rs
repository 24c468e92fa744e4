//! A refused CONNECT as a record: how the connection was secured, which certificates were presented,
//! what was tried and where that stopped.
//!
//! Every refusal is an incident; refused logins have this part beside it. It never holds a secret:
//! certificates are public, and of a user name there is a short hash.

use core::fmt::Write as _;

use crate::id::DeviceProfileId;
use crate::time::Timestamp;

/// What a refused CONNECT showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// `TLS 1.2` or `TLS 1.3`; empty on a plain connection.
    pub tls_version: String,
    /// IANA name of the cipher suite; empty on a plain connection.
    pub cipher: String,
    /// Certificates as presented, leaf first; the first [`Self::CHAIN_MAX`] of them.
    pub chain: Vec<PresentedCertificate>,
    /// How many certificates were presented.
    pub presented: u8,
    /// Which credentials or profile were tried, and where it stopped.
    pub tried: String,
    /// The device profile whose provisioning was tried, when one was.
    pub profile: Option<DeviceProfileId>,
    /// Of the user name, so that whoever has a token finds its attempts; see [`UserNameHash`].
    pub user_name: Option<UserNameHash>,
}

/// The first eight bytes of a hash of a user name, which may be an access token.
///
/// Enough to find the attempts of a token one has; a token of twenty random letters and digits (119
/// bits) cannot be worked out from it. It is stored, compared, and never shown or logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserNameHash(pub [u8; 8]);

/// The facts of one certificate that a client presented. Nothing of it was believed but, for the
/// first of a chain, that the client holds its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// Whose it is; empty when the certificate could not be read.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Valid from; none when the certificate could not be read.
    pub not_before: Option<Timestamp>,
    /// Valid until; none when the certificate could not be read.
    pub not_after: Option<Timestamp>,
    /// Kind of its key, such as `RSA 2048`.
    pub key: String,
    /// By which device credentials and profiles name it (AU-010).
    pub fingerprint: Fingerprint,
    /// SHA-256 of its bytes, as `openssl x509 -fingerprint -sha256` prints.
    pub sha256: Fingerprint,
}

/// A hash of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Attempt {
    /// Most certificates of a chain that are kept.
    pub const CHAIN_MAX: usize = 5;

    /// The same with each text and the chain cut to what is kept.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let chain = self.chain.iter().take(Self::CHAIN_MAX);
        Self {
            tls_version: cut(&self.tls_version),
            cipher: cut(&self.cipher),
            chain: chain.map(PresentedCertificate::bounded).collect(),
            presented: self.presented,
            tried: cut(&self.tried),
            profile: self.profile,
            user_name: self.user_name,
        }
    }
}

impl PresentedCertificate {
    fn bounded(&self) -> Self {
        Self {
            subject: cut(&self.subject),
            issuer: cut(&self.issuer),
            serial: cut(&self.serial),
            key: cut(&self.key),
            ..self.clone()
        }
    }
}

impl Fingerprint {
    /// Reads 64 hexadecimal digits in any letter case, with or without colons and spaces, also
    /// behind `name=` as openssl prints it. None when it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.rsplit('=').next().unwrap_or(text);
        let mut bytes = [0; 32];
        let mut count = 0;
        for letter in digits.chars().filter(|it| !matches!(it, ':' | ' ')) {
            let digit = u8::try_from(letter.to_digit(16)?).ok()?;
            let byte = bytes.get_mut(count / 2)?;
            *byte = *byte << 4 | digit;
            count += 1;
        }
        (count == 64).then_some(Self(bytes))
    }

    /// Upper-case pairs with colons between them, as openssl prints fingerprints.
    #[must_use]
    pub fn with_colons(&self) -> String {
        let mut text = String::with_capacity(95);
        for byte in self.0 {
            let colon = if text.is_empty() { "" } else { ":" };
            // Writing to a String never fails.
            let _ = write!(text, "{colon}{byte:02X}");
        }
        text
    }
}

/// Lower-case hexadecimal, as credentials ids are written.
impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for UserNameHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("UserNameHash")
    }
}

/// Cuts `text` to [`TEXT_MAX`] bytes at a character boundary.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let mut end = TEXT_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// One line for the log: subjects and fingerprints of a chain, leaf first.
#[must_use]
pub fn chain_line(attempt: &Attempt) -> String {
    let mut line = String::new();
    for certificate in &attempt.chain {
        let arrow = if line.is_empty() { "" } else { " < " };
        // Writing to a String never fails.
        let _ = write!(line, "{arrow}{} ({})", certificate.subject, certificate.fingerprint);
    }
    cut(&line)
}

/// Most bytes kept of each text.
pub(crate) const TEXT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_however_it_was_copied() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let colons: Vec<_> = hex.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        let wanted = Fingerprint::parse(hex);
        assert_eq!(wanted.map(|it| it.to_string()).as_deref(), Some(hex));
        assert_eq!(wanted.map(|it| it.with_colons()), Some(colons.join(":").to_uppercase()));
        let rows = [
            (hex.to_uppercase(), wanted),
            (colons.join(":").to_uppercase(), wanted),
            (format!("sha256 Fingerprint={}", colons.join(":")), wanted),
            (format!(" {hex} "), wanted),
            (hex[1..].to_owned(), None),
            (format!("{hex}0"), None),
            (hex.replace('f', "g"), None),
            (String::new(), None),
        ];
        for (text, wanted) in rows {
            assert_eq!(Fingerprint::parse(&text), wanted, "{text}");
        }
    }

    #[test]
    fn an_attempt_is_cut_to_what_is_kept() {
        let long = || "x".repeat(300);
        let certificate = PresentedCertificate {
            subject: long(),
            issuer: long(),
            serial: long(),
            key: long(),
            ..PresentedCertificate::default()
        };
        let attempt = Attempt {
            tls_version: long(),
            cipher: long(),
            tried: long(),
            chain: vec![certificate; 9],
            presented: 9,
            ..Attempt::default()
        };
        let kept = attempt.bounded();
        assert_eq!((kept.chain.len(), kept.presented), (Attempt::CHAIN_MAX, 9));
        let leaf = &kept.chain[0];
        let texts = [&kept.tls_version, &kept.cipher, &kept.tried, &leaf.subject];
        let texts = texts.into_iter().chain([&leaf.issuer, &leaf.serial, &leaf.key]);
        assert!(texts.into_iter().all(|text| text.len() == TEXT_MAX));
        assert!(chain_line(&kept).len() <= TEXT_MAX);
    }
}
