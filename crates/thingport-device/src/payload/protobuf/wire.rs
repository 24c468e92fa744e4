//! The wire format of Protobuf: tags, varints, lengths. Reads forward, borrows everything.

use thingport_model::reason::Reason;

use crate::reject::Reject;

/// A stretch of a payload. Positions are those of the payload, so that faults can be found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    whole: &'a [u8],
    from: usize,
    to: usize,
}

/// The value of one field on the wire: a number, or a stretch of the payload. Two words, so that it
/// travels in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The number, or begin and end of the stretch in 32 bits each.
    bits: u64,
    is_stretch: bool,
}

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WireType {
    /// A varint.
    Varint = 0,
    /// Eight bytes.
    Fixed64 = 1,
    /// A length and so many bytes.
    Bytes = 2,
    /// The begin of a group.
    Group = 3,
    /// Four bytes.
    Fixed32 = 5,
}

/// What is wrong with the bytes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: u32,
    what: What,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Truncated,
    VarintTooLong,
    FieldNumber,
    WireType,
    GroupEnd,
    TooDeep,
    NotUtf8,
    TooMuch,
}

/// Reads a part from its begin.
#[derive(Clone, Debug)]
pub(crate) struct Wire<'a> {
    part: Part<'a>,
    rest: &'a [u8],
}

impl Raw {
    /// What stands for the default of a number, and of what has a length.
    pub(crate) const NOTHING: Self = Self::number(0);

    /// A varint, or the bits of a fixed-width number.
    pub(crate) const fn number(bits: u64) -> Self {
        Self { bits, is_stretch: false }
    }

    /// Length-delimited bytes, or what stands in a group.
    const fn of_stretch(from: usize, to: usize) -> Self {
        let bits = (narrow(from) as u64) << 32 | narrow(to) as u64;
        Self { bits, is_stretch: true }
    }

    /// The number; 0 where there is none.
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        if self.is_stretch { 0 } else { self.bits }
    }

    /// Whether it is a stretch.
    #[inline]
    pub(crate) const fn is_stretch(self) -> bool {
        self.is_stretch
    }

    /// Begin and end of the stretch.
    #[inline]
    const fn stretch(self) -> Option<(usize, usize)> {
        let to = self.bits & u32::MAX as u64;
        if self.is_stretch { Some(((self.bits >> 32) as usize, to as usize)) } else { None }
    }
}

impl<'a> Part<'a> {
    /// A whole payload.
    pub(crate) const fn of(whole: &'a [u8]) -> Self {
        Self { whole, from: 0, to: whole.len() }
    }

    /// The bytes of a value found in this part. Empty for a number, which has none.
    #[inline]
    pub(crate) fn sub(self, raw: Raw) -> Self {
        let (from, to) = raw.stretch().unwrap_or((self.to, self.to));
        Self { whole: self.whole, from, to }
    }

    /// Its bytes.
    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.whole.get(self.from..self.to).unwrap_or_default()
    }

    /// Its bytes as text.
    #[inline]
    pub(crate) fn text(self) -> Result<&'a str, Fault> {
        str::from_utf8(self.bytes())
            .map_err(|error| fault(self.from + error.valid_up_to(), What::NotUtf8))
    }

    /// A fault at its begin.
    pub(crate) const fn fault(self, what: What) -> Fault {
        fault(self.from, what)
    }
}

impl<'a> Wire<'a> {
    /// Reads a part from its begin.
    pub(crate) fn new(part: Part<'a>) -> Self {
        Self { part, rest: part.bytes() }
    }

    /// Where reading has come to.
    #[inline]
    pub(crate) const fn position(&self) -> usize {
        self.part.to - self.rest.len()
    }

    /// The next tag; none at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<u32>, Fault> {
        if let [byte @ 8..=0x7F, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(Some(u32::from(*byte)));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.long_tag().map(Some)
    }

    fn long_tag(&mut self) -> Result<u32, Fault> {
        let at = self.position();
        let tag = u32::try_from(self.varint()?).unwrap_or(0);
        // Without a number, or with one above 2^29 - 1.
        if tag >> 3 == 0 { Err(fault(at, What::FieldNumber)) } else { Ok(tag) }
    }

