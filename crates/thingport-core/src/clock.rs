//! The only ways to ask for the time and for random bytes. The roof provides them; tests invent them.

use thingport_model::time::Timestamp;

/// Two clocks: one that people set, one that only moves forward.
pub trait Clock: Send + Sync {
    /// Wall time. May jump in either direction (reliability promise R7): use it to stamp data only.
    fn now(&self) -> Timestamp;
    /// Milliseconds since some fixed moment; never goes back. Use it for every deadline.
    fn monotonic_ms(&self) -> u64;
}

/// Random bytes fit for tokens and keys.
pub trait Entropy: Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}
