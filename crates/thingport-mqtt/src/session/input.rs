//! The bytes a session reads from: the caller's buffer, joined with a kept remainder if there is one.

use std::borrow::Cow;

/// Bytes to be read with [`Session::poll_event`](crate::session::Session::poll_event) and given
/// back with [`Session::keep`](crate::session::Session::keep).
#[derive(Debug)]
#[must_use = "give it back with Session::keep, or the bytes not read are lost"]
pub struct Input<'b> {
    pub(super) bytes: Cow<'b, [u8]>,
    pub(super) read: usize,
}

impl<'b> Input<'b> {
    /// Joins a remainder with what has just been read. Without a remainder nothing is copied.
    pub(super) fn join(mut kept: Vec<u8>, bytes: &'b [u8]) -> Self {
        if kept.is_empty() {
            return Self { bytes: Cow::Borrowed(bytes), read: 0 };
        }
        kept.extend_from_slice(bytes);
        Self { bytes: Cow::Owned(kept), read: 0 }
    }

    /// How many bytes are read, for [`Self::read_since`].
    pub const fn position(&self) -> usize {
        self.read
    }

    /// What was read behind that position: whole packets, unless the last one broke a rule.
    pub fn read_since(&self, position: usize) -> &[u8] {
        self.bytes.get(position..self.read).unwrap_or_default()
    }

    /// Bytes not read yet.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// What was not read, as bytes that last. An owned buffer of which nothing was read is handed
    /// on as it is, so that a packet which arrives in many pieces is not copied for each.
    pub(super) fn into_rest(self) -> Vec<u8> {
        match self.bytes {
            Cow::Owned(bytes) if self.read == 0 => bytes,
            bytes => bytes.get(self.read..).unwrap_or_default().to_vec(),
        }
    }
}
