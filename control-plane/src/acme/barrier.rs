//! Whether every proxy answers a CA already: it may ask any of them, from several places at once.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message as _;

use crate::acme::pods::ReadyPods;
use crate::model::key::ObjectKey;
use crate::model::managed::Managed;
use crate::plan::issuance::answering::Answering;
use crate::presence::{Presence, Proxy};
use crate::project;
use crate::snapshot::publication::Publication;
use crate::snapshot::{ResourceId, Version};

/// The challenges of an order, and who answers by them.
#[derive(Debug)]
pub struct Barrier<'a, 'p> {
    id: ResourceId,
    /// Since which version they are published; `None`: they are not.
    since: Option<Version>,
    proxies: &'a Proxies<'p>,
}

/// All that a CA may come to.
#[derive(Debug)]
pub struct Proxies<'a> {
    /// Who is connected.
    presence: &'a Presence,
    /// Who takes traffic, connected or not, where that is known.
    ready: &'a ReadyPods,
    /// Those of them that are not connected: found once, for all orders.
    gone: OnceCell<Vec<&'a Arc<str>>>,
}

impl<'a> Proxies<'a> {
    pub fn new(presence: &'a Presence, ready: &'a ReadyPods) -> Self {
        Self {
            presence,
            ready,
            gone: OnceCell::new(),
        }
    }

    /// Whether there is none at all.
    pub fn is_nobody(&self) -> bool {
        self.presence.is_empty() && self.gone().is_empty()
    }

    fn is_ready(&self, proxy: &Proxy) -> bool {
        let ready = self.ready.as_ref();
        ready.is_some_and(|ready| ready.contains(pod(&proxy.hello.proxy)))
    }

    fn gone(&self) -> &[&'a Arc<str>] {
        self.gone.get_or_init(|| {
            let Some(ready) = self.ready else {
                return Vec::new();
            };
            let connected = self.presence.proxies();
            let connected: BTreeSet<&str> =
                connected.map(|proxy| pod(&proxy.hello.proxy)).collect();
            let gone = ready.iter().filter(|pod| !connected.contains(&***pod));
            gone.collect()
        })
    }
}

impl<'a, 'p> Barrier<'a, 'p> {
    /// That of the order of this certificate.
    pub fn of(
        key: &ObjectKey,
        managed: &Managed,
        publication: &Publication,
        proxies: &'a Proxies<'p>,
    ) -> Self {
        let (id, challenge) = project::challenge(key, managed);
        let resource = publication.snapshot().resources().get(&id);
        let wanted = challenge.map(|challenge| challenge.encode_to_vec());
        // That of an order before would not do.
        let published = resource.filter(|published| wanted.as_deref() == Some(&*published.body));
        Self {
            since: published.and_then(|resource| resource.changed_at),
            id,
            proxies,
        }
    }

    /// Who answers.
    pub fn answering(&self) -> Answering {
        let Some(since) = self.since else {
            return Answering::Nobody;
        };
        let presence = self.proxies.presence;
        let answers = |proxy: &Proxy| self.answers(since, proxy);
        if !presence.proxies().any(answers) {
            return Answering::Nobody;
        }
        let all_have = presence.lowest().is_some_and(|version| version >= since);
        let all_answer = all_have && presence.proxies().all(answers);
        let lacks = |proxy: &Proxy| self.proxies.is_ready(proxy) && !answers(proxy);
        if !self.proxies.gone().is_empty() || !all_answer && presence.proxies().any(lacks) {
            return Answering::NotAllReady;
        }
        match all_answer {
            true => Answering::All,
            false => Answering::Some,
        }
    }

    /// Whether they are published.
    pub fn is_published(&self) -> bool {
        self.since.is_some()
    }

    /// Those that do not, and those that take traffic and are not connected.
    pub fn lacking(&self) -> impl Iterator<Item = &Arc<str>> {
        let proxies = self.proxies.presence.proxies();
        let lacking = proxies.filter(|proxy| {
            let answers = self.since.map(|since| self.answers(since, proxy));
            answers != Some(true)
        });
        let gone = self.proxies.gone().iter().copied();
        lacking.map(|proxy| &proxy.hello.proxy).chain(gone)
    }

    fn answers(&self, since: Version, proxy: &Proxy) -> bool {
        let acknowledged = proxy.acknowledged;
        acknowledged.is_some_and(|acknowledged| acknowledged.version >= since)
            && proxy.faults.iter().all(|fault| fault.resource != self.id)
    }
}

/// The pod of a proxy: NODE/POD, or its name alone.
fn pod(proxy: &str) -> &str {
    proxy.rsplit_once('/').map_or(proxy, |(_, pod)| pod)
}
