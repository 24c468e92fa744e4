//! A segment read forward, in large pieces.

use std::io;

use crate::disk::DiskFile;

/// A stretch of a segment in memory. It moves forward only, and holds what is asked for at once.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Bytes of the file.
    pub(crate) len: usize,
    /// Where `bytes` starts in the file.
    from: usize,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        Ok(Self { file, len, from: 0, bytes: Vec::new() })
    }

    /// The same of the first `len` bytes alone.
    pub(crate) fn of_first(file: &'a dyn DiskFile, len: u64) -> io::Result<Self> {
        let whole = Self::new(file)?;
        let len = whole.len.min(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(Self { len, ..whole })
    }

    /// The bytes `at..at + len` of the file; fewer where it ends.
    pub(crate) fn slice(&mut self, at: usize, len: usize) -> io::Result<&[u8]> {
        let end = at.saturating_add(len).min(self.len);
        if at < self.from || end > self.from + self.bytes.len() {
            let len = len.max(WINDOW).min(self.len.saturating_sub(at));
            self.bytes.clear();
            self.bytes.resize(len, 0);
            self.bytes.shrink_to(WINDOW.max(len)); // a large group is rare
            let read = self.file.read_at(at as u64, &mut self.bytes)?;
            self.bytes.truncate(read);
            self.from = at;
        }
        let bytes = self.bytes.get(at - self.from..).unwrap_or_default();
        Ok(&bytes[..len.min(bytes.len())])
    }
}

/// Bytes read at once.
const WINDOW: usize = 512 * 1024;
