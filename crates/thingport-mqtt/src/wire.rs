//! The primitive forms: integers, strings, binary data. Nothing here reads past its slice.

use crate::violation::Violation;

/// Reads primitive forms from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Violation::BodyTooShort)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Violation> {
        let (first, rest) = self.rest.split_first().ok_or(Violation::BodyTooShort)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn two_bytes(&mut self) -> Result<u16, Violation> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Violation::BodyTooShort)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*taken))
    }

    pub(crate) fn four_bytes(&mut self) -> Result<u32, Violation> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Violation::BodyTooShort)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    /// A variable byte integer inside a version 5 packet: shortest form only (F-7).
    pub(crate) fn variable(&mut self) -> Result<u32, Violation> {
        match read_variable(self.rest)? {
            None => Err(Violation::BodyTooShort),
            Some((value, used)) if used != variable_len(value) => Err(Violation::LengthNotShortest),
            Some((value, used)) => {
                self.take(used)?;
                Ok(value)
            }
        }
    }

    /// Two bytes of length, then that many bytes.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Violation> {
        let length = self.two_bytes()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 string without U+0000 (F-8). U+FEFF and other control characters are data (F-9, F-15).
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, Violation> {
        text(self.binary()?)
    }

    /// A packet identifier, which is never 0 (F-10).
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<u16, Violation> {
        match self.two_bytes()? {
            0 => Err(Violation::PacketIdZero),
            id => Ok(id),
        }
    }

    /// Says that every field has been read (F-6).
    pub(crate) const fn finish(&self) -> Result<(), Violation> {
        if self.rest.is_empty() { Ok(()) } else { Err(Violation::BodyTooLong) }
    }
}

/// Checks a string of the wire.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Violation> {
    let text = core::str::from_utf8(bytes).map_err(|_| Violation::BadUtf8)?;
    if bytes.contains(&0) { Err(Violation::NulInString) } else { Ok(text) }
}

/// Reads a variable byte integer and says how many bytes it took. `None` when bytes are missing;
/// an error as soon as the fourth byte announces a fifth (F-4).
#[inline]
pub(crate) fn read_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Violation> {
    match bytes {
        [low @ ..0x80, ..] => Ok(Some((u32::from(*low), 1))),
        [low, high @ ..0x80, ..] => Ok(Some((u32::from(*low & 0x7F) | u32::from(*high) << 7, 2))),
        _ => read_long_variable(bytes),
    }
}

fn read_long_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Violation> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Violation::LengthTooLong) }
}

/// Bytes a variable byte integer takes in its shortest form.
pub(crate) const fn variable_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends a variable byte integer in its shortest form. The value is below [`VARIABLE_MAX`].
pub(crate) fn write_variable(out: &mut Vec<u8>, mut value: u32) {
    debug_assert!(value <= VARIABLE_MAX, "callers bound what they write");
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends two bytes of length and the bytes, cut off at 65,535.
pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

/// Appends first byte and remaining length.
pub(crate) fn write_header(out: &mut Vec<u8>, first: u8, remaining: usize) {
    out.push(first);
    write_variable(out, u32::try_from(remaining).unwrap_or(VARIABLE_MAX));
}

/// Bytes of a whole packet with that remaining length.
pub(crate) fn packet_len(remaining: usize) -> usize {
    1 + variable_len(u32::try_from(remaining).unwrap_or(VARIABLE_MAX)) + remaining
}

/// Largest variable byte integer.
pub(crate) const VARIABLE_MAX: u32 = 268_435_455;
