//! An object as it was seen: who it is, and what it asks for.
//!
//! The same shape serves what is observed, what is stored and what is folded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    bundle::BundleName,
    certificate::Certificate,
    endpoints::EndpointSlice,
    ingress::{Ingress, IngressClass},
    key::Kind,
    managed::Managed,
    service::Service,
    time::Timestamp,
};

/// Identity and age of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Unique in time and space; in a folder made from file and position.
    pub uid: Arc<str>,
    /// Opaque; changes with each change of the object.
    pub resource_version: Arc<str>,
    pub age: Age,
}

/// Decides between claimants of the same thing: the lesser is the older and wins.
///
/// Of two Kubernetes objects the older wins, then the lesser name. Objects of a folder
/// bear no time: they come before all others, in order of file path and position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Age {
    /// `metadata.creationTimestamp`; the beginning of time in a folder.
    pub created: Timestamp,
    /// Namespace and name, or file path and position.
    pub rank: Arc<str>,
}

impl Age {
    /// Less than that of any object.
    pub fn before_all() -> Self {
        Self {
            created: Timestamp(i64::MIN),
            rank: Arc::default(),
        }
    }
}

/// What an object of each kind asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spec {
    /// What a Secret of type `kubernetes.io/tls` holds.
    Certificate(Certificate),
    EndpointSlice(EndpointSlice),
    Ingress(Ingress),
    IngressClass(IngressClass),
    /// A certificate that we obtain.
    Managed(Box<Managed>),
    Service(Service),
    /// What session tickets are made by.
    TicketSecret(TicketSecret),
}

/// A secret that all proxies make session tickets by, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSecret {
    #[serde(with = "crate::model::bundle::name_as_text")]
    pub bundle: BundleName,
}

impl Spec {
    /// The kind that this is the specification of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Certificate(_) => Kind::Secret,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Ingress(_) => Kind::Ingress,
            Self::IngressClass(_) => Kind::IngressClass,
            Self::Managed(_) => Kind::Certificate,
            Self::Service(_) => Kind::Service,
            Self::TicketSecret(_) => Kind::TicketSecret,
        }
    }
}
