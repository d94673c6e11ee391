//! Settings that decide what a configuration means.
//!
//! They are facts in the log like objects are: the same records must give the same
//! snapshot on a machine whose configuration file says something else today.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize, Serialize};

use crate::model::guard::DeletionGuard;
use crate::model::network::Network;
use crate::model::tls_policy::TlsPolicy;

/// The part of the configuration file that projection depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Listeners by name.
    pub listeners: BTreeMap<Box<str>, Listener>,
    /// Name of the class that is served even where no IngressClass object defines it.
    pub ingress_class: Box<str>,
    pub host_ownership: HostOwnership,
    /// Permits Services of type ExternalName that resolve to loopback, link-local and
    /// metadata addresses.
    pub allow_local_external_names: bool,
    /// What is observed depends on it, not what is projected.
    #[serde(default, skip_serializing_if = "DeletionGuard::is_default")]
    pub deletion_guard: DeletionGuard,
    /// Controllers whose classes are served as if they were ours. Not empty: they still run, and
    /// nothing is written on users' objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beside: BTreeSet<Box<str>>,
    /// Whether certificates are obtained that no Secret has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obtains: Option<Obtains>,
    /// Whether unencrypted requests are sent to HTTPS, where an Ingress wants it for their host, does
    /// not say otherwise, and there is a certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirects_to_https: bool,
}

/// For whom certificates are obtained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obtains {
    /// These hosts and all below them; none: for all.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "crate::model::hosts"
    )]
    pub only_for: Vec<HostPattern>,
    /// In these namespaces for no others than these, either; in those that are not named for those of
    /// `*`, if that is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only_in: BTreeMap<Box<str>, Hosts>,
    /// For these hosts and all below them a CA can be shown by the DNS that they are ours.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "crate::model::hosts"
    )]
    pub by_dns: Vec<HostPattern>,
    /// And in no other way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_by_dns: bool,
}

/// Hosts with all below them; none: nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts(#[serde(with = "crate::model::hosts")] pub Vec<HostPattern>);

/// Why no certificate is obtained for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// The settings do not permit it.
    NotPermitted,
    /// Nor do those for its namespace.
    NotInNamespace,
    /// A CA does not ask a wildcard's hosts, and the DNS is not told of it.
    Wildcard,
    /// No CA is to ask the host, and the DNS is not told of it.
    OnlyByDns,
    /// There is no such host.
    Any,
}

impl Obtains {
    /// Whether one may be, and can be, obtained for this host or wildcard, which belongs to a
    /// namespace; if not, why.
    pub fn permits(&self, host: &HostPattern, namespace: &str) -> Result<(), Hindrance> {
        let name = host.to_string();
        let is_below = |top: &HostPattern| {
            let top = top.to_string();
            let rest = name.strip_suffix(&top);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !self.only_for.is_empty() && !self.only_for.iter().any(is_below) {
            return Err(Hindrance::NotPermitted);
        }
        let here = self.only_in.get(namespace);
        let here = here.or_else(|| self.only_in.get(ANY_OTHER));
        if here.is_some_and(|Hosts(hosts)| !hosts.iter().any(is_below)) {
            return Err(Hindrance::NotInNamespace);
        }
        let by_dns = self.by_dns.iter().any(is_below);
        match host {
            HostPattern::OneLabel(_) if !by_dns => Err(Hindrance::Wildcard),
            HostPattern::Exact(_) if self.only_by_dns && !by_dns => Err(Hindrance::OnlyByDns),
            HostPattern::Exact(_) | HostPattern::OneLabel(_) => Ok(()),
            HostPattern::Any => Err(Hindrance::Any),
        }
    }
}

/// All namespaces that are not named.
const ANY_OTHER: &str = "*";

/// The class `roadstead` and nothing else: no listener, nothing obtained, nobody redirected.
impl Default for Settings {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::new(),
            ingress_class: "roadstead".into(),
            host_ownership: HostOwnership::default(),
            allow_local_external_names: false,
            deletion_guard: DeletionGuard::default(),
            beside: BTreeSet::new(),
            obtains: None,
            redirects_to_https: false,
        }
    }
}

impl Settings {
    /// Whether other controllers still run, so that nothing is written on users' objects.
    pub fn is_beside(&self) -> bool {
        !self.beside.is_empty()
    }

    /// For whom certificates are obtained; for nobody beside another controller, who does it.
    pub fn obtains(&self) -> Option<&Obtains> {
        self.obtains.as_ref().filter(|_| !self.is_beside())
    }

    /// By which port clients find HTTPS: that of the listener `https`, or else of the first that is
    /// encrypted.
    pub fn https_port(&self) -> Option<u16> {
        let named = self.listeners.get("https").into_iter();
        let mut all = named.chain(self.listeners.values());
        let found = all.find(|listener| listener.protocol == Protocol::Https)?;
        Some(found.public_port.unwrap_or(found.port))
    }
}

/// A port that proxies open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
    /// Whose connections begin with a header of the PROXY protocol.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub proxy_protocol: BTreeSet<Network>,
    /// By which port clients reach it, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    /// How its connections are encrypted, if they are.
    #[serde(default, skip_serializing_if = "TlsPolicy::is_default")]
    pub tls: TlsPolicy,
}

impl Listener {
    /// This port of all addresses, to whom nobody tells who a client is.
    pub fn new(port: u16, protocol: Protocol) -> Self {
        Self {
            address: Ipv6Addr::UNSPECIFIED.into(),
            port,
            protocol,
            proxy_protocol: BTreeSet::new(),
            public_port: None,
            tls: TlsPolicy::default(),
        }
    }
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    Http,
    Https,
}

/// Who may claim paths of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostOwnership {
    /// The namespace of the oldest claimant, and those that it grants.
    #[default]
    Namespace,
    /// Any namespace; the oldest claim to each path wins.
    Shared,
}
