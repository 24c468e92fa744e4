//! Whole numbers in the shortest of four forms: all equal, offsets from the least, differences in as
//! many bits as the widest needs, or differences as varints.

use crate::codec::{Cursor, put_signed, put_varint, unzigzag, zigzag};

/// Appends a column; its length is the reader's to know.
pub(crate) fn encode(numbers: &[i64], out: &mut Vec<u8>) {
    let Some(first) = numbers.first().copied() else { return };
    if numbers.iter().all(|number| *number == first) {
        out.push(CONSTANT);
        put_signed(out, first);
        return;
    }
    let plan = Plan::of(numbers);
    match plan.form {
        OFFSETS => {
            out.push(OFFSETS | plan.width << 2);
            put_signed(out, plan.least);
            pack(
                numbers.iter().map(|it| it.wrapping_sub(plan.least).cast_unsigned()),
                plan.width,
                out,
            );
        }
        DIFFERENCES => {
            out.push(DIFFERENCES | plan.width << 2);
            put_signed(out, first);
            pack(differences(numbers).map(zigzag), plan.width, out);
        }
        _ => {
            out.push(VARINTS);
            put_signed(out, first);
            differences(numbers).for_each(|it| put_varint(out, zigzag(it)));
        }
    }
}

/// Reads a column of `count` numbers to the end of `out`.
pub(crate) fn decode(rest: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let form = rest.byte()?;
    let first = rest.signed()?;
    let width = form >> 2;
    match form & 3 {
        CONSTANT => out.resize(out.len() + count, first),
        OFFSETS => {
            let bits = Bits::new(rest, count, width)?;
            out.extend(bits.map(|it| first.wrapping_add(it.cast_signed())));
        }
        DIFFERENCES => {
            let bits = Bits::new(rest, count - 1, width)?;
            let mut last = first;
            out.push(first);
            out.extend(bits.map(|it| {
                last = last.wrapping_add(unzigzag(it));
                last
            }));
        }
        _ => {
            let mut last = first;
            out.push(first);
            for _ in 1..count {
                last = last.wrapping_add(unzigzag(rest.varint()?));
                out.push(last);
            }
        }
    }
    Some(())
}

fn differences(numbers: &[i64]) -> impl Iterator<Item = i64> {
    numbers.iter().zip(numbers.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a))
}

struct Plan {
    form: u8,
    width: u8,
    least: i64,
}

impl Plan {
    fn of(numbers: &[i64]) -> Self {
        let least = numbers.iter().copied().min().unwrap_or(0);
        let span = numbers.iter().map(|it| it.wrapping_sub(least).cast_unsigned());
        let offset_width = bits_of(span.max().unwrap_or(0));
        let steps = || differences(numbers).map(zigzag);
        let step_width = bits_of(steps().max().unwrap_or(0));
        let varints: usize = steps().map(|it| usize::from(bits_of(it)).div_ceil(7).max(1)).sum();
        let offsets = packed_len(numbers.len(), offset_width);
        let packed = packed_len(numbers.len() - 1, step_width);
        if varints < offsets.min(packed) {
            Self { form: VARINTS, width: 0, least }
        } else if packed < offsets {
            Self { form: DIFFERENCES, width: step_width, least }
        } else {
            Self { form: OFFSETS, width: offset_width, least }
        }
    }
}

/// Bits a number needs.
const fn bits_of(number: u64) -> u8 {
    (64 - number.leading_zeros()) as u8
}

const fn packed_len(count: usize, width: u8) -> usize {
    if width > WIDTH_MAX { usize::MAX } else { (count * width as usize).div_ceil(8) }
}

fn pack(numbers: impl Iterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0_u128, 0);
    for number in numbers {
        held |= u128::from(number) << bits;
        bits += u32::from(width);
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// Packed numbers being read.
struct Bits<'a> {
    bytes: &'a [u8],
    left: usize,
    width: u32,
    held: u128,
    bits: u32,
}

impl<'a> Bits<'a> {
    fn new(rest: &mut Cursor<'a>, count: usize, width: u8) -> Option<Self> {
        let bytes = rest.bytes(packed_len(count, width))?;
        Some(Self { bytes, left: count, width: u32::from(width), held: 0, bits: 0 })
    }
}

impl Iterator for Bits<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        while self.bits < self.width {
            let (chunk, count) = match self.bytes.split_first_chunk::<8>() {
                Some((chunk, rest)) if self.bits <= 64 => {
                    self.bytes = rest;
                    (u64::from_le_bytes(*chunk), 64)
                }
                _ => {
                    let (byte, rest) = self.bytes.split_first()?;
                    self.bytes = rest;
                    (u64::from(*byte), 8)
                }
            };
            self.held |= u128::from(chunk) << self.bits;
            self.bits += count;
        }
        let number = self.held as u64 & ((1_u64 << self.width) - 1);
        self.held >>= self.width;
        self.bits -= self.width;
        Some(number)
    }
}

const CONSTANT: u8 = 0;
const OFFSETS: u8 = 1;
const DIFFERENCES: u8 = 2;
const VARINTS: u8 = 3;
/// Widest packing; what needs more is kept as varints.
const WIDTH_MAX: u8 = 56;
