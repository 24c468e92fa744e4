//! Records of a TLS stream after its handshake.
//!
//! The library keeps some 2.2 KiB for a connection whose handshake is over, most of them for a
//! handshake. It hands the keys out, for kernels that do TLS; here they go to the library's own
//! protection of records, which does all cryptography: nonces, additional data, padding, limits of
//! sizes. What remains to be done is to find records in the stream and to count them, to take alerts
//! and changes of keys, and to change ours in time (RFC 8446, sections 4.6.3, 5 and 6; RFC 5246,
//! sections 6.2 and 7.2).

mod fuzzing;

pub use self::fuzzing::check;

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    InvalidMessage, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
};

use super::{Read, put};

/// The protection of a stream's records.
pub(super) struct Records {
    suite: SupportedCipherSuite,
    decrypter: Box<dyn MessageDecrypter>,
    /// Number of the next record that comes.
    read_seq: u64,
    encrypter: Box<dyn MessageEncrypter>,
    /// Number of the next record that goes.
    write_seq: u64,
    /// Makes the next keys of TLS 1.3; other versions keep theirs.
    keys: Option<Box<KernelConnection<ServerConnectionData>>>,
    /// Records since the last one that carried anything.
    fruitless: u8,
}

impl Records {
    /// # Errors
    /// When the suite is one whose keys are not known here; there is none such.
    pub(super) fn new(
        secrets: ExtractedSecrets,
        keys: KernelConnection<ServerConnectionData>,
    ) -> Result<Self, Error> {
        let suite = keys.negotiated_cipher_suite();
        let is_v13 = keys.protocol_version() == ProtocolVersion::TLSv1_3;
        let ((write_seq, write), (read_seq, read)) = (secrets.tx, secrets.rx);
        let mut records = Self {
            suite,
            decrypter: decrypter(suite, read)?,
            read_seq,
            encrypter: encrypter(suite, write)?,
            write_seq: 0,
            keys: is_v13.then(|| Box::new(keys)),
            fruitless: 0,
        };
        if write_seq > 0 {
            // The encrypter guards against numbers that come twice, and takes its first one for 0.
            // What it makes of it here is never sent.
            records.write(ContentType::Alert, &[], &mut Vec::new())?;
            records.write_seq = write_seq;
        }
        Ok(records)
    }
}

/// Reading.
impl Records {
    /// Decrypts every whole record in place and copies its content; what has to be answered is added
    /// to `wire`.
    pub(super) fn open(
        &mut self,
        input: &mut [u8],
        used: &mut usize,
        into: &mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<Read, Error> {
        let mut read = Read::default();
        while !read.ended {
            let rest = input.get_mut(*used..).unwrap_or_default();
            let Some((message, size)) = whole(rest)? else { break };
            if self.keys.is_some() && message.typ != ContentType::ApplicationData {
                return Err(Error::InappropriateMessage {
                    expect_types: vec![ContentType::ApplicationData],
                    got_type: message.typ,
                });
            }
            let InboundPlainMessage { typ, payload, .. } =
                self.decrypter.decrypt(message, self.read_seq)?;
            self.read_seq += 1;
            *used += size;
            match typ {
                ContentType::ApplicationData if !payload.is_empty() => {
                    read.plain += put(payload, into, read.plain)?;
                    self.fruitless = 0;
                    continue;
                }
                ContentType::ApplicationData => {}
                ContentType::Alert => read.ended = self.hear(payload)?,
                ContentType::Handshake if payload.first() == Some(&KEY_UPDATE) => {
                    let request = *payload.get(4..).and_then(<[u8]>::first).unwrap_or(&u8::MAX);
                    if payload != [KEY_UPDATE, 0, 0, 1, request] {
                        return Err(InvalidMessage::InvalidKeyUpdate.into());
                    }
                    self.change_keys(request, wire)?;
                }
                // Sessions are not negotiated again (L-18).
                _ => return Err(PeerMisbehaved::TooManyRenegotiationRequests.into()),
            }
            self.fruitless += 1;
            if self.fruitless > FRUITLESS_MAX {
                return Err(PeerMisbehaved::TooManyEmptyFragments.into());
            }
        }
        Ok(read)
    }

    /// Takes an alert; whether it was a goodbye.
    fn hear(&self, payload: &[u8]) -> Result<bool, Error> {
        let &[level, description] = payload else {
            return Err(InvalidMessage::TrailingData("Alert").into());
        };
        let is_warning = match self.keys {
            // In TLS 1.3 the level says nothing.
            Some(_) => description == u8::from(AlertDescription::UserCanceled),
            None => level == WARNING,
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => Ok(true),
            _ if is_warning => Ok(false),
            alert => Err(Error::AlertReceived(alert)),
        }
    }

    /// The peer uses its next keys from here, and may ask us to do so, too.
    fn change_keys(&mut self, request: u8, wire: &mut Vec<u8>) -> Result<(), Error> {
        let Some(keys) = &mut self.keys else {
            return Err(PeerMisbehaved::TooManyRenegotiationRequests.into());
        };
        let (seq, secrets) = keys.update_rx_secret()?;
        self.decrypter = decrypter(self.suite, secrets)?;
        self.read_seq = seq;
        match request {
            NOT_REQUESTED => Ok(()),
            REQUESTED => self.change_own_keys(wire),
            _ => Err(InvalidMessage::InvalidKeyUpdate.into()),
        }
    }
}

/// Writing.
impl Records {
    /// Encrypts.
    pub(super) fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        for piece in plain.chunks(CONTENT_MAX) {
            if self.write_seq >= self.limit() {
                self.change_own_keys(wire)?;
            }
            self.write(ContentType::ApplicationData, piece, wire)?;
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub(super) fn say_goodbye(&mut self, wire: &mut Vec<u8>) {
        self.alert(WARNING, AlertDescription::CloseNotify, wire);
    }

    /// Sends the alert that goes with an error.
    pub(super) fn tell(&mut self, error: &Error, wire: &mut Vec<u8>) {
        let description = match error {
            Error::AlertReceived(_) => return,
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            Error::General(_) => AlertDescription::InternalError,
            _ => AlertDescription::UnexpectedMessage,
        };
        self.alert(FATAL, description, wire);
    }

    fn alert(&mut self, level: u8, description: AlertDescription, wire: &mut Vec<u8>) {
        // The stream is closed next, whether or not this works.
        let _ = self.write(ContentType::Alert, &[level, description.into()], wire);
    }

    fn write(&mut self, typ: ContentType, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let payload = OutboundChunks::Single(plain);
        // Also TLS 1.3 writes this version.
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let sealed = self.encrypter.encrypt(message, self.write_seq)?;
        self.write_seq += 1;
        wire.extend_from_slice(&sealed.encode());
        Ok(())
    }

    /// How many records one key may protect.
    const fn limit(&self) -> u64 {
        match self.suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        }
    }

