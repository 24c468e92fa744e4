//! Why a session ends: close codes and texts.

/// A close code and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: u16,
    pub(super) text: &'static str,
}

pub(super) const fn end(code: u16, text: &'static str) -> End {
    End { code, text }
}

/// What to tell a client whose message could not be read.
pub(super) fn broken(fault: &axum::Error) -> End {
    let mut source: Option<&dyn std::error::Error> = Some(fault);
    while let Some(it) = source {
        // The protocol library tells a message too long from a broken one in words only.
        if it.to_string().contains("too long") {
            return TOO_LONG;
        }
        source = it.source();
    }
    end(PROTOCOL, "the message breaks the WebSocket protocol")
}

pub(super) const PROTOCOL: u16 = 1002;
pub(super) const INVALID: u16 = 1007;
pub(super) const POLICY: u16 = 1008;
pub(super) const TOO_BIG: u16 = 1009;
pub(super) const UNEXPECTED: u16 = 1011;
pub(super) const RESTART: u16 = 1012;
pub(super) const NO_PONG: u16 = 4500;
pub(super) const TOO_LONG: End = end(TOO_BIG, "the message is too long");
