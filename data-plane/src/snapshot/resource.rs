//! Resources as this proxy uses them: a value that exists is valid.
//!
//! Apart from their decoding, so that the wire's types end there.

use std::{net::SocketAddr, num::NonZero, sync::Arc};

use roadstead_matcher::{host::HostPattern, path::PathPattern};

use super::{BundleName, ChallengeAnswer, Sources, TlsPolicy};

/// The usable form of a resource. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Listener(Arc<Listener>),
    Route(Arc<Route>),
    Upstream(Target),
    /// The ready ones, or the draining ones when nothing is ready.
    Endpoints(Arc<[Endpoint]>),
    Certificate(Certificate),
    ServerName(Arc<ServerName>),
    /// What a CA is answered by, for one certificate.
    Challenge(Arc<[ChallengeAnswer]>),
    /// What session tickets are made by, the newest first.
    TicketSecrets(Arc<[BundleName]>),
}

/// A port to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub protocol: ListenerProtocol,
    pub terms: Terms,
}

impl Listener {
    /// Whether this one speaks the same at the same address, so that it can take the other's place with
    /// its sockets.
    pub fn is_at_the_door_of(&self, other: &Self) -> bool {
        (self.address, self.protocol) == (other.address, other.protocol)
    }
}

/// On what terms connections of a listener are taken. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whose begin with a header of the PROXY protocol.
    pub sources: Sources,
    pub tls: TlsPolicy,
    /// Certificates that are shown to who asks for a host that has none, or for no host.
    pub default_certificates: Arc<[Arc<str>]>,
}

/// What clients of a listener begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Names of the listeners that serve it. Empty: all of them.
    pub listeners: Box<[Arc<str>]>,
    pub rules: Box<[Rule]>,
}

impl Route {
    /// Whether the route was written for this listener by name.
    pub fn names(&self, listener: &str) -> bool {
        self.listeners.iter().any(|name| **name == *listener)
    }

    /// Whether the listener's requests are this route's to serve.
    pub fn serves(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.names(listener)
    }

    /// The same claims, all of them answered by 503.
    pub fn closed(&self) -> Self {
        let closed = |rule: &Rule| Rule {
            backends: [].into(),
            ..rule.clone()
        };
        Self {
            listeners: self.listeners.clone(),
            rules: self.rules.iter().map(closed).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The route's name and the rule's place in the source.
    pub id: Arc<str>,
    pub host: HostPattern,
    pub path: PathPattern,
    /// Serves only what no other rule of any host claims.
    pub fallback: bool,
    pub backends: Box<[Backend]>,
    /// By which port clients find HTTPS, if unencrypted requests are sent there once there is a
    /// certificate for their host.
    pub https_port: Option<NonZero<u16>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Name of an upstream; none where the source names a Service that does not exist.
    pub upstream: Option<Arc<str>>,
    pub weight: u32,
}

/// Where the addresses of an upstream come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They come with the snapshot.
    Discovered,
    /// Each proxy resolves the name for itself.
    External {
        hostname: Arc<str>,
        port: u16,
        /// Permits loopback, link-local and metadata addresses.
        allow_local: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// Identity of what answers there (a Pod's UID); empty if not known.
    pub uid: Arc<str>,
}

/// A certificate that may be shown to clients; its chain and key are a bundle, found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub bundle: BundleName,
    pub key_type: KeyType,
}

/// A name that clients ask for in a TLS handshake, and what they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    /// Exact, or a wildcard.
    pub host: HostPattern,
    /// Names of certificates.
    pub certificates: Arc<[Arc<str>]>,
    /// There is none yet, and one is being obtained.
    pub expected: bool,
}

/// The algorithm of a certificate's key; of several that a client takes, the first is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    Ecdsa,
    Ed25519,
    Rsa,
}
