//! Private keys in PEM: PKCS#8, PKCS#1, SEC1 and PKCS#8 under a passphrase.

use std::path::Path;

use pem::Pem;
use pkcs8::pkcs5;
use pkcs8::{EncryptedPrivateKeyInfoRef, Error};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::problem::Problem;

/// The first private key among `blocks`, which were found in `file`.
pub(crate) fn find(
    file: &Path,
    blocks: &[Pem],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, Problem> {
    let Some(block) = blocks.iter().find(|block| block.tag().ends_with("PRIVATE KEY")) else {
        let found = blocks.iter().map(|block| block.tag().to_owned()).collect();
        return Err(Problem::NoKey(file.to_owned(), found));
    };
    if block.headers().get("Proc-Type").is_some_and(|kind| kind.contains("ENCRYPTED")) {
        return Err(Problem::LegacyEncryption(file.to_owned()));
    }
    let bytes = block.contents().to_vec();
    match block.tag() {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(bytes).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(bytes).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(bytes).into()),
        "ENCRYPTED PRIVATE KEY" => decrypt(file, &bytes, passphrase),
        _ => Err(Problem::BadKey(file.to_owned())),
    }
}

fn decrypt(
    file: &Path,
    bytes: &[u8],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, Problem> {
    let file = || file.to_owned();
    let sealed = EncryptedPrivateKeyInfoRef::try_from(bytes)
        .map_err(|_| Problem::UnknownEncryption(file()))?;
    let passphrase = passphrase.ok_or_else(|| Problem::NoPassphrase(file()))?;
    match sealed.decrypt(passphrase) {
        Ok(plain) => Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into()),
        // With a wrong passphrase the padding is wrong, or by chance right around bytes that are no key.
        Err(Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | Error::Asn1(_)) => {
            Err(Problem::WrongPassphrase(file()))
        }
        Err(_) => Err(Problem::UnknownEncryption(file())),
    }
}
