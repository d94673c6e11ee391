//! Why a whole transfer is not used, from a closed list.
//!
//! Apart from faults: a refusal leaves everything as it was, a fault touches one resource.

use super::Version;

/// What is wrong with a transfer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    OutOfOrder(&'static str),
    #[error("more than {limit} {what}")]
    TooLarge { limit: usize, what: &'static str },
    #[error("{name:?} is named twice")]
    NamedTwice { name: String },
    #[error("version {offered} is lower than {held}, which is held")]
    LowerVersion { offered: Version, held: Version },
    #[error(
        "version {offered} is of lineage {:?}, and {held} of lineage {:?} is held; to follow the \
         new one, set acceptLineage: {:?}",
        offered.lineage, held.lineage, offered.lineage
    )]
    OtherLineage { offered: Version, held: Version },
    #[error("what is held would differ from what the digest says")]
    DigestMismatch,
}

impl Refusal {
    /// The name that goes over the wire and into a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::OutOfOrder(_) => "OutOfOrder",
            Self::TooLarge { .. } => "TooLarge",
            Self::NamedTwice { .. } => "NamedTwice",
            Self::LowerVersion { .. } => "LowerVersion",
            Self::OtherLineage { .. } => "OtherLineage",
            Self::DigestMismatch => "DigestMismatch",
        }
    }
}
