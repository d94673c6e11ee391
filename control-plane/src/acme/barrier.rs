//! Whether every proxy answers a CA already: it may ask any of them, from several places at once.

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
pub struct Barrier<'a> {
    id: ResourceId,
    /// Since which version they are published; `None`: they are not.
    since: Option<Version>,
    proxies: Proxies<'a>,
}

/// All that a CA may come to.
#[derive(Clone, Copy, Debug)]
pub struct Proxies<'a> {
    /// Who is connected.
    pub presence: &'a Presence,
    /// Who takes traffic, connected or not, where that is known.
    pub ready: &'a ReadyPods,
}

impl<'a> Barrier<'a> {
    /// That of the order of this certificate.
    pub fn of(
        key: &ObjectKey,
        managed: &Managed,
        publication: &Publication,
        proxies: Proxies<'a>,
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
        let all_have = presence.lowest().is_some_and(|version| version >= since);
        let all_answer = all_have && presence.proxies().all(|proxy| self.answers(since, proxy));
        let any_answers = presence.proxies().any(|proxy| self.answers(since, proxy));
        match (all_answer, any_answers) {
            (_, false) => Answering::Nobody,
            _ if self.is_anyone_ready_lacking(since) => Answering::NotAllReady,
            (true, true) => Answering::All,
            (false, true) => Answering::Some,
        }
    }

    /// Whether one that takes traffic does not answer.
    fn is_anyone_ready_lacking(&self, since: Version) -> bool {
        let Some(ready) = self.proxies.ready else {
            return false;
        };
        let answering = self.proxies.presence.proxies();
        let answering = answering.filter(|proxy| self.answers(since, proxy));
        let answering: BTreeSet<&str> = answering.map(|proxy| pod(&proxy.hello.proxy)).collect();
        ready.iter().any(|pod| !answering.contains(&**pod))
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
        let connected = self.proxies.presence.proxies();
        let connected: BTreeSet<&str> = connected.map(|proxy| pod(&proxy.hello.proxy)).collect();
        let ready = self.proxies.ready.iter().flat_map(|pods| pods.iter());
        let gone = ready.filter(move |pod| !connected.contains(&***pod));
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
