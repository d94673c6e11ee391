//! A certificate that we obtain and renew ourselves, and how far that has come.
//!
//! An object like those that others write: each step of an order is another version of it, so
//! that the log tells its story and what is kept of it outside of the log tells where to go on.
//! Nothing in it is secret: keys are named by their bundle.

mod demand;
mod outcome;

use std::fmt;

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize, Serialize};

use crate::model::certificate::Certificate;
use crate::model::time::Timestamp;

pub use demand::{Demand, Revocation, Revokes};
pub use outcome::{Answer, Failure, FailureKind, Outcome, Status, Window};

/// The certificate and the order for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Managed {
    /// The hosts that it is for, sorted and at least one: the identifiers of its orders.
    #[serde(with = "crate::model::hosts")]
    pub names: Vec<HostPattern>,
    /// What is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
    /// What is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// When orders for it were placed, the oldest first: for a week, which is as long as a CA
    /// counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<Timestamp>,
    /// That the last attempts came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What somebody demanded that was not done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    pub certificate: Certificate,
    /// The CA's directory.
    pub ca: Box<str>,
    /// What the CA calls it when it is replaced (RFC 9773, section 4.1); empty if it has no such
    /// name, or was replaced already.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub id: Box<str>,
    pub renewal: Renewal,
    /// When the CA revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// By which way the CA found out that the hosts are ours, if it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<ChallengeType>,
}

/// When a certificate is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// From then on.
    pub at: Timestamp,
    /// What the CA suggested, of which `at` was drawn; without it, a share of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// When the CA is asked again what it suggests.
    pub ask: Timestamp,
}

/// An order (RFC 8555, section 7.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The CA's directory.
    pub ca: Box<str>,
    pub begun: Timestamp,
    pub step: Step,
    /// The CA is not asked before.
    #[serde(default)]
    pub not_before: Timestamp,
    /// By which way the CA was told that it can find out that the hosts are ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<ChallengeType>,
}

/// How far an order has come. What follows from each is one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Its key is kept. Whether the CA knows of it is not known before it answers.
    Intended,
    /// The CA knows of it by this URL.
    Placed { url: Box<str> },
    /// The CA wants proof that the hosts are ours.
    Proving { url: Box<str>, proofs: Vec<Proof> },
    /// Proof was given.
    Ready { url: Box<str> },
    /// The CA was given the certificate's key, and is issuing.
    Issuing { url: Box<str> },
    /// The certificate can be had.
    Issued { url: Box<str> },
}

/// Proof that one host is ours: an authorization (RFC 8555, section 7.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub url: Box<str>,
    pub progress: Progress,
}

/// How far a proof has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// The proxies are to answer by this.
    Open(Challenge),
    /// The CA was told that they do.
    Asked(Challenge),
    Proved,
}

/// By which way a CA finds out that a host is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeType {
    /// It asks by HTTP, on port 80 (RFC 8555, section 8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// It asks in a TLS handshake, on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// What a CA finds at a host that is ours (RFC 8555, section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    #[serde(default, rename = "type")]
    pub challenge_type: ChallengeType,
    pub host: Box<str>,
    pub token: Box<str>,
    pub key_authorization: Box<str>,
}

/// Attempts came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// How many in a row.
    pub failures: u32,
    /// What the last one failed of.
    pub message: Box<str>,
    /// There is no other before.
    pub not_before: Timestamp,
    /// What the CA said of when it wants to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// By which way the CA did not find the hosts to be ours, of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<ChallengeType>,
}

impl Managed {
    /// One of which nothing is done yet.
    pub fn new(names: Vec<HostPattern>) -> Self {
        Self {
            names,
            issued: None,
            order: None,
            placed: Vec::new(),
            trouble: None,
            demand: None,
        }
    }

    /// By what proxies answer the CA now.
    pub fn challenges(&self) -> impl Iterator<Item = &Challenge> {
        let proofs = match self.order.as_ref().map(|order| &order.step) {
            Some(Step::Proving { proofs, .. }) => proofs.as_slice(),
            Some(
                Step::Intended
                | Step::Placed { .. }
                | Step::Ready { .. }
                | Step::Issuing { .. }
                | Step::Issued { .. },
            )
            | None => &[],
        };
        proofs.iter().filter_map(|proof| match &proof.progress {
            Progress::Open(challenge) | Progress::Asked(challenge) => Some(challenge),
            Progress::Proved => None,
        })
    }
}

impl ChallengeType {
    pub const ALL: [Self; 2] = [Self::Http01, Self::TlsAlpn01];
}

/// As the standards write it.
impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

impl Step {
    /// The order's URL, once the CA gave it one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Intended => None,
            Self::Placed { url }
            | Self::Proving { url, .. }
            | Self::Ready { url }
            | Self::Issuing { url }
            | Self::Issued { url } => Some(url),
        }
    }
}

impl Proof {
    /// Whether the CA is still to be told that it can validate.
    pub fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Open(_))
    }
}

/// How far it has come, in a few words.
impl fmt::Display for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(demand) = &self.demand {
            write!(f, "{demand}; ")?;
        }
        if let Some(order) = &self.order {
            return f.write_str(match &order.step {
                Step::Intended => "an order is being placed",
                Step::Placed { .. } => "an order was placed",
                Step::Proving { proofs, .. } => {
                    if proofs.iter().any(Proof::is_open) {
                        "proxies are told the CA's challenges"
                    } else {
                        "the CA validates"
                    }
                }
                Step::Ready { .. } => "the CA has validated",
                Step::Issuing { .. } => "the CA is issuing",
                Step::Issued { .. } => "the certificate is being fetched",
            });
        }
        match (&self.issued, &self.trouble) {
            (
                _,
                Some(Trouble {
                    message,
                    not_before,
                    ..
                }),
            ) => {
                write!(f, "nothing before {not_before}: {message}")
            }
            (Some(issued), None) => write!(
                f,
                "issued until {}, to be renewed from {}",
                issued.certificate.not_after, issued.renewal.at
            ),
            (None, None) => f.write_str("wanted"),
        }
    }
}
