//! The name of a snapshot: a point in the life of one installation's configuration.
//!
//! Apart, because versions of two lineages have no order, and everyone who compares must know.

use std::{cmp::Ordering, fmt, sync::Arc};

use roadstead_proto::v1;

/// Versions of one lineage are ordered by epoch, then sequence number; those of two are not ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    pub lineage: Arc<str>,
    pub epoch: u64,
    pub seq: u64,
}

impl Version {
    pub fn to_proto(&self) -> v1::Version {
        v1::Version {
            lineage: self.lineage.to_string(),
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

impl From<&v1::Version> for Version {
    fn from(version: &v1::Version) -> Self {
        Self {
            lineage: version.lineage.as_str().into(),
            epoch: version.epoch,
            seq: version.seq,
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.lineage == other.lineage)
            .then(|| (self.epoch, self.seq).cmp(&(other.epoch, other.seq)))
    }
}

/// Without the lineage, which people need only when it is the wrong one.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(lineage: &str, epoch: u64, seq: u64) -> Version {
        Version {
            lineage: lineage.into(),
            epoch,
            seq,
        }
    }

    #[test]
    fn the_epoch_counts_before_the_sequence_number() {
        assert!(version("a", 2, 7) > version("a", 1, 8));
        assert!(version("a", 1, 8) > version("a", 1, 7));
    }

    #[test]
    fn versions_of_two_lineages_are_not_ordered() {
        assert_eq!(version("a", 1, 1).partial_cmp(&version("b", 1, 1)), None);
    }
}