    /// Uses our next keys from here.
    fn change_own_keys(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        // TLS 1.2 has no next ones.
        let mut keys = self.keys.take().ok_or(Error::EncryptError)?;
        self.write(ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, NOT_REQUESTED], wire)?;
        let (seq, secrets) = keys.update_tx_secret()?;
        self.encrypter = encrypter(self.suite, secrets)?;
        self.write_seq = seq;
        self.keys = Some(keys);
        Ok(())
    }
}

/// The record at the beginning, once all of it is there, and its size.
fn whole(bytes: &mut [u8]) -> Result<Option<(InboundOpaqueMessage<'_>, usize)>, Error> {
    let Some((&mut [typ, major, minor, high, low], rest)) = bytes.split_first_chunk_mut() else {
        return Ok(None);
    };
    if major != TLS_MAJOR {
        return Err(InvalidMessage::InvalidContentType.into());
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > SEALED_MAX {
        return Err(Error::PeerSentOversizedRecord);
    }
    let Some(payload) = rest.get_mut(..length) else { return Ok(None) };
    let version = ProtocolVersion::from(u16::from_be_bytes([major, minor]));
    Ok(Some((InboundOpaqueMessage::new(typ.into(), version, payload), HEADER + length)))
}

fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv, fixed) = parts(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            suite.aead_alg.decrypter(key, iv.as_ref().get(..fixed).unwrap_or_default())
        }
    })
}

fn encrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv, fixed) = parts(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(fixed);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    })
}

/// Key, start of the nonces, and how much of that TLS 1.2 does not send with each record.
fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv, usize), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => Ok((key, iv, GCM_FIXED)),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            let whole = iv.as_ref().len();
            Ok((key, iv, whole))
        }
        _ => Err(Error::General("keys of a suite that is not known here".to_owned())),
    }
}

/// Type, version and length.
const HEADER: usize = 5;
/// First byte of every version since SSL 3.
const TLS_MAJOR: u8 = 3;
/// Content of one record.
const CONTENT_MAX: usize = 16 * 1024;
/// The same protected, at most (RFC 5246, section 6.2.3).
const SEALED_MAX: usize = CONTENT_MAX + 2048;
/// Records in a row that carry nothing.
const FRUITLESS_MAX: u8 = 32;
/// Bytes of a nonce of AES-GCM in TLS 1.2 that are not sent (RFC 5288).
const GCM_FIXED: usize = 4;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
/// The handshake message that announces the sender's next keys.
const KEY_UPDATE: u8 = 24;
const NOT_REQUESTED: u8 = 0;
const REQUESTED: u8 = 1;
