//! The Kubernetes API as a source: each kind is listed, then watched, and becomes observations.
//!
//! What is sent can be relied on: a list is sent only when it is complete, and after it every
//! change. A watch that ends goes on where it was; one that cannot (410 Gone, a server that
//! forgot) begins with a list. Nothing is kept here but what a list under way has gathered.
//!
//! A watch on a half-dead connection looks like a quiet one. So watches are short, the server
//! ends each after a while ([`Scope::watch_seconds`]), and a connection that brings nothing for
//! longer than that (see `watch/client.rs`) is given up: no change stays unseen for much longer.

mod client;
mod failure;
mod guard;
mod kind;
mod named;
mod offered;
mod only;
mod pace;
mod round;
mod secrets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Secrets;
use crate::metrics::watch::WatchMetrics;
use crate::model::address::Sighting;
use crate::observe::Observation;
use crate::observe::convert::types::{EndpointSlice, Ingress, IngressClass, Service};
use crate::watch::guard::Guarded;
use crate::watch::kind::{KindWatch, run as follow};

pub use client::{ConnectError, connect};
pub use only::InUse;

/// Which objects are watched, and for how long at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Only objects of these namespaces; all, if there is none. IngressClasses are in none.
    pub namespaces: Vec<String>,
    /// Only Ingresses with these labels.
    pub label_selector: Option<String>,
    /// How long the server lets a watch live.
    pub watch_seconds: u32,
    /// How Secrets are read.
    pub secrets: Secrets,
}

/// Who is told of the statuses of Ingresses, if anyone. They are no observations: what we write
/// there must not come back as a change.
pub type Sightings = Option<Arc<dyn Fn(Sighting) + Send + Sync>>;

/// Watches all kinds until the engine is gone, of Secrets only those that are in use. Each change of `relist` makes all lists anew.
pub async fn run(
    client: Client,
    scope: Scope,
    inbox: mpsc::Sender<Observation>,
    relist: watch::Receiver<u64>,
    in_use: watch::Receiver<InUse>,
    sightings: Sightings,
    metrics: WatchMetrics,
) {
    let all = watcher::Config::default()
        .timeout(scope.watch_seconds)
        .page_size(PAGE);
    let ingresses = match &scope.label_selector {
        Some(selector) => all.clone().labels(selector),
        None => all.clone(),
    };
    let classes = vec![(String::new(), Api::all(client.clone()))];
    let mut kinds = JoinSet::new();
    let source = Source {
        inbox,
        relist,
        sightings,
        metrics,
    };
    kinds.spawn(follow(source.kind::<IngressClass>(classes, all.clone())));
    kinds.spawn(follow(
        source.kind::<Service>(apis(&client, &scope), all.clone()),
    ));
    kinds.spawn(follow(
        source.kind::<EndpointSlice>(apis(&client, &scope), all.clone()),
    ));
    match scope.secrets {
        Secrets::Watch => {
            let apis = apis(&client, &scope);
            let watch = source.kind(apis, all.fields(secrets::WATCHED));
            let only = secrets::in_use(&client, in_use, secrets::is_watched);
            kinds.spawn(follow(watch.only(only)));
        }
        Secrets::Get => {
            let watch = source.kind(Vec::new(), all);
            let only = secrets::in_use(&client, in_use, |_| false);
            kinds.spawn(follow(watch.only(only)));
        }
        Secrets::Off => {
            kinds.spawn(secrets::none(source.inbox.clone(), source.relist.clone()));
        }
    }
    kinds.spawn(follow(
        source.kind::<Ingress>(apis(&client, &scope), ingresses),
    ));
    drop(source);
    while let Some(ended) = kinds.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the watches of all kinds share.
struct Source {
    inbox: mpsc::Sender<Observation>,
    relist: watch::Receiver<u64>,
    sightings: Sightings,
    metrics: WatchMetrics,
}

impl Source {
    fn kind<K>(&self, apis: Vec<(String, Api<Guarded<K>>)>, config: watcher::Config) -> KindWatch<K>
    where
        K: Resource,
    {
        KindWatch {
            apis,
            config,
            inbox: self.inbox.clone(),
            relist: self.relist.clone(),
            sightings: self.sightings.clone(),
            only: None,
            metrics: self.metrics.clone(),
        }
    }
}

/// One interface for each namespace, with its name; one without a name for all.
fn apis<K>(client: &Client, scope: &Scope) -> Vec<(String, Api<Guarded<K>>)>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    if scope.namespaces.is_empty() {
        return vec![(String::new(), Api::all(client.clone()))];
    }
    let namespaces = scope.namespaces.iter();
    namespaces
        .map(|name| (name.clone(), Api::namespaced(client.clone(), name)))
        .collect()
}

/// Objects of a list that are in memory at once as they came, at a kilobyte or a few each. The
/// smaller the pages, the longer a list takes.
const PAGE: u32 = 1000;
