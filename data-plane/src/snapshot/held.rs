//! The resources that this proxy holds: each as it was told, and as it is used.
//!
//! The two differ where a resource cannot be used. Apart from the compiled tables, which
//! know only what is used; the digest covers only what was told.

use std::collections::{BTreeMap, HashMap, HashSet};

use roadstead_proto::digest::{self, Digest};

use super::{Decoded, Fault, Form, Key, Refusal, Told, Transfer, Version};

/// Everything that is held.
#[derive(Debug, Default)]
pub struct Held {
    version: Option<Version>,
    endpoints_revision: u64,
    digest: Digest,
    entries: HashMap<Key, Entry>,
    faults: BTreeMap<Key, Fault>,
}

#[derive(Debug)]
struct Entry {
    hash: [u8; 16],
    bucket: u8,
    form: InUse,
}

/// What is used of a resource.
#[derive(Clone, Debug, PartialEq)]
enum InUse {
    Nothing,
    /// As it was told, now or the last time that it could be used.
    Good(Form),
    /// It never could be used, and holds the place against others.
    Closed(Form),
}

/// What was kept on disk.
#[derive(Debug)]
pub struct Restored {
    pub version: Version,
    pub endpoints_revision: u64,
    /// Resources in their last good form.
    pub good: Vec<Told>,
    /// Resources that could not be used, as they were told.
    pub unusable: Vec<Told>,
}

/// What a transfer changed.
#[derive(Debug, Default)]
pub struct Applied {
    /// Resources whose form in use is another one now, each once.
    pub touched: Vec<Touched>,
    /// Resources as they were told, for the journal.
    pub told: Vec<(Told, Usable)>,
    pub removed: Vec<Key>,
}

/// A resource's form in use before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched {
    pub key: Key,
    pub before: Option<Form>,
    pub after: Option<Form>,
}

/// Whether a resource is used as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    Yes,
    No,
}

