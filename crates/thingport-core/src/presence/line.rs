//! What a connection says of itself when somebody asks: nothing of it is kept meanwhile, so that an idle
//! connection does not pay for it.

use thingport_model::id::DeviceId;
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::{Letter, MAILBOX_MAX, Presence};

/// How a device is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `MQTT 3.1.1`, `MQTT 5`, ...
    pub protocol: &'static str,
    /// What carries it.
    pub carrier: Carrier,
    /// Address of the peer, `ip:port`.
    pub remote: String,
    /// Client id as sent, or as given to a client that sent none.
    pub client_id: String,
    /// Version and cipher suite of TLS where it ends here.
    pub tls: Option<(&'static str, &'static str)>,
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP as it is.
    Tcp,
    /// TCP with TLS.
    Tls,
    /// WebSocket, over HTTP or HTTPS.
    WebSocket,
}

/// Somebody wants to know how a device is connected.
#[derive(Debug)]
pub struct Inquiry(Sender<Line>);

impl Carrier {
    /// Lower-case word for REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
        }
    }
}

impl Inquiry {
    /// Says how.
    pub fn answer(self, line: Line) {
        // Whoever asked may have gone.
        let _ = self.0.send(line);
    }
}

/// No two are the same.
impl PartialEq for Inquiry {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Presence {
    /// Asks the connection of a device how it is connected; none when there is none. The answer comes
    /// with the connection's next turn, and never when the connection ends before.
    #[must_use]
    pub fn inquire(&self, device: DeviceId) -> Option<Receiver<Line>> {
        let connected = self.connected.pin();
        let mailbox = connected.get(&device)?;
        let (question, answer) = oneshot::channel();
        let letter = Letter::Asked(Inquiry(question));
        self.put(mailbox, letter, MAILBOX_MAX).then_some(answer)
    }
}
