//! Whose move it is when something went wrong.

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device or its firmware did something wrong.
    Device,
    /// Somebody who administers devices did something, or must.
    Operator,
    /// The server could not do its part.
    Server,
    /// The network or the peer went away.
    Network,
    /// Nobody's: the normal end of something.
    Nobody,
}

impl Fault {
    /// Lower-case word for REST and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Operator => "operator",
            Self::Server => "server",
            Self::Network => "network",
            Self::Nobody => "nobody",
        }
    }
}
