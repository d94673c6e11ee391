//! The versions that were, with what caused each: known without folding anything.
//!
//! Apart from the records, most of which made no version. A bounded list: what falls out of
//! it can still be asked for by its number as long as the log retains it.

use std::ops::Bound;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::event::{Epoch, Event, Record, Seq};
use crate::model::time::Timestamp;
use crate::snapshot::Version;

/// Versions in order. A clone shares what does not change.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    made: OrdMap<Seq, Made>,
    /// Older versions were forgotten.
    truncated: bool,
}

/// How a version came to be; also the form in which checkpoints keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub seq: Seq,
    pub epoch: Epoch,
    pub time: Timestamp,
    /// What caused it, in words.
    pub cause: Box<str>,
}

impl Made {
    /// The version's name.
    pub fn version(&self) -> Version {
        Version {
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

impl Versions {
    /// What a checkpoint kept. `truncated`: there were older ones.
    pub fn restore(made: impl IntoIterator<Item = Made>, truncated: bool) -> Self {
        let mut versions = Self {
            truncated,
            ..Self::default()
        };
        for made in made {
            versions.insert(made);
        }
        versions
    }

    /// Takes in a record, if it made the version that is served after it. Returns which
    /// version is new, and which was forgotten for it.
    pub fn note(&mut self, record: &Record, after: Version) -> [Option<Seq>; 2] {
        if after.seq != record.seq {
            return [None, None];
        }
        let forgotten = self.insert(Made {
            seq: record.seq,
            epoch: record.epoch,
            time: record.time,
            cause: cause(&record.event).into(),
        });
        [Some(record.seq), forgotten]
    }

    /// How the version of exactly this record came to be.
    pub fn made_by(&self, seq: Seq) -> Option<&Made> {
        self.made.get(&seq)
    }

    /// The version that was served when this was the last record, if it is known.
    pub fn at(&self, seq: Seq) -> Option<&Made> {
        self.made.get_prev(&seq).map(|(_, made)| made)
    }

    /// The newest version of a term up to this one that did not just begin it, as far as is known:
    /// who holds it, or a later one, holds the whole configuration.
    pub fn last_change(&self, term: Epoch) -> Version {
        let newest_first = || {
            let newest_first = self.made.values().rev();
            newest_first.skip_while(|made| made.epoch > term)
        };
        let before = newest_first().skip(1).map(Some).chain([None]);
        let mut pairs = newest_first().zip(before);
        // An epoch's first record is its first version.
        let changed = pairs.find(|(made, before)| before.is_none_or(|b| b.epoch == made.epoch));
        changed.map_or_else(Version::default, |(made, _)| made.version())
    }

    /// The newest version of each term after this one.
    pub fn last_of_terms(&self, after: Epoch) -> impl Iterator<Item = Version> {
        let newest_first = self.made.values().rev().map(Made::version);
        let newer = newest_first.take_while(move |version| version.epoch > after);
        let mut term = None;
        newer.filter(move |version| term.replace(version.epoch) != Some(version.epoch))
    }

    /// The last record up to which the version of this record was served, of those up to the
    /// newest; `None` if it is not known which version that was.
    pub fn served_until(&self, seq: Seq, newest: Seq) -> Option<Seq> {
        self.at(seq)?;
        let next = self.made.range((Bound::Excluded(seq), Bound::Unbounded));
        let next = next.map(|(seq, _)| Seq(seq.0.saturating_sub(1))).next();
        Some(next.unwrap_or(newest))
    }

    /// Versions before this place, newest first; all of them if there is no place.
    pub fn newest_first(&self, before: Option<Seq>) -> impl Iterator<Item = &Made> {
        let end = before.unwrap_or(Seq(u64::MAX));
        self.made.range(..end).rev().map(|(_, made)| made)
    }

    /// The oldest that is known, if there were older ones.
    pub fn oldest_retained(&self) -> Option<&Made> {
        let oldest = self.made.get_min().map(|(_, made)| made);
        oldest.filter(|_| self.truncated)
    }

    /// Whether older versions were forgotten.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Made> {
        self.made.values()
    }

    fn insert(&mut self, made: Made) -> Option<Seq> {
        self.made.insert(made.seq, made);
        if self.made.len() <= KEPT {
            return None;
        }
        let (oldest, rest) = self.made.without_min();
        self.made = rest;
        self.truncated = true;
        oldest.map(|made| made.seq)
    }
}

fn cause(event: &Event) -> String {
    if let Event::ObjectAccepted { key, .. } = event {
        return format!("{key} changed");
    }
    event.to_string()
}

/// About 2 MiB; at a change a minute, a week.
const KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seq: u64) -> Made {
        Made {
            seq: Seq(seq),
            epoch: Epoch(1),
            time: Timestamp(0),
            cause: "a test".into(),
        }
    }

