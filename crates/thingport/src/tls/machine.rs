//! The names under which devices may know this machine.

use std::net::IpAddr;

/// `localhost`, the name of the machine, its addresses, and `given` before all of them.
pub(crate) fn names(given: &[String]) -> Vec<String> {
    let mut names = given.to_vec();
    names.push("localhost".to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    if is_host_name(&host) {
        // Under this one the neighbours find it, without any name server.
        if !host.contains('.') {
            names.push(format!("{host}.local"));
        }
        names.push(host);
    }
    names.extend(["127.0.0.1", "::1"].map(str::to_owned));
    // A machine that does not tell its addresses still has its names.
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<_> = found.iter().map(if_addrs::Interface::ip).collect();
    addresses.sort_unstable();
    names.extend(addresses.into_iter().filter(is_lasting).map(|address| address.to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names.truncate(NAMES_MAX);
    names
}

fn is_host_name(host: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(is_right)
}

/// Whether it can be dialled from elsewhere: an address of a link means nothing without its link.
fn is_lasting(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !four.is_link_local() && !four.is_unspecified(),
        IpAddr::V6(six) => !six.is_unicast_link_local() && !six.is_unspecified(),
    }
}

/// A machine with containers has many addresses; a certificate that lists them all helps nobody.
const NAMES_MAX: usize = 64;
