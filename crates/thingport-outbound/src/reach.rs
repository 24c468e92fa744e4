//! Which addresses the house may call.
//!
//! A URL is set by a tenant's administrator and called by the server, which stands where the administrator
//! perhaps does not: beside databases that trust their own machine, and beside the address from which
//! clouds hand out their keys. So the machine itself and whatever is only reachable from its own link are
//! refused unless the operator allows them; other networks, private ones among them, are where receivers
//! stand, and are allowed unless the operator refuses them.
//!
//! It is asked for the address a name was resolved to, just before it is connected to: a name that is
//! resolved to something else the next time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thingport_core::guard::Network;

/// Which addresses may be called.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Always, whatever the rest says.
    pub allowed: Vec<Network>,
    /// Never, unless allowed.
    pub refused: Vec<Network>,
}

impl Reach {
    /// Whether `ip` may be called. An IPv6 address that stands for an IPv4 address is judged as that one.
    #[must_use]
    pub fn permits(&self, ip: IpAddr) -> bool {
        let ip = meant(ip);
        let holds = |networks: &[Network]| networks.iter().any(|it| it.contains(ip));
        holds(&self.allowed) || !(holds(&self.refused) || is_near(ip))
    }
}

/// The IPv4 address behind its forms in IPv6: mapped, compatible, NAT64 and 6to4.
fn meant(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0, 0, 0, 0, 0, 0] if !matches!((g, h), (0, 0 | 1)) => v4(g, h),
        [0x2002, ..] => v4(b, c),
        _ => ip,
    }
}

/// The machine itself, its own link, groups, and where clouds answer their machines alone.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.octets()[0] == 0
                || v4.octets()[0] >= 240
                || CLOUD_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6 == CLOUD_V6
        }
    }
}

/// Metadata of clouds outside the link-local network: Azure, Alibaba, Oracle.
const CLOUD_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Metadata of Amazon's cloud over IPv6.
const CLOUD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|it| Network::parse(it).expect("a network")).collect()
    }

    fn check(reach: &Reach, rows: &[(&str, bool)]) {
        for (ip, permitted) in rows {
            assert_eq!(reach.permits(ip.parse().expect("an address")), *permitted, "{ip}");
        }
    }

    #[test]
    fn the_machine_itself_and_its_link_are_out_of_reach() {
        let rows = [
            ("93.184.216.34", true),
            ("10.1.2.3", true),
            ("192.168.1.1", true),
            ("fd12::1", true),
            ("2606:2800:220:1::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("168.63.129.16", false),
            ("100.100.100.200", false),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00:ec2::254", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("::127.0.0.1", false),
            ("64:ff9b::169.254.169.254", false),
            ("2002:7f00:1::", false),
        ];
        check(&Reach::default(), &rows);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let near = Reach { allowed: networks(&["127.0.0.0/8", "::1"]), ..Reach::default() };
        check(&near, &[("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.1", true)]);
        check(&near, &[("169.254.169.254", false), ("10.0.0.1", true)]);
        let public = Reach { refused: networks(&["10.0.0.0/8", "fc00::/7"]), ..Reach::default() };
        check(&public, &[("10.0.0.1", false), ("fd12::1", false), ("11.0.0.1", true)]);
        let these_alone = Reach {
            allowed: networks(&["192.168.7.0/24"]),
            refused: networks(&["0.0.0.0/0", "::/0"]),
        };
        let rows = [("192.168.7.9", true), ("192.168.8.9", false), ("2606::1", false)];
        check(&these_alone, &rows);
    }
}
