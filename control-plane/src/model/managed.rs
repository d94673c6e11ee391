//! A certificate that we obtain and renew ourselves, and how far that has come.
//!
//! An object like those that others write: each step of an order is another version of it, so
//! that the log tells its story and what is kept of it outside of the log tells where to go on.
//! Nothing in it is secret: keys are named by their bundle.

mod demand;
mod order;
mod outcome;
mod txt;

use std::fmt;

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize, Serialize};

use crate::model::certificate::Certificate;
use crate::model::time::Timestamp;

pub use demand::{Demand, Revocation, Revokes};
pub use order::{Challenge, ChallengeType, Order, Progress, Proof, Step};
pub use outcome::{Answer, Failure, FailureKind, Outcome, Sight, Status, Txt, Window};
pub use txt::{Leftover, Place, TxtRecord};

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
    /// What the DNS is told for the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<TxtRecord>,
    /// What it was told before, and is to forget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<Leftover>,
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
    /// What there is may expire before there is another: half of the time for that is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
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
            records: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// By what the CA is answered now.
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

    /// Whether proxies have to answer by any of that.
    pub fn is_answered_by_proxies(&self) -> bool {
        let mut types = self.challenges().map(|challenge| challenge.challenge_type);
        types.any(|way| way != ChallengeType::Dns01)
    }

    /// The records that the CA is to find and not everybody finds yet.
    pub fn unshown(&self) -> impl Iterator<Item = &TxtRecord> {
        self.records.iter().filter(|record| !record.shown)
    }

    /// Which of the leftovers that say this is the next to be removed.
    pub fn leftover(&self, text: &str) -> Option<usize> {
        let those = self.leftovers.iter().enumerate();
        let those = those.filter(|(_, leftover)| *leftover.text == *text);
        let first = those.min_by_key(|(_, leftover)| leftover.not_before);
        first.map(|(index, _)| index)
    }

    /// Whether the CA is to find this record.
    pub fn needs(&self, record: &TxtRecord) -> bool {
        self.challenges().any(|challenge| record.meets(challenge))
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
                    if !proofs.iter().any(Proof::is_open) {
                        "the CA validates"
                    } else if let Some(record) = self.unshown().next() {
                        return record.fmt(f);
                    } else if self.is_answered_by_proxies() {
                        "proxies are told the CA's challenges"
                    } else {
                        "the CA is told to look into the DNS"
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
