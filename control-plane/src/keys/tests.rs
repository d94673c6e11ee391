//! Publications that name bundles, and the handle.

use roadstead_proto::v1;

use super::*;
use crate::clock::since_boot;
use crate::event::{Epoch, Seq};
use crate::snapshot::{Change, ResourceId, Snapshot, Version};

/// A bundle with this key.
pub(super) fn bundle(key: &[u8]) -> Bundle {
    Bundle::new(vec![b"chain".to_vec()], key.to_vec())
}

/// The first publication, or the next, with exactly these certificates.
pub(super) fn publication(
    before: Option<&Publication>,
    certificates: &[(&str, &Bundle)],
) -> Publication {
    use prost::Message as _;
    let mut snapshot = Snapshot::default();
    let version = Version {
        epoch: Epoch(1),
        seq: Seq(1),
    };
    let changes = certificates.iter().map(|(name, bundle)| {
        let certificate = v1::Certificate {
            bundle: bundle.name().as_bytes().to_vec(),
            ..v1::Certificate::default()
        };
        Change {
            id: ResourceId::new(v1::ResourceType::Certificate, *name),
            body: Some((certificate.encode_to_vec(), ["tls"].as_slice())),
        }
    });
    let changed = snapshot.configure(version, changes.collect());
    let none = Publication::default();
    before
        .unwrap_or(&none)
        .succeed("lineage".into(), snapshot, changed.into())
}

#[tokio::test]
async fn who_waits_for_what_is_missing_is_told_of_it_alone() {
    let keys = Keys::new(since_boot);
    let mut missing = keys.missing();
    let (publishes, publications) = watch::channel(Arc::default());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(keys.clone().run(publications));
    let (one, two) = (bundle(b"one"), bundle(b"two"));
    keys.put(one.clone());
    let first = publication(None, &[("secret/a/b", &one)]);
    publishes.send_replace(Arc::new(first.clone()));
    let second = publication(Some(&first), &[("secret/a/b", &one), ("secret/a/c", &two)]);
    publishes.send_replace(Arc::new(second));
    assert!(missing.changed().await);
    assert_eq!(missing.now(), [two.name()].into());
    keys.put(bundle(b"three"));
    assert!(!missing.shelf.has_changed().unwrap());
    keys.put(two.clone());
    assert!(missing.changed().await);
    assert!(missing.now().is_empty());
    assert_eq!(keys.served(two.name()), Some(two));
    drop(publishes);
    running.join_next().await.unwrap().unwrap();
}
