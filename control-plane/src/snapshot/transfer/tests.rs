use roadstead_proto::v1::ResourceType;

use super::*;
use crate::event::{Epoch, Seq};
use crate::snapshot::{Change, Version};

/// The publication after this one, in which these routes have bodies of so many bytes.
fn after(before: &Publication, routes: &[(&str, usize)]) -> Publication {
    let changes = routes.iter().map(|(name, size)| Change {
        id: ResourceId::new(ResourceType::Route, *name),
        body: Some((vec![b'x'; *size], [].as_slice())),
    });
    let mut snapshot = before.snapshot().clone();
    let version = Version {
        epoch: Epoch(1),
        seq: Seq(before.number() + 1),
    };
    let changed = snapshot.configure(version, changes.collect());
    before.succeed("test".into(), snapshot, changed.into())
}

/// The messages of a transfer.
fn messages(publication: &Publication, extent: &Extent) -> Vec<Message> {
    let mut messages = Vec::new();
    extent.tell(publication, |message| messages.push(message));
    messages
}

/// The numbers of the replaced buckets, and the names of what is changed.
fn contents(messages: Vec<Message>) -> (Vec<u32>, Vec<String>) {
    let (mut buckets, mut names) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            Message::Begin(begin) => buckets = begin.replaced_buckets,
            Message::Chunk(chunk) => names.extend(chunk.changed.into_iter().map(|r| r.name)),
            Message::Commit(_) => {}
        }
    }
    (buckets, names)
}

#[test]
fn what_is_no_longer_remembered_is_found_by_buckets() {
    let first = Arc::new(after(&Publication::default(), &[("a", 1), ("b", 1)]));
    let base = Base::Acknowledged(Arc::clone(&first));
    let second = after(&first, &[("a", 2)]);
    assert_eq!(Extent::between(&base, &second), Extent::Since(1));

    // As many changes as no journal keeps.
    let many: Arc<[ResourceId]> = (0..20_000)
        .map(|number| ResourceId::new(ResourceType::Route, format!("r{number}")))
        .collect();
    let third = second.succeed("test".into(), second.snapshot().clone(), many);
    let extent = Extent::between(&base, &third);
    assert!(matches!(extent, Extent::Buckets(buckets) if !buckets.is_all()));
    assert!(extent.is_costly(&third));
    let (buckets, names) = contents(messages(&third, &extent));
    assert_eq!(buckets, [u32::from(bucket_of(ResourceType::Route, "a"))]);
    assert_eq!(names, ["a"]);
}

#[test]
fn to_one_that_holds_the_same_nothing_is_sent_but_the_version() {
    let publication = after(&Publication::default(), &[("a", 1)]);
    let held = Base::Told(Box::new(publication.snapshot().digest().clone()));
    let extent = Extent::between(&held, &publication);
    assert!(!extent.is_costly(&publication));
    let messages = messages(&publication, &extent);
    assert_eq!(messages.len(), 2);
    assert_eq!(contents(messages), (vec![], vec![]));
}

#[test]
fn chunks_are_as_large_as_they_may_be() {
    let sizes: Vec<(String, usize)> = (0..100).map(|n| (format!("r{n:02}"), 50_000)).collect();
    let routes: Vec<(&str, usize)> = sizes.iter().map(|(name, size)| (&**name, *size)).collect();
    let publication = after(&Publication::default(), &routes);
    let extent = Extent::between(&Base::Nothing, &publication);
    let messages = messages(&publication, &extent);
    let chunks = messages[1..messages.len() - 1].iter().map(|message| {
        let message = Some(message.clone());
        v1::TransferMessage { message }.encoded_len()
    });
    let sizes: Vec<usize> = chunks.collect();
    assert!(
        sizes.iter().all(|size| *size <= CHUNK_BYTES + 8),
        "{sizes:?}"
    );
    assert_eq!(sizes.len(), 5);
}

#[test]
fn another_history_is_no_change_of_what_was_acknowledged_before_it() {
    let first = Arc::new(after(&Publication::default(), &[("a", 1), ("b", 1)]));
    let base = Base::Acknowledged(Arc::clone(&first));
    let other = after(&first.forgetting(), &[("b", 1), ("c", 1)]);
    let extent = Extent::between(&base, &other);
    let (mut buckets, names) = contents(messages(&other, &extent));
    let mut differing = ["a", "c"].map(|name| u32::from(bucket_of(ResourceType::Route, name)));
    buckets.sort_unstable();
    differing.sort_unstable();
    assert_eq!((buckets, names), (differing.into(), vec!["c".to_owned()]));
}
