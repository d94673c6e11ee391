//! Objects that were not found any more and are held: what the log says of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::{Epoch, Seq};
use crate::model::key::{Kind, Origin};

/// Names a hold: the epoch and the sequence number of the record that it began with. The epoch
/// rises even where a log was lost, so that no hold has the name of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId {
    pub epoch: Epoch,
    pub seq: Seq,
}

/// For example `3.1204`.
impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, seq } = self;
        write!(f, "{epoch}.{seq}")
    }
}

/// The text is not the name of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hold has such a name: use epoch.seq, for example 3.1204")]
pub struct HoldIdError;

impl FromStr for HoldId {
    type Err = HoldIdError;

    fn from_str(text: &str) -> Result<Self, HoldIdError> {
        let (epoch, seq) = text.split_once('.').ok_or(HoldIdError)?;
        let number = |text: &str| text.parse().map_err(|_| HoldIdError);
        Ok(Self {
            epoch: Epoch(number(epoch)?),
            seq: Seq(number(seq)?),
        })
    }
}

/// What was not found any more, and how much of what is served depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    pub origin: Origin,
    pub kind: Kind,
    /// Objects of this kind that are held.
    pub objects: u32,
    /// Routes (Ingresses that are served) that would be lost, or would lose what they need.
    pub routes: u32,
    /// All routes of the origin.
    pub of_routes: u32,
    /// Some of the objects, as `namespace/name`.
    pub sample: Vec<Box<str>>,
    /// Which objects they are: the same for the same names. Empty in what was logged before
    /// there was this.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub set: Box<str>,
}

impl Extent {
    /// Whether who was told of another knows enough of this one: it is of the same objects, and
    /// no more depends on them.
    pub fn is_told_by(&self, other: &Self) -> bool {
        let same = other.set.is_empty() || self.set == other.set;
        same && self.objects == other.objects && self.routes <= other.routes
    }
}

/// How many objects, of which kind, and which for example.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            kind,
            objects,
            routes,
            of_routes,
            sample,
            set: _,
        } = self;
        write!(
            f,
            "{objects} objects of kind {kind} ({origin}), on which {routes} of {of_routes} routes \
             depend"
        )?;
        for (number, name) in sample.iter().enumerate() {
            let before = if number == 0 { ": " } else { ", " };
            write!(f, "{before}{name}")?;
        }
        if usize::try_from(*objects).is_ok_and(|objects| objects > sample.len()) {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_hold_reads_back_and_nothing_else_does() {
        let id = HoldId {
            epoch: Epoch(3),
            seq: Seq(1204),
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "3", "3.", ".4", "3.4.5", "a.b", "-1.2"] {
            assert_eq!(wrong.parse::<HoldId>(), Err(HoldIdError), "{wrong}");
        }
    }
}
