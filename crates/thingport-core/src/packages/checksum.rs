//! Checksums of packages, taken while the data pass by.
//!
//! The texts are those of ThingsBoard and of the devices that compare them: numbers stand with their
//! lowest byte first.

use core::hash::Hasher as _;

use md5::Md5;
use mur3::{Hasher32, Hasher128};
use sha2::{Digest, Sha256, Sha384, Sha512};
use thingport_model::ota::ChecksumAlgorithm;

/// A checksum that is being taken.
pub(super) enum Checksum {
    Md5(Md5),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Crc32(crc32fast::Hasher),
    Murmur32(Hasher32),
    Murmur128(Hasher128),
}

impl Checksum {
    pub(super) fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Md5 => Self::Md5(Md5::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha384 => Self::Sha384(Sha384::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
            ChecksumAlgorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            ChecksumAlgorithm::Murmur32 => Self::Murmur32(Hasher32::with_seed(0)),
            ChecksumAlgorithm::Murmur128 => Self::Murmur128(Hasher128::with_seed(0)),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(it) => it.update(bytes),
            Self::Sha256(it) => it.update(bytes),
            Self::Sha384(it) => it.update(bytes),
            Self::Sha512(it) => it.update(bytes),
            Self::Crc32(it) => it.update(bytes),
            Self::Murmur32(it) => it.write(bytes),
            Self::Murmur128(it) => it.write(bytes),
        }
    }

    /// Lower-case hexadecimal.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Md5(it) => hex(&it.finalize()),
            Self::Sha256(it) => hex(&it.finalize()),
            Self::Sha384(it) => hex(&it.finalize()),
            Self::Sha512(it) => hex(&it.finalize()),
            Self::Crc32(it) => hex(&it.finalize().to_le_bytes()),
            Self::Murmur32(it) => hex(&it.finish32().to_le_bytes()),
            Self::Murmur128(it) => {
                let (first, second) = it.finish128();
                hex(&[first.to_le_bytes(), second.to_le_bytes()].concat())
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with hashlib, zlib and mmh3 of Python from `bytes(i * 7 % 251 for i in range(length))`.
    #[test]
    fn the_texts_are_those_that_devices_compare() {
        for line in include_str!("../../testdata/checksums.tsv").lines() {
            let mut columns = line.split('\t');
            let mut column = || columns.next().expect("three columns");
            let algorithm = ChecksumAlgorithm::from_name(column()).expect("a name");
            let length: u32 = column().parse().expect("a number");
            let expected = column();
            let data: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            for piece in [1, 3, 15, 16, 17, 1000] {
                let mut checksum = Checksum::new(algorithm);
                data.chunks(piece).for_each(|bytes| checksum.update(bytes));
                assert_eq!(checksum.finish(), expected, "{} of {length}", algorithm.name());
            }
        }
    }
}
