//! What a CA says: what a call came to, without the words of any client.

use serde::{Deserialize, Serialize};

use crate::model::certificate::Certificate;
use crate::model::managed::{Place, Proof};
use crate::model::time::Timestamp;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The order has this URL.
    Placed(Box<str>),
    /// How the order stands, be it because it was asked for or because it was finalized.
    Order(Answer),
    /// The same, and how its authorizations stand.
    Proofs {
        answer: Answer,
        proofs: Vec<Proof>,
    },
    /// The CA was told that the challenges can be validated.
    Validating,
    Certificate {
        certificate: Certificate,
        /// What the CA calls it when it is replaced; empty if it has no such name.
        id: Box<str>,
    },
    /// When the CA suggests that the certificate is renewed, and when it wants to be asked again.
    Renewal {
        window: Window,
        ask: Timestamp,
    },
    /// What it issued is revoked.
    Revoked,
    /// It is not, or that is not known.
    NotRevoked(Failure),
    Failed(Failure),
    /// What came of the record, or the leftover, that says this.
    Txt {
        text: Box<str>,
        came: Txt,
    },
}

impl Outcome {
    /// For metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Placed(_)
            | Self::Order(_)
            | Self::Proofs { .. }
            | Self::Validating
            | Self::Certificate { .. }
            | Self::Renewal { .. }
            | Self::Revoked
            | Self::Txt {
                came: Txt::Located(_) | Txt::Added | Txt::Seen(_) | Txt::Removed,
                ..
            } => "ok",
            Self::Txt {
                came: Txt::Failed(_) | Txt::NotRemoved(_),
                ..
            } => "failed",
            Self::Failed(failure) | Self::NotRevoked(failure) => match failure.kind {
                FailureKind::RateLimited => "rate_limited",
                FailureKind::Refused => "refused",
                FailureKind::AlreadyReplaced => "already_replaced",
                FailureKind::Gone => "gone",
                FailureKind::Unavailable => "unavailable",
                FailureKind::Unknown => "unknown",
            },
        }
    }
}

/// What came of a step at a record of the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txt {
    /// It belongs there.
    Located(Place),
    /// The zone's server has it.
    Added,
    Seen(Sight),
    /// Nothing, or that is not known, and why.
    Failed(Box<str>),
    /// The zone's server has it no more.
    Removed,
    /// It has, or that is not known, and why.
    NotRemoved(Box<str>),
}

/// Who shows a record; for people those who do not, each with what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    pub showing: usize,
    /// They say something else.
    pub lacking: Vec<Box<str>>,
    /// They do not answer.
    pub silent: Vec<Box<str>>,
}

/// How an order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    /// When to ask again.
    pub not_before: Timestamp,
}

/// The status of an order (RFC 8555, section 7.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    /// And why.
    Invalid(Box<str>),
}

/// When a CA wants a certificate to be renewed (RFC 9773, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// A call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// What the CA says of when to try again.
    pub not_before: Option<Timestamp>,
    pub message: Box<str>,
}

/// What that tells of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The CA has enough of us for now, and did nothing.
    RateLimited,
    /// The CA does not do this.
    Refused,
    /// The certificate that was to be replaced is replaced.
    AlreadyReplaced,
    /// What the call is about is not there any more.
    Gone,
    /// The CA did not learn of it, or could not do it.
    Unavailable,
    /// Whether the CA did it is not known.
    Unknown,
}
