//! Which pods are proxies that take traffic, as Kubernetes has it.
//!
//! Apart from who is connected: a CA's question may come to a proxy that has lost us, and that one
//! does not answer it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;

/// The names of those that are Ready and not about to end; `None`: that is not known.
pub type ReadyPods = Option<Arc<BTreeSet<Arc<str>>>>;

/// Follows those that a label selector finds, for as long as somebody wants to know. What was known
/// last counts while they cannot be watched.
pub async fn follow(
    api: Api<Pod>,
    selector: &str,
    watch_seconds: u32,
    ready: watch::Sender<ReadyPods>,
) {
    let config = Config::default().labels(selector).timeout(watch_seconds);
    let mut items = pin!(watcher(api, config).default_backoff());
    let mut pods = BTreeMap::new();
    // Half a list is none.
    let mut listing = None;
    let mut failing = false;
    loop {
        let item = tokio::select! {
            item = items.next() => item,
            () = ready.closed() => return,
        };
        match item {
            Some(Ok(Event::Init)) => listing = Some(BTreeMap::new()),
            Some(Ok(Event::InitApply(pod))) => {
                let listing = listing.get_or_insert_default();
                listing.insert(name(&pod), is_ready(&pod));
            }
            Some(Ok(Event::InitDone)) => pods = listing.take().unwrap_or_default(),
            Some(Ok(Event::Apply(pod))) => {
                pods.insert(name(&pod), is_ready(&pod));
            }
            Some(Ok(Event::Delete(pod))) => {
                pods.remove(&name(&pod));
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        %error,
                        "the pods of proxies cannot be watched, and a CA is not kept waiting for one \
                         that is not connected; see that acme.proxyPods is a label selector, and that \
                         the control plane has a Role in its namespace with {{apiGroups: [\"\"], \
                         resources: [\"pods\"], verbs: [list, watch]}}"
                    );
                }
                continue;
            }
            None => return,
        }
        if listing.is_some() {
            continue;
        }
        failing = false;
        let now = pods.iter().filter(|(_, is_ready)| **is_ready);
        let now: BTreeSet<Arc<str>> = now.map(|(name, _)| Arc::clone(name)).collect();
        ready.send_if_modified(|known| {
            let is_new = known.as_deref() != Some(&now);
            if is_new {
                *known = Some(Arc::new(now));
            }
            is_new
        });
    }
}

fn name(pod: &Pod) -> Arc<str> {
    pod.name_any().into()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    let is_ready = conditions.any(|found| found.type_ == "Ready" && found.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}
