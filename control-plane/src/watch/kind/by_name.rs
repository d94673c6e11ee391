//! What a kind's watch does about objects that are asked for by name.
//!
//! Apart from its streams: only kinds of which not all objects are wanted have this.

use kube::Resource as _;
use kube::runtime::watcher::Event;

use crate::model::key::{ObjectKey, Origin};
use crate::observe::convert::key;
use crate::watch::failure::{Cause, GET, missing_rule};
use crate::watch::guard::Guarded;
use crate::watch::kind::{End, KindWatch, Watched};
use crate::watch::only::Only;
use crate::watch::round::{Item, Round, Step};

/// An answer; `None`: something else is referred to than before.
pub(super) type Answer<K> = Option<(ObjectKey, kube::Result<Option<Guarded<K>>>)>;

/// The next answer, if anything is asked for by name.
pub(super) async fn next_by_name<K: Watched>(only: &mut Option<Only<Guarded<K>>>) -> Answer<K> {
    match only {
        Some(only) => only.next().await,
        None => std::future::pending().await,
    }
}

impl<K: Watched> KindWatch<K> {
    /// Waits until it is known which objects are wanted. Says if it must end instead.
    pub(super) async fn begin(&mut self) -> Option<End> {
        let only = self.only.as_mut()?;
        tokio::select! {
            known = only.begin() => (!known).then_some(End::EngineGone),
            changed = self.relist.changed() => Some(match changed {
                Ok(()) => End::Relist,
                Err(_) => End::EngineGone,
            }),
            () = self.inbox.closed() => Some(End::EngineGone),
        }
    }

    /// Whether an event is of an object that is wanted, or of the stream itself.
    pub(super) fn wants(&mut self, event: &Event<Guarded<K>>) -> bool {
        let Some(only) = &mut self.only else {
            return true;
        };
        let object = match event {
            Event::Init | Event::InitDone => return true,
            Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) => object,
        };
        let Ok(key) = key::<K>(Origin::Kubernetes, object.meta()) else {
            // Nobody can refer to what has no name.
            return false;
        };
        let version = object.meta().resource_version.as_deref();
        let takes = only.takes(&key, version.unwrap_or_default());
        if takes && matches!(event, Event::Delete(_)) {
            only.gone(&key);
        }
        takes
    }

    /// Takes in what a stream brought, and what that makes complete.
    pub(super) fn take(&mut self, round: &mut Round, stream: usize, item: Item) -> Step {
        match round.take(stream, item) {
            Step::StartOver => Step::StartOver,
            Step::Send(observations) if observations.is_empty() => self.complete(round),
            Step::Send(observations) => Step::Send(observations),
        }
    }

    /// Takes in an answer.
    pub(super) fn by_name(&mut self, round: &mut Round, answer: Answer<K>) -> Step {
        let Some((key, answer)) = answer else {
            return self.complete(round);
        };
        let Some(only) = &mut self.only else {
            return Step::Send(Vec::new());
        };
        if answer.is_ok() && only.allowed(&key) && round.is_live() {
            return Step::StartOver;
        }
        let item = match answer {
            Ok(Some(object)) => {
                let version = object.meta().resource_version.clone().unwrap_or_default();
                let watches = !round.is_refused_but(self.apis.len());
                let news = only.found(&key, (&version, &object), watches);
                // It has the name that was asked for.
                let seen = self.convert(&object).ok();
                seen.filter(|_| news).map(Item::Got)
            }
            Ok(None) => only.missed(&key).then_some(Item::Lost(key)),
            Err(error) => {
                let cause = Cause::of_answer(&error);
                self.metrics.failure(K::MODEL_KIND, cause.as_str());
                tracing::debug!(object = %key, %error, "is asked for again");
                let forbidden = cause == Cause::Forbidden;
                if !forbidden {
                    only.not_heard(&key);
                }
                if forbidden && only.forbade(&key) && self.apis.is_empty() && round.is_live() {
                    return Step::StartOver;
                }
                None
            }
        };
        match item {
            Some(item) => self.take(round, self.apis.len(), item),
            None => self.complete(round),
        }
    }

    /// The list, if all was listed and what no list has was asked for.
    pub(super) fn complete(&mut self, round: &mut Round) -> Step {
        let by_name = self.apis.len();
        let Some(only) = self.only.as_mut().filter(|_| round.waits_for_only(by_name)) else {
            return Step::Send(Vec::new());
        };
        only.listed(|key| round.has(key));
        if !only.is_complete() {
            return Step::Send(Vec::new());
        }
        // What is not known must not be taken for deleted.
        let rules = only.forbidden().into_iter();
        let rules = rules.map(|namespace| missing_rule(K::MODEL_KIND, namespace, GET));
        let unheard = only.unheard();
        let unheard = unheard.map(|key| format!("the API server does not answer for {key}"));
        let problems: Vec<String> = rules.chain(unheard).collect();
        round.take(
            by_name,
            match problems.is_empty() {
                true => Item::End,
                false => Item::Refused(problems.join("; ")),
            },
        )
    }
}