impl Held {
    /// The version that is held; none before the first transfer.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    pub fn endpoints_revision(&self) -> u64 {
        self.endpoints_revision
    }

    /// Over all resources as they were told.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Every resource that is not used as it was told, and why.
    pub fn faults(&self) -> &BTreeMap<Key, Fault> {
        &self.faults
    }

    /// Counts all that is held anew. False if the digest was another: then it is no longer.
    pub fn recount(&mut self) -> bool {
        let mut digest = Digest::new();
        self.entries.iter().for_each(|(key, entry)| {
            digest.insert(key.kind, &key.name, &entry.hash);
        });
        let before = std::mem::replace(&mut self.digest, digest);
        before == self.digest
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The form in use.
    pub fn form(&self, key: &Key) -> Option<&Form> {
        self.entries.get(key)?.form.get()
    }

    /// What a proxy held before it was started again.
    pub fn restore(restored: Restored) -> (Self, Vec<Touched>) {
        let mut held = Self {
            version: Some(restored.version),
            endpoints_revision: restored.endpoints_revision,
            ..Self::default()
        };
        held.entries.reserve(restored.good.len());
        let mut applied = Applied::default();
        for told in restored.good.into_iter().chain(restored.unusable) {
            held.count(&told);
            held.put(told, &mut applied);
        }
        // Anew, because a resource that was put twice was also touched twice.
        let mut all = Applied::default();
        held.entries.iter().for_each(|(key, entry)| {
            all.touch(key, &InUse::Nothing, &entry.form);
        });
        (held, all.touched)
    }

    /// Makes the transfer's resources those that are held. If its digest does not agree,
    /// nothing happens.
    pub fn apply(&mut self, transfer: Transfer) -> Result<Applied, Refusal> {
        if self.entries.len() + transfer.changed.len() > MAX_HELD {
            return Err(Refusal::TooLarge {
                limit: MAX_HELD,
                what: "resources",
            });
        }
        let removed = self.removed_by(&transfer);
        let digest = self.digest_after(&transfer, &removed);
        if digest != transfer.digest {
            return Err(Refusal::DigestMismatch);
        }
        self.digest = digest;
        self.version = Some(transfer.version);
        self.endpoints_revision = transfer.endpoints_revision;
        let mut applied = Applied::default();
        for key in &removed {
            self.remove(key, &mut applied);
        }
        for told in transfer.changed {
            self.put(told, &mut applied);
        }
        applied.removed = removed;
        Ok(applied)
    }

    /// The digest that a transfer must have to be applied.
    #[cfg(test)]
    pub(crate) fn digest_with(&self, transfer: &Transfer) -> Digest {
        self.digest_after(transfer, &self.removed_by(transfer))
    }

    /// What is held and goes: by name, or because its bucket is replaced and it is not named.
    fn removed_by(&self, transfer: &Transfer) -> Vec<Key> {
        let held = |key: &&Key| self.entries.contains_key(*key);
        let mut removed: Vec<_> = transfer.removed.iter().filter(held).cloned().collect();
        if !transfer.replaced.is_empty() {
            let named: HashSet<_> = transfer.changed.iter().map(|t| &t.key).collect();
            let gone = |(key, entry): &(&Key, &Entry)| {
                transfer.replaced.contains(&entry.bucket) && !named.contains(key)
            };
            let entries = self.entries.iter().filter(gone);
            removed.extend(entries.map(|(key, _)| key.clone()));
        }
        removed.sort_unstable();
        removed.dedup();
        removed
    }

    fn digest_after(&self, transfer: &Transfer, removed: &[Key]) -> Digest {
        let mut digest = self.digest.clone();
        let gone = transfer.changed.iter().map(|told| &told.key).chain(removed);
        for key in gone {
            if let Some(entry) = self.entries.get(key) {
                digest.remove(key.kind, &key.name, &entry.hash);
            }
        }
        for Told { key, hash, .. } in &transfer.changed {
            digest.insert(key.kind, &key.name, hash);
        }
        digest
    }

    /// Puts a resource in the digest, in the place of an older one of the same name.
    fn count(&mut self, told: &Told) {
        let Told { key, hash, .. } = told;
        if let Some(entry) = self.entries.get(key) {
            self.digest.remove(key.kind, &key.name, &entry.hash);
        }
        self.digest.insert(key.kind, &key.name, hash);
    }

    fn remove(&mut self, key: &Key, applied: &mut Applied) {
        self.faults.remove(key);
        if let Some(entry) = self.entries.remove(key) {
            applied.touch(key, &entry.form, &InUse::Nothing);
        }
    }

    fn put(&mut self, told: Told, applied: &mut Applied) {
        let (key, bucket, before) = match self.entries.remove_entry(&told.key) {
            Some((key, entry)) => (key, entry.bucket, entry.form),
            None => {
                let key = told.key.clone();
                let bucket = digest::bucket_of(key.kind, &key.name);
                (key, bucket, InUse::Nothing)
            }
        };
        let (form, usable) = match Decoded::from_told(&told) {
            Decoded::Usable(form) => {
                self.faults.remove(&key);
                (InUse::Good(form), Usable::Yes)
            }
            Decoded::Faulty { fault, closed } => {
                self.faults.insert(key.clone(), fault);
                let form = match (&before, closed) {
                    (InUse::Good(_), _) => before.clone(),
                    (InUse::Nothing | InUse::Closed(_), Some(form)) => InUse::Closed(form),
                    (InUse::Nothing | InUse::Closed(_), None) => before.clone(),
                };
                (form, Usable::No)
            }
        };
        applied.touch(&key, &before, &form);
        let hash = told.hash;
        self.entries.insert(key, Entry { hash, bucket, form });
        applied.told.push((told, usable));
    }
}

impl InUse {
    fn get(&self) -> Option<&Form> {
        match self {
            Self::Nothing => None,
            Self::Good(form) | Self::Closed(form) => Some(form),
        }
    }
}

impl Applied {
    fn touch(&mut self, key: &Key, before: &InUse, after: &InUse) {
        let (before, after) = (before.get(), after.get());
        if before != after {
            self.touched.push(Touched {
                key: key.clone(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }
}

/// Resources that are held at most, changed ones counted twice.
const MAX_HELD: usize = 4_000_000;

#[cfg(test)]
mod tests;
