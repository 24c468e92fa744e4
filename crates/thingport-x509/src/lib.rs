//! Certificates of devices: read, named, hashed and judged.
//!
//! Pure: the moment of a judgement is an argument, nothing here opens a file or a socket. Input is
//! bounded ([`input::INPUT_MAX`], [`input::CERTIFICATES_MAX`]) and never makes us panic.
//!
//! Start at [`input`] for what people paste, at [`certificate`] for what a certificate says, at
//! [`chain`] for whether a CA stands behind it.

pub mod certificate;
pub mod chain;
pub mod crl;
pub mod error;
pub mod fingerprint;
pub mod fuzzing;
mod guess;
pub mod input;
mod key;
pub mod moment;
mod name;
pub mod pattern;
pub mod roots;
mod signature;
#[cfg(test)]
mod workshop;
