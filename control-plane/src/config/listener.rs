//! The ports that proxies open, and on what terms clients are taken there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZero;

use serde::Deserialize;

use crate::config::{ConfigError, defaults};
use crate::model::network::Network;
use crate::model::settings::{self, Protocol};
use crate::model::tls_policy::{CipherSuite, DefaultCertificate, TlsPolicy, TlsVersion};

/// A port that the proxies open.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listener {
    /// The address to listen on. Default: `::`, which is all addresses of both families.
    #[serde(default = "defaults::any_address")]
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// `http` or `https`. Default: http.
    #[serde(default = "defaults::http")]
    pub protocol: Protocol,
    /// Load balancers that tell the client's address by the PROXY protocol, of version 1 or 2: the
    /// networks that they connect from, for example `[10.0.0.0/16, 192.0.2.7/32]`, at most 256.
    /// Each connection from there has to begin with a header, and is closed without an answer if
    /// it does not; from elsewhere a header is not a request. Whoever connects from there can
    /// claim any address: name only what clients cannot connect from. Empty, which is the
    /// default: nobody. Open connections stay when it changes.
    #[serde(default)]
    pub proxy_protocol: BTreeSet<Network>,
    /// By which port clients reach it, where that is another than `port`, such as 443 of a load
    /// balancer that sends to 8443: clients are redirected there. Default: `port`.
    #[serde(default)]
    pub public_port: Option<NonZero<u16>>,
    /// How connections are encrypted, with the protocol `https`. Applied without a restart, to those
    /// that come after it.
    #[serde(default)]
    pub tls: Tls,
}

/// How the connections of a listener are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// The lowest version that is spoken: `TLSv1.2` or `TLSv1.3`. Default: TLSv1.2.
    pub minimum_version: TlsVersion,
    /// The cipher suites that may be used, by their names at IANA, such as `TLS_AES_128_GCM_SHA256`
    /// of TLS 1.3 and `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` of TLS 1.2: a version of which none
    /// is named is not spoken. The client's order decides. Empty, which is the default: all that
    /// proxies have, each with forward secrecy and authenticated.
    pub cipher_suites: BTreeSet<CipherSuite>,
    /// Whether clients may resume sessions by tickets. Default: true.
    pub session_tickets: bool,
    /// Whose certificate is shown to clients that ask for a host for which there is none, or for no
    /// host: a Secret, as `NAMESPACE/NAME`, or one of `certificates` by its name. Default: none; such
    /// clients are refused.
    pub default_certificate: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        let TlsPolicy {
            minimum_version,
            cipher_suites,
            session_tickets,
            default_certificate: _,
        } = TlsPolicy::default();
        Self {
            minimum_version,
            cipher_suites,
            session_tickets,
            default_certificate: None,
        }
    }
}

impl Listener {
    /// The part that projection depends on.
    pub(super) fn settings(&self) -> settings::Listener {
        settings::Listener {
            address: self.address,
            port: self.port,
            protocol: self.protocol,
            proxy_protocol: self.proxy_protocol.clone(),
            public_port: self.public_port.map(NonZero::get),
            tls: self.tls.policy(),
        }
    }
}

impl Tls {
    fn policy(&self) -> TlsPolicy {
        TlsPolicy {
            minimum_version: self.minimum_version,
            cipher_suites: self.cipher_suites.clone(),
            session_tickets: self.session_tickets,
            default_certificate: self.default_certificate(),
        }
    }

    /// What is wrong with a key of it, and the remedy.
    fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let mut suites = self.cipher_suites.iter();
        let only_13 = self.minimum_version == TlsVersion::Tls13;
        if only_13 && !self.cipher_suites.is_empty() && !suites.any(|suite| suite.is_of_13()) {
            let problem =
                "none of them goes with TLS 1.3, and no other version is spoken".to_owned();
            return Some((
                "cipherSuites",
                problem,
                "name one of TLS 1.3, or leave it out",
            ));
        }
        let named = self.default_certificate.as_deref()?;
        if self.default_certificate().is_none() {
            let problem = format!("{named:?} names no Secret");
            return Some(("defaultCertificate", problem, "write it as NAMESPACE/NAME"));
        }
        None
    }

    /// What has the certificate for those whose host has none, if it is written as it must be.
    pub(super) fn default_certificate(&self) -> Option<DefaultCertificate> {
        let named = self.default_certificate.as_deref()?;
        match named.contains('/') {
            true => secret(named),
            false => Some(DefaultCertificate::Files(named.into())),
        }
    }
}

fn secret(text: &str) -> Option<DefaultCertificate> {
    let (namespace, name) = text.split_once('/')?;
    let fits = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        (1..=MAX_OBJECT_NAME).contains(&part.len()) && part.chars().all(plain)
    };
    (fits(namespace) && fits(name)).then(|| DefaultCertificate::Secret {
        namespace: namespace.into(),
        name: name.into(),
    })
}

/// Whether proxies can open all of them.
pub(super) fn check(listeners: &BTreeMap<Box<str>, Listener>) -> Result<(), ConfigError> {
    let invalid = |key: String, problem: &str, remedy| {
        Err(ConfigError::Invalid {
            key,
            problem: problem.to_owned(),
            remedy,
        })
    };
    let mut ports = BTreeMap::new();
    for (name, listener) in listeners {
        let key = format!("listeners.{name}");
        if name.is_empty() || name.len() > MAX_NAME {
            return invalid(
                key,
                "its name is empty or too long",
                "use 1 to 63 characters",
            );
        }
        if listener.port == 0 {
            return invalid(format!("{key}.port"), "0 is no port", "use 1 to 65535");
        }
        if listener.proxy_protocol.len() > MAX_NETWORKS {
            let problem = format!("{} networks are too many", listener.proxy_protocol.len());
            let remedy = "name at most 256; those that lie together can be one";
            return invalid(format!("{key}.proxyProtocol"), &problem, remedy);
        }
        if listener.protocol == Protocol::Http && listener.tls != Tls::default() {
            let problem = "its connections are not encrypted";
            let remedy = "set protocol: https, or leave it out";
            return invalid(format!("{key}.tls"), problem, remedy);
        }
        if let Some((field, problem, remedy)) = listener.tls.problem() {
            return invalid(format!("{key}.tls.{field}"), &problem, remedy);
        }
        if let Some(other) = ports.insert((listener.address, listener.port), name) {
            let problem = format!("listener {other} has the same address and port");
            return invalid(key, &problem, "give each listener its own");
        }
    }
    Ok(())
}

const MAX_NAME: usize = 63;
/// As many as proxies take.
const MAX_NETWORKS: usize = 256;
const MAX_OBJECT_NAME: usize = 253;