    #[test]
    fn a_number_between_two_versions_means_the_one_served_then() {
        let versions = Versions::restore([made(3), made(7)], false);
        let at = |seq| versions.at(Seq(seq)).map(|made| made.seq.0);
        assert_eq!(at(2), None);
        assert_eq!(
            [at(3), at(6), at(7), at(99)],
            [Some(3), Some(3), Some(7), Some(7)]
        );
    }

    #[test]
    fn a_version_is_served_until_the_record_before_the_next() {
        let versions = Versions::restore([made(3), made(7)], false);
        let until = |seq| versions.served_until(Seq(seq), Seq(9)).map(|until| until.0);
        assert_eq!(until(2), None);
        assert_eq!([until(3), until(6)], [Some(6), Some(6)]);
        assert_eq!([until(7), until(9)], [Some(9), Some(9)]);
    }

    #[test]
    fn the_last_change_of_a_term_is_not_its_beginning_nor_of_a_later_term() {
        let of = |made: &[(u64, u64)]| {
            let made = made.iter().map(|(epoch, seq)| Made {
                epoch: Epoch(*epoch),
                ..self::made(*seq)
            });
            Versions::restore(made, false)
        };
        let last = |versions: &Versions, term| {
            let version = versions.last_change(Epoch(term));
            (version.epoch.0, version.seq.0)
        };
        let versions = of(&[(1, 1), (1, 4), (2, 6), (3, 7), (3, 9)]);
        assert_eq!(
            [1, 2, 3, 4].map(|term| last(&versions, term)),
            [(1, 4), (1, 4), (3, 9), (3, 9)]
        );
        assert_eq!(last(&versions, 0), (0, 0));
        let newest = versions.last_of_terms(Epoch(1));
        let newest = newest.map(|version| (version.epoch.0, version.seq.0));
        assert_eq!(newest.collect::<Vec<_>>(), [(3, 9), (2, 6)]);
    }

    #[test]
    fn only_records_that_made_a_version_are_noted() {
        let mut versions = Versions::default();
        let record = Record {
            seq: Seq(4),
            epoch: Epoch(1),
            time: Timestamp(9),
            event: Event::EpochBegan {
                lineage: "l".into(),
                projection_revision: 1,
                binary_version: "1.0".into(),
            },
        };
        versions.note(&record, made(3).version());
        assert_eq!(versions.iter().count(), 0);
        versions.note(&record, made(4).version());
        let made = versions.newest_first(None).next().unwrap();
        assert_eq!(&*made.cause, "a leader began (version 1.0)");
        assert_eq!(made.time, Timestamp(9));
    }

    #[test]
    fn the_oldest_are_forgotten_and_said_to_be() {
        let many = 1..=KEPT as u64 + 2;
        let versions = Versions::restore(many.map(made), false);
        assert_eq!(versions.iter().count(), KEPT);
        assert_eq!(versions.oldest_retained().unwrap().seq, Seq(3));
        let page = versions.newest_first(Some(Seq(5)));
        assert_eq!(page.map(|made| made.seq.0).collect::<Vec<_>>(), [4, 3]);
        let few = Versions::restore([made(1)], false);
        assert_eq!(few.oldest_retained(), None);
    }
}
