//! Whether every proxy answers a CA already: it may ask any of them, from several places at once.

use std::sync::Arc;

use prost::Message as _;

use crate::model::key::ObjectKey;
use crate::model::managed::Managed;
use crate::plan::issuance::scheduler::Answering;
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
    presence: &'a Presence,
}

impl<'a> Barrier<'a> {
    /// That of the order of this certificate.
    pub fn of(
        key: &ObjectKey,
        managed: &Managed,
        publication: &Publication,
        presence: &'a Presence,
    ) -> Self {
        let (id, challenge) = project::challenge(key, managed);
        let resource = publication.snapshot().resources().get(&id);
        let wanted = challenge.map(|challenge| challenge.encode_to_vec());
        // That of an order before would not do.
        let published = resource.filter(|published| wanted.as_deref() == Some(&*published.body));
        Self {
            since: published.and_then(|resource| resource.changed_at),
            id,
            presence,
        }
    }

    /// Who answers.
    pub fn answering(&self) -> Answering {
        let Some(since) = self.since else {
            return Answering::Nobody;
        };
        let lowest = self.presence.lowest();
        let all_have = lowest.is_some_and(|version| version >= since);
        let mut proxies = self.presence.proxies();
        if all_have && proxies.by_ref().all(|proxy| self.answers(since, proxy)) {
            return Answering::All;
        }
        let mut proxies = self.presence.proxies();
        match proxies.any(|proxy| self.answers(since, proxy)) {
            true => Answering::Some,
            false => Answering::Nobody,
        }
    }

    /// Whether they are published.
    pub fn is_published(&self) -> bool {
        self.since.is_some()
    }

    /// Those that do not.
    pub fn lacking(&self) -> impl Iterator<Item = &Arc<str>> {
        let proxies = self.presence.proxies();
        let lacking = proxies.filter(|proxy| {
            let answers = self.since.map(|since| self.answers(since, proxy));
            answers != Some(true)
        });
        lacking.map(|proxy| &proxy.hello.proxy)
    }

    fn answers(&self, since: Version, proxy: &Proxy) -> bool {
        let acknowledged = proxy.acknowledged;
        acknowledged.is_some_and(|acknowledged| acknowledged.version >= since)
            && proxy.faults.iter().all(|fault| fault.resource != self.id)
    }
}
