//! What a body of a store is to a keeper.
//!
//! Here alone is decided what may be replaced and removed: what cannot be judged is never
//! touched, be it malformed, of a newer release, of a later term of this installation, or of an
//! earlier one that the log does not know and was not told of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::event::recovery::{Kept, RecoveryRecord, decode};
use crate::model::key::ObjectKey;
use crate::recovery::Keeper;
use crate::store::{Body, Store};

/// A body that the store holds.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// May be replaced, and removed.
    Record {
        record: Arc<RecoveryRecord>,
        revision: Box<str>,
        /// It was written in this term.
        current: bool,
    },
    /// Is left alone; why.
    Untouchable(String),
}

/// The name under which the record of an object is kept.
pub(super) fn name(key: &ObjectKey) -> Box<str> {
    let ObjectKey {
        origin,
        kind,
        namespace,
        name,
    } = key;
    // None of the parts has a space in it.
    let hash = Sha256::digest(format!("{origin} {kind} {namespace} {name}"));
    let mut text = "last-good-".to_owned();
    for byte in hash.iter().take(NAME_BYTES) {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// How many of them are records.
pub(super) fn records(held: &BTreeMap<Box<str>, Entry>) -> usize {
    let entries = held.values();
    entries
        .filter(|entry| matches!(entry, Entry::Record { .. }))
        .count()
}

impl<S: Store> Keeper<S> {
    /// What a body holds, if it is a record of this store.
    pub(super) fn kept(&self, body: &Body) -> Result<Kept, String> {
        let kept = decode(&body.bytes).map_err(|error| error.to_string())?;
        let key = &kept.record.key;
        if key.origin != self.store.origin() || name(key) != body.name {
            return Err(format!("holds the record of {key}, which has another name"));
        }
        Ok(kept)
    }

    /// What a body is.
    pub(super) fn judge(&self, body: &Body) -> Entry {
        match self.kept(body) {
            Ok(kept) => {
                let ours = *kept.lineage == *self.tenure.lineage;
                if ours && kept.epoch > self.tenure.epoch {
                    let epoch = kept.epoch;
                    return Entry::Untouchable(format!("is of a later leader, of epoch {epoch}"));
                }
                let current = ours && kept.epoch == self.tenure.epoch;
                let unread = self.unread_after;
                if !current && unread.is_some_and(|place| self.is_after(&kept, place)) {
                    let epoch = kept.epoch;
                    return Entry::Untouchable(format!(
                        "is of another leader, of epoch {epoch}, and could not be read when this \
                         term began"
                    ));
                }
                Entry::Record {
                    record: Arc::new(kept.record),
                    revision: body.revision.clone(),
                    current,
                }
            }
            Err(why) => Entry::Untouchable(why),
        }
    }
}

/// Enough of a hash that no two objects share a name.
const NAME_BYTES: usize = 16;
