//! The watch of one kind: streams in, observations out.

mod by_name;

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, select_all};
use kube::runtime::watcher::{self, Error, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::metrics::watch::WatchMetrics;
use crate::model::address::Sighting;
use crate::model::key::{Kind, Origin};
use crate::observe::convert::{Convert, NameError, Place, key, malformed, seen};
use crate::observe::{Observation, Seen};
use crate::watch::Sightings;
use crate::watch::failure::{Cause, WATCH, missing_rule};
use crate::watch::guard::Guarded;
use crate::watch::kind::by_name::next_by_name;
use crate::watch::offered::is_absent;
use crate::watch::only::Only;
use crate::watch::pace::{Failed, paced};
use crate::watch::round::{Item, Round, Step};

/// What watches one kind.
pub(super) struct KindWatch<K> {
    /// The interface for each namespace, with its name; one without a name for all.
    pub(super) apis: Vec<(String, Api<Guarded<K>>)>,
    pub(super) config: watcher::Config,
    pub(super) inbox: mpsc::Sender<Observation>,
    pub(super) relist: watch::Receiver<u64>,
    pub(super) sightings: Sightings,
    /// If not all objects are wanted. Without an interface above, all is asked for by name.
    pub(super) only: Option<Only<Guarded<K>>>,
    pub(super) metrics: WatchMetrics,
}

/// A type of the Kubernetes API that is watched.
pub(super) trait Watched:
    Convert + Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Convert
        + Resource<DynamicType = ()>
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// Runs until the engine is gone.
pub(super) async fn run<K: Watched>(mut watch: KindWatch<K>) {
    let mut said = Said::default();
    loop {
        match watch.round(&mut said).await {
            End::StartOver => {}
            End::Relist => said.unlistable = None,
            End::EngineGone => return,
        }
    }
}

/// Why a round ended.
enum End {
    StartOver,
    Relist,
    EngineGone,
}

/// The events of one namespace, with its number.
type Stream<K> = BoxStream<'static, (usize, Result<Event<Guarded<K>>, Failed>)>;

/// What was said already, and is not said again before it changes.
#[derive(Default)]
struct Said {
    unlistable: Option<Observation>,
    absent: bool,
    trouble: bool,
}

/// What a failure comes to.
enum Verdict {
    /// The stream tries again by itself.
    Wait,
    StartOver,
    Absent,
    Refused(String),
}

impl<K: Watched> KindWatch<K> {
    /// The same, of these objects only.
    pub(super) fn only(mut self, only: Only<Guarded<K>>) -> Self {
        self.only = Some(only);
        self
    }

    /// Lists, and watches until it has to list again.
    async fn round(&mut self, said: &mut Said) -> End {
        if let Some(end) = self.begin().await {
            return end;
        }
        let parts = self.apis.len() + usize::from(self.only.is_some());
        let mut round = Round::new(K::MODEL_KIND, parts);
        let mut streams = select_all(self.streams());
        let mut look_again = None;
        let begun = Instant::now();
        // Without lists there may be nothing to wait for.
        if let Step::Send(observations) = self.complete(&mut round)
            && !self.send(observations, begun, said).await
        {
            return End::EngineGone;
        }
        loop {
            let next = tokio::select! {
                changed = self.relist.changed() => match changed {
                    Ok(()) => return End::Relist,
                    Err(_) => return End::EngineGone,
                },
                () = self.inbox.closed() => return End::EngineGone,
                () = until(look_again) => return End::StartOver,
                answer = next_by_name(&mut self.only) => {
                    match self.by_name(&mut round, answer) {
                        Step::StartOver => return End::StartOver,
                        Step::Send(observations) => {
                            if !self.send(observations, begun, said).await {
                                return End::EngineGone;
                            }
                        }
                    }
                    continue;
                }
                // A kind that is absent is looked for now and then, and not polled meanwhile.
                next = streams.next(), if look_again.is_none() && !self.apis.is_empty() => next,
            };
            let Some((stream, item)) = next else {
                return End::StartOver;
            };
            let item = match item {
                Ok(event) => {
                    said.passed::<K>(&event);
                    self.item(&event)
                }
                Err(failed) => match self.verdict(stream, &failed, said) {
                    Verdict::Wait => None,
                    Verdict::StartOver => return End::StartOver,
                    Verdict::Refused(why) => Some(Item::Refused(why)),
                    Verdict::Absent if !self.is_absent().await => {
                        said.contradicted::<K>();
                        None
                    }
                    Verdict::Absent => {
                        said.absent::<K>();
                        look_again = Some(Instant::now() + LOOK_FOR_ABSENT);
                        // Of what does not exist there is nothing: a complete list.
                        round = Round::new(K::MODEL_KIND, 1);
                        Some(Item::End)
                    }
                },
            };
            let Some(item) = item else { continue };
            let stream = if look_again.is_some() { 0 } else { stream };
            match self.take(&mut round, stream, item) {
                Step::StartOver => return End::StartOver,
                Step::Send(observations) => {
                    if !self.send(observations, begun, said).await {
                        return End::EngineGone;
                    }
                }
            }
        }
    }

    fn streams(&self) -> Vec<Stream<K>> {
        let apis = self.apis.iter().enumerate();
        apis.map(|(stream, (_, api))| {
            paced(watcher(api.clone(), self.config.clone()))
                .map(move |item| (stream, item))
                .boxed()
        })
        .collect()
    }

    fn item(&mut self, event: &Event<Guarded<K>>) -> Option<Item> {
        if !self.wants(event) {
            return None;
        }
        let item = match event {
            Event::Init => Ok(Item::Begin),
            Event::InitDone => Ok(Item::End),
            Event::InitApply(object) => self.convert(object).map(Item::Listed),
            Event::Apply(object) => self.convert(object).map(Item::Changed),
            Event::Delete(object) => {
                let version = object.meta().resource_version.as_deref();
                let version = version.unwrap_or_default().into();
                key::<K>(Origin::Kubernetes, object.meta()).map(|key| Item::Deleted(key, version))
            }
        };
        match item {
            Ok(item) => Some(item),
            Err(error) => {
                // The API server takes no such object; without a name nobody can be told.
                tracing::error!(kind = %K::MODEL_KIND, %error, "an object is left out");
                self.metrics.unnamed(K::MODEL_KIND);
                None
            }
        }
    }

    fn convert(&self, object: &Guarded<K>) -> Result<Seen, NameError> {
        let seen = match &object.0 {
            Ok(object) => seen(Place::Kubernetes, object),
            Err(broken) => malformed::<K>(Place::Kubernetes, &broken.metadata, &broken.error),
        }?;
        if let Some(told) = &self.sightings
            && let Ok(object) = &object.0
            && let Some(published) = object.published()
        {
            told(Sighting::Is(seen.key.clone(), published));
        }
        Ok(seen)
    }

    /// What else there is to tell of statuses.
    fn sight(&self, observation: &Observation) {
        let Some(told) = self
            .sightings
            .as_ref()
            .filter(|_| K::MODEL_KIND == Kind::Ingress)
        else {
            return;
        };
        if let Observation::Deleted(key) = observation {
            told(Sighting::Gone(key.clone()));
        } else if let Observation::Listed { objects, .. } = observation {
            let keys = objects.iter().map(|seen| seen.key.clone());
            told(Sighting::All(keys.collect()));
        }
    }

    async fn is_absent(&self) -> bool {
        match self.apis.first() {
            Some((_, api)) => is_absent::<Guarded<K>>(&api.clone().into_client()).await,
            None => false,
        }
    }

    fn verdict(&self, stream: usize, failed: &Failed, said: &mut Said) -> Verdict {
        let Failed { error, in_a_row } = failed;
        let cause = Cause::of(error);
        self.metrics.failure(K::MODEL_KIND, cause.as_str());
        let listing = matches!(**error, Error::InitialListFailed(_));
        said.failed::<K>(failed, cause, listing);
        match cause {
            // Several times, because a server that is coming up may not know everything yet,
            // and the rules of an installation come one after the other.
            Cause::Absent if listing && *in_a_row >= SURE => Verdict::Absent,
            Cause::Forbidden if listing && *in_a_row >= SURE => {
                let namespace = self.apis.get(stream).map_or("", |(name, _)| name);
                Verdict::Refused(missing_rule(K::MODEL_KIND, namespace, WATCH))
            }
            Cause::Absent | Cause::Forbidden if !listing => Verdict::StartOver,
            // kube's watcher begins anew by itself only if a watch that stands brings this.
            Cause::Gone if !listing => Verdict::StartOver,
            // A server that never had the version that it is to go on from may fail for ever.
            Cause::Unavailable if !listing && *in_a_row >= GIVE_UP => Verdict::StartOver,
            // Without these there is something to serve: others do not wait for them for ever.
            Cause::Unavailable if self.only.is_some() && *in_a_row >= GIVE_UP => {
                Verdict::Refused("the API server does not answer with a list".to_owned())
            }
            Cause::Absent | Cause::Forbidden | Cause::Gone | Cause::Unavailable => Verdict::Wait,
        }
    }

    /// Returns whether the engine is still there.
    async fn send(&self, observations: Vec<Observation>, begun: Instant, said: &mut Said) -> bool {
        for observation in observations {
            self.sight(&observation);
            match &observation {
                Observation::Listed { objects, .. } => {
                    self.metrics.list(K::MODEL_KIND);
                    let (objects, took) = (objects.len(), begun.elapsed());
                    tracing::info!(kind = %K::MODEL_KIND, objects, ?took, "listed");
                    said.unlistable = None;
                }
                Observation::Unlistable { .. } => {
                    let now = Some(observation.clone());
                    if said.unlistable == now {
                        continue;
                    }
                    said.unlistable = now;
                }
                Observation::Configured(_)
                | Observation::Recovered { .. }
                | Observation::Changed(_)
                | Observation::Deleted(_)
                | Observation::Vanished { .. }
                | Observation::Unconfigured { .. }
                | Observation::Confirmed(_)
                | Observation::Proxy(_) => {}
            }
            if self.inbox.send(observation).await.is_err() {
                return false;
            }
        }
        true
    }
}

impl Said {
    fn failed<K: Watched>(&mut self, failed: &Failed, cause: Cause, listing: bool) {
        let Failed { error, in_a_row } = failed;
        let worrying = match cause {
            // Told otherwise, once it is sure.
            Cause::Absent | Cause::Forbidden => false,
            // This is how old watches end.
            Cause::Gone => false,
            // A watch that is cut once goes on where it was.
            Cause::Unavailable => listing || *in_a_row > 1,
        };
        if self.trouble || !worrying {
            tracing::debug!(kind = %K::MODEL_KIND, %error, in_a_row, "tried again");
        } else {
            self.trouble = true;
            tracing::warn!(kind = %K::MODEL_KIND, %error, "the API server is asked again and again");
        }
    }

    fn contradicted<K: Watched>(&mut self) {
        if !std::mem::replace(&mut self.trouble, true) {
            tracing::warn!(
                kind = %K::MODEL_KIND,
                "the API server finds no such kind and does not say that it has none: it is asked \
                 again and again"
            );
        }
    }

    fn absent<K: Watched>(&mut self) {
        if !std::mem::replace(&mut self.absent, true) {
            tracing::info!(kind = %K::MODEL_KIND, "the cluster does not know this kind");
        }
    }

    fn passed<K: Watched>(&mut self, event: &Event<Guarded<K>>) {
        if matches!(event, Event::Init) {
            return;
        }
        self.absent = false;
        if std::mem::take(&mut self.trouble) {
            tracing::info!(kind = %K::MODEL_KIND, "the API server answers again");
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Failures of one sort in a row, over less than a second, that are believed.
const SURE: u32 = 3;
/// Failures of a watch in a row after which it is not tried again from where it was.
const GIVE_UP: u32 = 5;
const LOOK_FOR_ABSENT: Duration = Duration::from_secs(60);