    /// The next varint.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        if let [byte @ 0..=0x7F, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value: u64 = 0;
        for (index, byte) in self.rest.iter().take(VARINT_MAX).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                if index == VARINT_MAX - 1 && *byte > 1 {
                    break;
                }
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let what = if self.rest.len() < VARINT_MAX { What::Truncated } else { What::VarintTooLong };
        Err(self.fault(what))
    }

    /// The value of the field whose tag was just read.
    #[inline(always)]
    pub(crate) fn value(&mut self, tag: u32) -> Result<Raw, Fault> {
        match WireType::of(tag) {
            Some(WireType::Varint) => Ok(Raw::number(self.varint()?)),
            Some(WireType::Fixed64) => Ok(Raw::number(self.fixed64()?)),
            Some(WireType::Fixed32) => Ok(Raw::number(u64::from(self.fixed32()?))),
            Some(WireType::Bytes) => self.delimited(),
            Some(WireType::Group) => self.group(tag >> 3),
            None => {
                let is_end = tag & 7 == GROUP_END;
                Err(self.fault(if is_end { What::GroupEnd } else { What::WireType }))
            }
        }
    }

    /// Eight bytes.
    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Fault> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or_else(|| self.fault(What::Truncated))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// Four bytes.
    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Fault> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or_else(|| self.fault(What::Truncated))?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// Whether nothing is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    fn delimited(&mut self) -> Result<Raw, Fault> {
        let length = self.varint()?;
        let from = self.position();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.rest = self.rest.get(length..).ok_or_else(|| self.fault(What::Truncated))?;
        Ok(Raw::of_stretch(from, from + length))
    }

    /// Goes behind the end of the group of this number; gives what stands in it.
    #[cold]
    fn group(&mut self, number: u32) -> Result<Raw, Fault> {
        let from = self.position();
        let mut open = [0; DEPTH_MAX];
        let mut depth = 0;
        *open.first_mut().unwrap_or(&mut 0) = number;
        loop {
            let to = self.position();
            let tag = self.tag()?.ok_or_else(|| self.fault(What::Truncated))?;
            match tag & 7 {
                GROUP_END if open.get(depth) != Some(&(tag >> 3)) => {
                    return Err(self.fault(What::GroupEnd));
                }
                GROUP_END if depth == 0 => return Ok(Raw::of_stretch(from, to)),
                GROUP_END => depth -= 1,
                GROUP => {
                    depth += 1;
                    *open.get_mut(depth).ok_or_else(|| self.fault(What::TooDeep))? = tag >> 3;
                }
                _ => drop(self.value(tag)?),
            }
        }
    }

    /// A fault where reading has come to.
    #[cold]
    pub(crate) const fn fault(&self, what: What) -> Fault {
        fault(self.position(), what)
    }
}

impl WireType {
    /// The wire type in a tag; none for the end of a group and what does not exist.
    #[inline]
    pub(crate) const fn of(tag: u32) -> Option<Self> {
        match tag & 7 {
            0 => Some(Self::Varint),
            1 => Some(Self::Fixed64),
            2 => Some(Self::Bytes),
            3 => Some(Self::Group),
            5 => Some(Self::Fixed32),
            _ => None,
        }
    }

    /// The tag of a field of this wire type.
    pub(crate) const fn tag(self, number: u32) -> u32 {
        number << 3 | self as u32
    }
}

impl What {
    const fn reason(self) -> Reason {
        match self {
            Self::TooDeep => Reason::PayloadTooDeep,
            Self::TooMuch => Reason::PayloadTooManyKeys,
            _ => Reason::PayloadNotProtobuf,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Truncated => "the message ends in the middle of a field",
            Self::VarintTooLong => "a varint has more than 64 bits",
            Self::FieldNumber => "a field number is not between 1 and 536870911",
            Self::WireType => "a wire type that does not exist",
            Self::GroupEnd => "the end of a group that was not begun",
            Self::TooDeep => "more than 16 messages in each other",
            Self::NotUtf8 => "a string is not UTF-8",
            Self::TooMuch => "the message becomes too large when its defaults are filled in",
        }
    }
}

impl From<Fault> for Reject {
    #[cold]
    fn from(fault: Fault) -> Self {
        let detail = format!("{} at byte {}", fault.what.sentence(), fault.at);
        Self::new(fault.what.reason(), detail)
    }
}

#[cold]
const fn fault(at: usize, what: What) -> Fault {
    Fault { at: narrow(at), what }
}

/// Payloads are far below 4 GiB; a larger one would be cut off, never misread.
#[inline]
#[allow(clippy::cast_possible_truncation)]
const fn narrow(at: usize) -> u32 {
    if at > u32::MAX as usize { u32::MAX } else { at as u32 }
}

/// Deepest nesting of messages.
pub(crate) const DEPTH_MAX: usize = 16;
/// Longest varint in bytes.
const VARINT_MAX: usize = 10;
const GROUP: u32 = WireType::Group as u32;
const GROUP_END: u32 = 4;
