//! A TLS handshake, done by the library over buffers of ours.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, HandshakeKind, ServerConfig};
use thingport_model::security::Security;

use super::records::Records;
use super::{Read, put, server};

/// A handshake under way.
pub(super) struct Handshake {
    /// None once it is finished.
    session: Option<UnbufferedServerConnection>,
}

/// What a handshake came to.
pub(super) struct Done {
    pub(super) records: Records,
    pub(super) security: Box<Security>,
    pub(super) is_resumed: bool,
}

impl Handshake {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { session: Some(UnbufferedServerConnection::new(config)?) })
    }

    /// Lets the library go through the records, and adds its answers to `wire`. It may find
    /// application data behind the handshake. The library remembers places in what is not used up:
    /// that must come again, with more behind it.
    pub(super) fn process(
        &mut self,
        input: &mut [u8],
        used: &mut usize,
        into: &mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<Read, Error> {
        let mut read = Read::default();
        let Some(session) = &mut self.session else { return Ok(read) };
        loop {
            let rest = input.get_mut(*used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = session.process_tls_records(rest);
            *used += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        *used += record.discard;
                        read.plain += put(record.payload, into, read.plain)?;
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, wire)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => read.ended = true,
                // Nothing further until more comes; early data is not offered.
                _ => return Ok(read),
            }
        }
    }

    /// The protection of records that was agreed on, once the handshake is completed.
    pub(super) fn finish(&mut self) -> Result<Option<Done>, Error> {
        let Some(session) = self.session.take_if(|session| !session.is_handshaking()) else {
            return Ok(None);
        };
        let security = server::security(&session);
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let (secrets, keys) = session.dangerous_into_kernel_connection()?;
        Ok(Some(Done { records: Records::new(secrets, keys)?, security, is_resumed }))
    }

    /// Sends the alert that the library has ready after an error, and nothing else.
    pub(super) fn tell(&mut self, mut rest: &mut [u8], wire: &mut Vec<u8>) {
        let Some(session) = &mut self.session else { return };
        // It must not look at the rest again.
        while session.wants_write() {
            let UnbufferedStatus { discard, state } = session.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            if encode(&mut data, wire).is_err() {
                return;
            }
            rest = rest.get_mut(discard..).unwrap_or_default();
        }
    }
}

fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    wire: &mut Vec<u8>,
) -> Result<(), Error> {
    let at = wire.len();
    let mut size = FLIGHT;
    loop {
        wire.resize(at + size, 0);
        match data.encode(wire.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                wire.truncate(at + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > size => {
                size = needed.required_size;
            }
            Err(error) => {
                wire.truncate(at);
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

/// Room that holds most messages of a handshake.
const FLIGHT: usize = 1024;
