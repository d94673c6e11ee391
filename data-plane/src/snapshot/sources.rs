//! Load balancers that say for whom they connect.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

/// Networks whose connections begin with a header of the PROXY protocol. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Arc<[IpNet]>);

impl Sources {
    /// Whether the address is in one of them. IPv4 may be written as IPv6, as a socket of both
    /// families has it.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromIterator<IpNet> for Sources {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_for_in_the_networks_of_its_own_family() {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        let sources: Sources = networks.iter().map(|net| net.parse().unwrap()).collect();
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("::ffff:10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::10.255.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(sources.contains(address), is_in, "{address}");
            assert!(!Sources::default().contains(address));
        }
    }
}
