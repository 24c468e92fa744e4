//! The certificate board: what expires when.

/// A certificate of this server, as the roof knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Whether it is the CA's.
    pub is_ca: bool,
    /// DER.
    pub der: Vec<u8>,
}
