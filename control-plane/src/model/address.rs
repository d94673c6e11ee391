//! Where users reach an Ingress, as its status says it, and who said so.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::key::ObjectKey;

/// An entry of `status.loadBalancer.ingress`. Addresses come before names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    Ip(IpAddr),
    Hostname(Box<str>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Hostname(name) => f.write_str(name),
        }
    }
}

/// The text is neither an IP address nor a DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither an IP address nor a DNS name in lower case")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(good)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits would be an IPv4 address that is none.
        let numeric = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if text.len() <= 253 && !numeric && text.split('.').all(label) {
            Ok(Self::Hostname(text.into()))
        } else {
            Err(AddressError)
        }
    }
}

/// The status of an Ingress as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub uid: Arc<str>,
    /// Of two of the same uid the higher is the newer; 0 if it is no number.
    pub resource_version: u64,
    pub addresses: Arc<[Address]>,
    /// Our field manager set the addresses.
    pub ours: bool,
    /// Another field manager set them.
    pub others: Option<Box<str>>,
}

/// What a watch saw of the statuses of Ingresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    Is(ObjectKey, Published),
    Gone(ObjectKey),
    /// There are these and no others.
    All(BTreeSet<ObjectKey>),
}

/// The field manager by which the API server knows what we wrote.
pub const FIELD_MANAGER: &str = "roadstead";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_or_a_dns_name() {
        for good in [
            "192.0.2.1",
            "2001:db8::1",
            "lb.example.com",
            "localhost",
            "a1.x-y",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "192.0.2.256",
            "LB.example",
            "a..b",
            "-a",
            "a_b",
            "a b",
            "1.2.3",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }
}
