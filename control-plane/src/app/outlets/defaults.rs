//! Listeners whose default certificate is not there.
//!
//! A Secret that nobody has made is an object of nobody that could be told: the operator who named it
//! is told here.

use std::collections::BTreeSet;

use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::snapshot::publication::Publication;
use crate::snapshot::{ResourceId, Snapshot};

/// The names of those that lack it now and did not before. What was found in the log alone tells
/// nothing: the Secret may be seen in a moment.
pub(super) fn lacking(before: &Publication, after: &Publication) -> BTreeSet<Box<str>> {
    if after.is_restored() {
        return BTreeSet::new();
    }
    let mut lacking = lack(after.snapshot());
    if !before.is_restored() {
        let before = lack(before.snapshot());
        lacking.retain(|name| !before.contains(name));
    }
    lacking
}

fn lack(snapshot: &Snapshot) -> BTreeSet<Box<str>> {
    let resources = snapshot.resources();
    let first = ResourceId::new(ResourceType::Listener, "");
    let listeners = resources.range(first..);
    let listeners = listeners.take_while(|(id, _)| id.kind == ResourceType::Listener);
    let lacks = listeners.filter(|(_, resource)| {
        // The bytes are projection's own, so that there is nothing to refuse.
        let listener = v1::Listener::decode(resource.body.clone()).unwrap_or_default();
        let names = listener.tls.unwrap_or_default().default_certificates;
        let mut ids = names
            .iter()
            .map(|name| ResourceId::new(ResourceType::Certificate, name.as_str()));
        !names.is_empty() && !ids.any(|id| resources.contains_key(&id))
    });
    lacks.map(|(id, _)| id.name.as_ref().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Seq};
    use crate::snapshot::{Change, Version};

    /// The next publication, with this change.
    fn publish(before: &Publication, id: ResourceId, body: Option<Vec<u8>>) -> Publication {
        let mut snapshot = before.snapshot().clone();
        let version = Version {
            epoch: Epoch(1),
            seq: Seq(before.number() + 1),
        };
        let body = body.map(|body| (body, [].as_slice()));
        let changed = snapshot.configure(version, vec![Change { id, body }]);
        before.succeed("lineage".into(), snapshot, changed.into())
    }

    #[test]
    fn a_listener_is_told_of_once_for_each_time_that_its_certificate_is_gone() {
        let listener = v1::Listener {
            tls: Some(v1::TlsPolicy {
                default_certificates: vec!["secret/a/b@folder".into(), "secret/a/b".into()],
                ..v1::TlsPolicy::default()
            }),
            ..v1::Listener::default()
        };
        let https = || ResourceId::new(ResourceType::Listener, "https");
        let secret = || ResourceId::new(ResourceType::Certificate, "secret/a/b");
        let told = |before: &Publication, after: &Publication| lacking(before, after).len();
        let nothing = Publication::default();
        let without = publish(&nothing, https(), Some(listener.encode_to_vec()));
        assert_eq!(
            *lacking(&nothing, &without).first().unwrap(),
            "https".into()
        );
        let same = publish(&without, secret(), None);
        assert_eq!(told(&without, &same), 0);
        let with = publish(&same, secret(), Some(vec![]));
        assert_eq!(told(&same, &with), 0);
        let gone = publish(&with, secret(), None);
        assert_eq!(told(&with, &gone), 1);
        let plain = publish(
            &gone,
            https(),
            Some(v1::Listener::default().encode_to_vec()),
        );
        assert_eq!(told(&gone, &plain), 0);
    }
}
