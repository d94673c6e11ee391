//! Names of objects.
//!
//! One type for all kinds, so that what is known can be held in one ordered map
//! and compared with any list.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where an object was seen. Objects of two origins are different objects, whatever their
/// names, and refer only to objects of their own origin; they meet in the table of hosts. What the
/// configuration names itself is for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// Files with certificates that the configuration names.
    Configuration,
    /// The folder of YAML.
    Folder,
    /// The Kubernetes API.
    Kubernetes,
}

impl Origin {
    /// All origins, in order.
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Folder, Self::Kubernetes];

    /// The kinds of which it can have objects.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Configuration => &[Kind::Secret],
            Self::Folder | Self::Kubernetes => &Kind::ALL,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Folder => "folder",
            Self::Kubernetes => "kubernetes",
        })
    }
}

/// The kinds of object that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// One that we obtain: nobody else writes it.
    Certificate,
    EndpointSlice,
    Ingress,
    IngressClass,
    /// Of type `kubernetes.io/tls`; in the configuration, the same in two files.
    Secret,
    Service,
    /// One that proxies make session tickets by: nobody else writes it.
    TicketSecret,
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: [Self; 7] = [
        Self::Certificate,
        Self::EndpointSlice,
        Self::Ingress,
        Self::IngressClass,
        Self::Secret,
        Self::Service,
        Self::TicketSecret,
    ];

    /// The kind's name as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "Certificate",
            Self::EndpointSlice => "EndpointSlice",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::TicketSecret => "TicketSecret",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identifies an object as long as it has its name. Cheap to clone: much refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    pub origin: Origin,
    pub kind: Kind,
    /// Empty for objects that are not in a namespace.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Less than every key of this origin and kind, and greater than those of kinds before it.
    pub fn before_all(origin: Origin, kind: Kind) -> Self {
        Self {
            origin,
            kind,
            namespace: Arc::default(),
            name: Arc::default(),
        }
    }

    /// The key of another object that this one refers to by name: same origin, same namespace.
    pub fn sibling(&self, kind: Kind, name: &str) -> Self {
        Self {
            origin: self.origin,
            kind,
            namespace: self.namespace.clone(),
            name: name.into(),
        }
    }
}

/// `Kind namespace/name`, as in logs and answers; objects of the folder end in `@folder`, those of
/// the configuration in `@configuration`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)?;
        match self.origin {
            Origin::Configuration => f.write_str("@configuration"),
            Origin::Folder => f.write_str("@folder"),
            Origin::Kubernetes => Ok(()),
        }
    }
}
