//! An address of the control plane.
//!
//! Apart, because it decides whether a token may travel without encryption.

use std::{fmt, net::IpAddr};

use http::Uri;
use serde::{Deserialize, Serialize};

/// `https://HOST:PORT`, or `http://HOST:PORT` where the host is this machine's loopback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Uri);

impl Address {
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |a| a.as_str());
        write!(
            f,
            "{}://{authority}",
            self.0.scheme_str().unwrap_or_default()
        )
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why| Err(format!("{text:?} {why}; write https://HOST:PORT"));
        let Ok(uri) = text.parse::<Uri>() else {
            return refused("is not a URL");
        };
        if uri.port_u16().is_none_or(|port| port == 0) {
            return refused("has no port");
        }
        if uri.path() != "/" || uri.query().is_some() {
            return refused("has more than a host and a port");
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(uri.host().unwrap_or_default()) => Ok(Self(uri)),
            Some("http") => refused("would send the token unencrypted over the network"),
            _ => refused("is neither https nor http"),
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_loopback() {
        for (text, accepted) in [
            ("https://control.example:8443", true),
            ("https://10.0.0.1:8443/", true),
            ("http://127.0.0.1:8443", true),
            ("http://[::1]:8443", true),
            ("http://127.9.9.9:1", true),
            ("http://localhost:8443", false),
            ("http://10.0.0.1:8443", false),
            ("http://127.0.0.1.example:8443", false),
            ("https://control.example", false),
            ("https://control.example:0", false),
            ("https://control.example:8443/path", false),
            ("control.example:8443", false),
            ("ftp://127.0.0.1:21", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Address>().is_ok(), accepted, "{text:?}");
        }
    }

    #[test]
    fn an_address_reads_back() {
        for text in ["https://a.example:1", "http://[::1]:2"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }
}
