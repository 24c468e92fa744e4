//! What is known of a secured connection: the outcome of its TLS handshake.

/// The outcome of a TLS handshake, kept until the client was let in or refused.
///
/// The client has proven to hold the key of `chain[0]`; nothing else of the chain was judged yet.
/// That is done at CONNECT, so that a refusal has a code and a reason.
#[derive(Clone, PartialEq, Eq)]
pub struct Security {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher: &'static str,
    /// Certificates as the client presented them, DER, leaf first; empty when it presented none. At
    /// most [`Self::CHAIN_MAX`].
    pub chain: Vec<Box<[u8]>>,
}

impl Security {
    /// Most certificates of a chain that are looked at.
    pub const CHAIN_MAX: usize = 10;
}

impl core::fmt::Debug for Security {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Certificates are long and say nothing as bytes.
        f.debug_struct("Security")
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("certificates", &self.chain.len())
            .finish()
    }
}
