//! Addresses that have a prefix in common.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network as CIDR writes it: `10.0.0.0/8`, `2001:db8::/32`. Two that are the same are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is not a network, or hardly the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} is no network; write it as 10.0.0.0/8 or 2001:db8::/32")]
    Malformed(String),
    #[error("{0} is an address; write {net}, which is that address alone", net = IpNet::from(*.0))]
    Address(IpAddr),
    #[error(
        "{0} has bits behind its prefix; write {net}, or {address} for that address alone",
        net = .0.trunc(), address = IpNet::from(.0.addr())
    )]
    HostBits(IpNet),
    /// Whoever has such an address is known by its IPv4 address.
    #[error("{0} is IPv4 written as IPv6; write the IPv4 network")]
    Mapped(IpNet),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Ok(net) = text.parse::<IpNet>() else {
            return Err(match text.parse() {
                Ok(address) => NetworkError::Address(address),
                Err(_) => NetworkError::Malformed(text.to_owned()),
            });
        };
        if net.addr().to_canonical() != net.addr() {
            return Err(NetworkError::Mapped(net));
        }
        if net.trunc() != net {
            return Err(NetworkError::HostBits(net));
        }
        Ok(Self(net))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_as_it_was_read() {
        for good in [
            "10.0.0.0/8",
            "192.0.2.1/32",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::1/128",
            "::/0",
        ] {
            let network: Network = good.parse().unwrap();
            assert_eq!(network.to_string(), good);
            let stored = serde_json::to_string(&network).unwrap();
            assert_eq!(stored, format!("{good:?}"));
            assert_eq!(serde_json::from_str::<Network>(&stored).unwrap(), network);
        }
        assert_eq!(
            "2001:DB8:0::/32".parse::<Network>(),
            "2001:db8::/32".parse()
        );
    }

    #[test]
    fn what_is_no_network_or_hardly_meant_is_refused_with_what_to_write() {
        for (bad, said) in [
            ("", "\"\" is no network; write it as 10.0.0.0/8"),
            ("lb.example", "\"lb.example\" is no network"),
            ("10.0.0.0/33", "\"10.0.0.0/33\" is no network"),
            ("10.0.0/8", "\"10.0.0/8\" is no network"),
            ("::/129", "\"::/129\" is no network"),
            ("10.0.0.7", "write 10.0.0.7/32, which is that address alone"),
            ("::1", "write ::1/128"),
            (
                "10.0.0.7/8",
                "write 10.0.0.0/8, or 10.0.0.7/32 for that address alone",
            ),
            ("2001:db8::1/32", "write 2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "write the IPv4 network"),
        ] {
            let error = bad.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }
}
