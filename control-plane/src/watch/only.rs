//! Of a kind only those objects that something refers to: the others are not kept, nor looked at.
//!
//! Apart from the watch of a kind, which it narrows. Lists and watches show some of those that are
//! referred to; the rest is asked for by name: what is referred to since they passed by it, what
//! they do not select, and all of it where they are not allowed.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use tokio::sync::watch;

use crate::event::Seq;
use crate::model::key::{ObjectKey, Origin};
use crate::watch::named::{Ask, Named};

/// What is referred to, and since which record; `None` while that is not known, because not
/// everything was listed that could refer to something.
pub type InUse = Option<OrdMap<ObjectKey, Seq>>;

/// What is wanted of a kind.
pub(super) struct Only<T> {
    in_use: watch::Receiver<InUse>,
    known: OrdMap<ObjectKey, Seq>,
    named: Named<T>,
    /// Whether a watch shows this object.
    watched: fn(&T) -> bool,
    /// What was found by name, and of which version.
    found: BTreeMap<ObjectKey, Box<str>>,
    /// What has to be answered before the list is complete; `None`: the others are still listing.
    unanswered: Option<BTreeSet<ObjectKey>>,
    /// What may not be asked for.
    forbidden: BTreeSet<ObjectKey>,
    /// How often in a row there was no answer.
    unheard: BTreeMap<ObjectKey, u32>,
}

impl<T: Send + 'static> Only<T> {
    pub(super) fn new(
        in_use: watch::Receiver<InUse>,
        ask: Ask<T>,
        watched: fn(&T) -> bool,
    ) -> Self {
        Self {
            in_use,
            known: OrdMap::new(),
            named: Named::new(ask),
            watched,
            found: BTreeMap::new(),
            unanswered: None,
            forbidden: BTreeSet::new(),
            unheard: BTreeMap::new(),
        }
    }

    /// Begins anew, once it is known what is referred to; `false`: it never will be.
    pub(super) async fn begin(&mut self) -> bool {
        self.named.clear();
        self.found.clear();
        self.forbidden.clear();
        self.unheard.clear();
        self.unanswered = None;
        let Ok(known) = self.in_use.wait_for(Option::is_some).await else {
            return false;
        };
        self.known = known.clone().unwrap_or_default();
        true
    }

    /// The next answer; `None`: something else is referred to, and what is new is asked for.
    pub(super) async fn next(&mut self) -> Option<(ObjectKey, kube::Result<Option<T>>)> {
        tokio::select! {
            changed = self.in_use.changed() => {
                if changed.is_err() {
                    // The engine is gone, which its inbox tells.
                    return std::future::pending().await;
                }
                self.refer();
                None
            }
            answer = self.named.next() => Some(answer),
        }
    }

    fn refer(&mut self) {
        // Unknown again: a term ends, and so does this.
        let Some(now) = self.in_use.borrow_and_update().clone() else {
            return;
        };
        let before = std::mem::replace(&mut self.known, now.clone());
        for item in before.diff(&now) {
            match item {
                DiffItem::Add(key, _) | DiffItem::Update { new: (key, _), .. } => {
                    // What was told of it before was forgotten.
                    self.found.remove(key);
                    // What a list under way does not have is asked for at its end.
                    if let Some(unanswered) = self.unanswered.as_mut().filter(|_| is_mine(key)) {
                        self.named.want(key.clone());
                        unanswered.insert(key.clone());
                    }
                }
                DiffItem::Remove(key, _) => {
                    self.named.leave(key);
                    self.found.remove(key);
                    self.forbidden.remove(key);
                    self.unheard.remove(key);
                    self.answered(key);
                }
            }
        }
    }

    /// Whether an object that is listed or watched is wanted. Then what was asked for by name
    /// is older, unless it is `older` than what was found so.
    pub(super) fn takes(&mut self, key: &ObjectKey, version: &str) -> bool {
        if !self.known.contains_key(key) {
            return false;
        }
        let number = |version: &str| version.parse::<u64>().ok();
        let found = self.found.get(key).and_then(|found| number(found));
        if number(version).is_some_and(|version| found.is_some_and(|found| version < found)) {
            return false;
        }
        self.found.remove(key);
        self.named.leave(key);
        self.answered(key);
        true
    }

    /// The object is gone, as a watch says: another may come that the watch does not select.
    pub(super) fn gone(&mut self, key: &ObjectKey) {
        self.named.want(key.clone());
    }

    /// All lists are complete: what they did not have is asked for.
    pub(super) fn listed(&mut self, has: impl Fn(&ObjectKey) -> bool) {
        if self.unanswered.is_some() {
            return;
        }
        let mine = self.known.keys().filter(|key| is_mine(key));
        let missing = mine.filter(|key| !has(key)).cloned();
        let missing: BTreeSet<ObjectKey> = missing.collect();
        for key in &missing {
            self.named.want(key.clone());
        }
        self.unanswered = Some(missing);
    }

    /// Whether nothing has to be waited for any more.
    pub(super) fn is_complete(&self) -> bool {
        self.unanswered.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// An object was found by name; whether it is another than it was. If a watch shows it from
    /// now on, it is asked for no more.
    pub(super) fn found(
        &mut self,
        key: &ObjectKey,
        (version, object): (&str, &T),
        watches: bool,
    ) -> bool {
        self.answered(key);
        if watches && (self.watched)(object) {
            self.named.leave(key);
        }
        let before = self.found.insert(key.clone(), version.into());
        before.as_deref() != Some(version)
    }

    /// There is none of this name; whether there was one.
    pub(super) fn missed(&mut self, key: &ObjectKey) -> bool {
        self.answered(key);
        self.found.remove(key).is_some()
    }

    /// It may not be asked for; whether it is the first.
    pub(super) fn forbade(&mut self, key: &ObjectKey) -> bool {
        self.answered(key);
        let first = self.forbidden.is_empty();
        self.forbidden.insert(key.clone());
        first
    }

    /// There was no answer. After some in a row nothing waits for one any more.
    pub(super) fn not_heard(&mut self, key: &ObjectKey) {
        let times = self.unheard.entry(key.clone()).or_default();
        *times = times.saturating_add(1);
        if *times >= GIVE_UP {
            self.answered(key);
        }
    }

    /// One of those of which there was no answer.
    pub(super) fn unheard(&self) -> Option<&ObjectKey> {
        let mut unheard = self.unheard.iter();
        unheard
            .find(|(_, times)| **times >= GIVE_UP)
            .map(|(key, _)| key)
    }

    /// It may be asked for; whether it is the last that could not be.
    pub(super) fn allowed(&mut self, key: &ObjectKey) -> bool {
        self.unheard.remove(key);
        self.forbidden.remove(key) && self.forbidden.is_empty()
    }

    /// The namespaces in which something may not be asked for.
    pub(super) fn forbidden(&self) -> BTreeSet<&str> {
        self.forbidden.iter().map(|key| &*key.namespace).collect()
    }

    fn answered(&mut self, key: &ObjectKey) {
        if let Some(unanswered) = &mut self.unanswered {
            unanswered.remove(key);
        }
    }
}

/// Failures of one question in a row after which others do not wait for its answer.
const GIVE_UP: u32 = 5;

/// What a folder has is in use, too.
fn is_mine(key: &ObjectKey) -> bool {
    key.origin == Origin::Kubernetes
}
