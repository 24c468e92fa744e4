//! The PROXY protocol, versions 1 and 2: which client is behind a proxy (device API LS-004).
//!
//! Written from the public description of the protocol. [`parse`] is pure and never looks beyond
//! [`HEADER_MAX`] bytes; [`read`] takes exactly the header off a stream, so that TLS or MQTT finds its
//! first byte. Extensions (TLV) of version 2 are skipped: nothing of them is believed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A header, or what there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// More bytes are needed; all that were shown belong to the header.
    Partial,
    /// A header of `size` bytes.
    Complete {
        /// Bytes to take off the stream.
        size: usize,
        /// The client; none when the proxy speaks for itself, such as for a health check (LOCAL,
        /// UNKNOWN), or for a client without an IP address (UNIX).
        source: Option<SocketAddr>,
    },
}

/// Why bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin like neither version.
    Signature,
    /// The line of version 1 is not what it must be.
    Line,
    /// Longer than a header may be.
    TooLong,
    /// Version 2 with another version, command, family or length.
    Form,
}

impl HeaderError {
    /// What was found, for the journal.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Signature => "the first bytes are not those of a PROXY header",
            Self::Line => "a header of version 1 that cannot be read",
            Self::TooLong => "the header is longer than is accepted",
            Self::Form => "a header of version 2 that cannot be read",
        }
    }
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// As soon as the bytes cannot become a header.
pub fn parse(bytes: &[u8]) -> Result<Header, HeaderError> {
    let begins =
        |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, expected)| byte == expected);
    if begins(SIGNATURE_2) {
        parse_2(bytes)
    } else if begins(SIGNATURE_1) {
        parse_1(bytes)
    } else {
        Err(HeaderError::Signature)
    }
}

/// Panics when a promise of [`parse`] is broken; for fuzzing.
pub fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    for end in 0..bytes.len().min(HEADER_MAX) {
        match parse(bytes.get(..end).unwrap_or_default()) {
            // What is shown later changes nothing about a header that was complete, or was none.
            Ok(Header::Partial) => {}
            early => return assert_eq!(early, whole, "at {end}"),
        }
    }
    if let Ok(Header::Complete { size, .. }) = whole {
        assert!(size <= bytes.len() && size <= HEADER_MAX, "{size}");
    }
}

/// Takes the header off a stream, and not one byte more.
///
/// # Errors
/// The stream's trouble, or why what it begins with is no header.
pub async fn read(stream: &mut TcpStream) -> io::Result<Result<Option<SocketAddr>, HeaderError>> {
    let mut bytes = [0; HEADER_MAX];
    let mut taken = 0;
    loop {
        let Some(room) = bytes.get_mut(taken..).filter(|room| !room.is_empty()) else {
            return Ok(Err(HeaderError::TooLong));
        };
        let seen = taken + stream.peek(room).await?;
        if seen == taken {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = parse(bytes.get(..seen).unwrap_or_default());
        let size = match header {
            Ok(Header::Complete { size, .. }) => size,
            Ok(Header::Partial) => seen,
            Err(error) => return Ok(Err(error)),
        };
        // These bytes were seen, so they are there.
        stream.read_exact(bytes.get_mut(taken..size).unwrap_or_default()).await?;
        taken = size;
        if let Ok(Header::Complete { source, .. }) = header {
            return Ok(Ok(source));
        }
    }
}

fn parse_1(bytes: &[u8]) -> Result<Header, HeaderError> {
    let within = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_MAX {
            Ok(Header::Partial)
        } else {
            Err(HeaderError::TooLong)
        };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| core::str::from_utf8(line).ok()).ok_or(HeaderError::Line)?;
    let source = source_of_line(line).ok_or(HeaderError::Line)?;
    Ok(Header::Complete { size: end + 1, source })
}

/// `PROXY TCP4 source destination source-port destination-port`; the outer option is whether it reads.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    // What follows UNKNOWN is to be ignored.
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination): (IpAddr, IpAddr) =
        (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let is_of_family = |ip: &IpAddr| match family {
        "TCP4" => ip.is_ipv4(),
        "TCP6" => ip.is_ipv6(),
        _ => false,
    };
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    let fits = is_of_family(&source) && is_of_family(&destination) && words.next().is_none();
    fits.then_some(Some(SocketAddr::new(source, port)))
}

/// Digits only, and no needless nought.
fn port(word: &str) -> Option<u16> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = !word.starts_with('0') || word == "0";
    word.parse().ok().filter(|_| is_number && is_short)
}

fn parse_2(bytes: &[u8]) -> Result<Header, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<FIXED_2>() else { return Ok(Header::Partial) };
    let [.., version_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let size = FIXED_2 + length;
    if size > HEADER_MAX {
        return Err(HeaderError::TooLong);
    }
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Form),
    };
    let Some(body) = bytes.get(FIXED_2..size) else { return Ok(Header::Partial) };
    let source = match family {
        // The family of LOCAL is to be ignored.
        _ if is_local => None,
        TCP_OVER_IPV4 => Some(source_of::<4, 12>(body).ok_or(HeaderError::Form)?),
        TCP_OVER_IPV6 => Some(source_of::<16, 36>(body).ok_or(HeaderError::Form)?),
        UNSPECIFIED | UNIX_STREAM => None,
        // Datagrams do not come over TCP.
        _ => return Err(HeaderError::Form),
    };
    Ok(Header::Complete { size, source })
}

/// Source and destination address of `N` bytes each, then both ports: `ALL` bytes.
fn source_of<const N: usize, const ALL: usize>(body: &[u8]) -> Option<SocketAddr>
where
    [u8; N]: IntoIp,
{
    let addresses = body.first_chunk::<ALL>()?;
    let ip = addresses.first_chunk::<N>()?.into_ip();
    let port = addresses.get(2 * N..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

trait IntoIp {
    fn into_ip(self) -> IpAddr;
}

impl IntoIp for [u8; 4] {
    fn into_ip(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}

impl IntoIp for [u8; 16] {
    fn into_ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_2: usize = 16;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
/// Longest line of version 1, line end included.
const LINE_MAX: usize = 107;
/// Longest header that is accepted: addresses, and extensions of a proxy that tells much of its TLS.
pub const HEADER_MAX: usize = 1024;

#[cfg(test)]
mod tests;
