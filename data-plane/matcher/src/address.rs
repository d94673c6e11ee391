//! Addresses that no user of a cluster may lead a proxy to.
//!
//! Here, because both planes ask: the control plane of what an EndpointSlice lists, and a proxy
//! of what the name of an external upstream leads to, at each connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is of the proxy's own machine, of its link, or of a cloud's metadata
/// service, in whatever form it is written.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => is_local_v6(address),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    address.octets().first() == Some(&0)
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_unspecified()
        || address.is_loopback()
        || address.is_unicast_link_local()
        || address.is_multicast()
        || METADATA_V6.contains(&address)
        || embedded_v4(address).is_some_and(is_local_v4)
}

/// The IPv4 address that a translator or tunnel would send this to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // NAT64's well-known prefix (RFC 6052), a network's own (RFC 8215) as it is mostly cut,
        // and the deprecated IPv4-compatible form.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        // 6to4.
        [0x2002, high, low, ..] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

/// Metadata services outside the link-local range: Alibaba Cloud, Azure and Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Amazon EC2 and Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_address_is_told_in_every_spelling() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(is_local(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn other_addresses_are_not() {
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "93.184.216.34",
            "2606:2800:220:1::1",
            "fd12:3456::1",
            "64:ff9b::5db8:d822",
            "100.64.0.1",
        ] {
            assert!(!is_local(address.parse().unwrap()), "{address}");
        }
    }
}
