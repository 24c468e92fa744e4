//! Why a certificate or a key cannot be used: what was found, what was expected, what to do.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with the server's TLS material. Never holds anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There is no such file.
    Missing(PathBuf),
    /// The system does not let us read it, or write it.
    Inaccessible(PathBuf, String),
    /// More bytes than certificates take.
    TooLarge(PathBuf),
    /// It looks like PEM and is not.
    NotPem(PathBuf, String),
    /// No block of the kind looked for; the kinds that were found.
    NoCertificate(PathBuf, Vec<String>),
    /// As above, for the private key.
    NoKey(PathBuf, Vec<String>),
    /// The certificate with this number, from one, cannot be read.
    BadCertificate(PathBuf, usize, String),
    /// The private key cannot be read or is of a kind TLS has no use for.
    BadKey(PathBuf),
    /// Encrypted the way of OpenSSL before PKCS#8.
    LegacyEncryption(PathBuf),
    /// Encrypted PKCS#8 with an algorithm we do not have.
    UnknownEncryption(PathBuf),
    /// The key is encrypted and no passphrase was given.
    NoPassphrase(PathBuf),
    /// The passphrase given does not open it.
    WrongPassphrase(PathBuf),
    /// An RSA key with so many bits.
    WeakKey(PathBuf, usize),
    /// The key belongs to no certificate of the file.
    OtherKey(PathBuf, PathBuf),
    /// The key belongs to the certificate with this number, from one, and not to the first.
    NotFirst(PathBuf, usize),
    /// A certificate could not be made.
    CannotMake(String),
    /// It may not be overwritten.
    Exists(PathBuf),
    /// Two files of one command would be this one.
    SameName(PathBuf),
    /// There is no CA to sign with.
    NoCa(PathBuf),
    /// The certificate of this subject may not sign others.
    NotACa(PathBuf, String),
    /// It should be renewed, and the key of the CA is gone.
    NoCaKey(PathBuf),
}

impl fmt::Display for Problem {
    #[expect(clippy::too_many_lines, reason = "one sentence per case, nothing else")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(file) => write!(f, "{} does not exist", file.display()),
            Self::Inaccessible(file, why) => write!(f, "{}: {why}", file.display()),
            Self::TooLarge(file) => {
                let file = file.display();
                write!(f, "{file} is larger than {FILE_MAX} bytes; give a PEM file with one chain")
            }
            Self::NotPem(file, why) => {
                write!(f, "{} is damaged: {why}; write it anew in PEM", file.display())
            }
            Self::NoCertificate(file, found) => write!(
                f,
                "{0} holds no certificate in PEM{1}; a DER file is turned into PEM with: \
                 openssl x509 -inform DER -in {0} -out certificate.pem",
                file.display(),
                but(found),
            ),
            Self::NoKey(file, found) => write!(
                f,
                "{} holds no private key in PEM{}; name the file with the key in tls.key",
                file.display(),
                but(found),
            ),
            Self::BadCertificate(file, number, why) => {
                write!(f, "{}: certificate {number} cannot be read: {why}", file.display())
            }
            Self::BadKey(file) => write!(
                f,
                "{}: the private key cannot be used; expected RSA from 2048 to 8192 bits, ECDSA \
                 P-256, P-384 or P-521, or Ed25519, in PKCS#8, PKCS#1 or SEC1",
                file.display()
            ),
            Self::LegacyEncryption(file) => write!(
                f,
                "{0}: the private key is encrypted in OpenSSL's old form (Proc-Type); turn it into \
                 PKCS#8 with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {0} -out key.pem",
                file.display()
            ),
            Self::UnknownEncryption(file) => write!(
                f,
                "{0}: the private key is encrypted with an algorithm that is not supported; write \
                 it anew with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {0} -out key.pem",
                file.display()
            ),
            Self::NoPassphrase(file) => write!(
                f,
                "{}: the private key is encrypted and there is no passphrase; set \
                 tls.key_passphrase_file",
                file.display()
            ),
            Self::WrongPassphrase(file) => write!(
                f,
                "{}: the passphrase does not open the private key; check tls.key_passphrase or \
                 tls.key_passphrase_file",
                file.display()
            ),
            Self::WeakKey(file, bits) => write!(
                f,
                "{}: an RSA key of {bits} bits is too weak; expected at least {RSA_BITS_MIN}, and \
                 ECDSA P-256 is quicker",
                file.display()
            ),
            Self::OtherKey(certificate, key) => write!(
                f,
                "the private key in {} does not belong to the certificate in {}; give the pair that \
                 was made together",
                key.display(),
                certificate.display()
            ),
            Self::NotFirst(file, number) => write!(
                f,
                "{}: the private key belongs to certificate {number} of the file; put the server's \
                 certificate first and the CAs after it",
                file.display()
            ),
            Self::CannotMake(why) => write!(f, "a certificate could not be made: {why}"),
            Self::Exists(file) => {
                let file = file.display();
                write!(f, "{file} exists; give --force to overwrite it, or another --out DIR")
            }
            Self::SameName(file) => {
                let file = file.display();
                write!(f, "two of the files would be called {file}; give another --name")
            }
            Self::NoCa(file) => write!(
                f,
                "{} does not exist; make a CA with `thingport certs ca`, or name one with --ca FILE",
                file.display()
            ),
            Self::NotACa(file, subject) => write!(
                f,
                "{}: the certificate of {subject} is not a CA's, so nothing it signs is trusted; give \
                 the CA's own certificate",
                file.display()
            ),
            Self::NoCaKey(file) => write!(
                f,
                "the server certificate must be renewed, and the key of its CA is gone: put {} \
                 back, or remove the folder to begin with a new CA that every device must be given",
                file.display()
            ),
        }
    }
}

/// What was found instead, if anything.
fn but(found: &[String]) -> String {
    match found {
        [] => String::new(),
        kinds => format!(", but {}", kinds.join(", ")),
    }
}

/// Bytes; a chain of ten RSA certificates with a key takes a tenth.
pub(crate) const FILE_MAX: u64 = 256 * 1024;
/// What the TLS library accepts, and what may be called safe.
pub(crate) const RSA_BITS_MIN: usize = 2048;
