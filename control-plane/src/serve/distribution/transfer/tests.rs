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

/// The numbers of the replaced buckets, and the names of what is changed.
fn contents(transfer: &Transfer) -> (Vec<u32>, Vec<String>) {
    let (mut buckets, mut names) = (Vec::new(), Vec::new());
    for frame in transfer.frames() {
        match frame.decode() {
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
    assert_eq!(extent.scope(), Scope::Buckets);
    assert!(extent.is_costly(&third));
    let (buckets, names) = contents(&Transfer::new(&third, &extent));
    assert_eq!(buckets, [u32::from(bucket_of(ResourceType::Route, "a"))]);
    assert_eq!(names, ["a"]);
}

#[test]
fn to_one_that_holds_the_same_nothing_is_sent_but_the_version() {
    let publication = after(&Publication::default(), &[("a", 1)]);
    let held = Base::Told(Box::new(publication.snapshot().digest().clone()));
    let extent = Extent::between(&held, &publication);
    assert!(!extent.is_costly(&publication));
    let transfer = Transfer::new(&publication, &extent);
    assert_eq!(contents(&transfer), (vec![], vec![]));
    assert_eq!(transfer.frames().len(), 2);
}

#[test]
fn chunks_are_as_large_as_they_may_be() {
    let sizes: Vec<(String, usize)> = (0..100).map(|n| (format!("r{n:02}"), 50_000)).collect();
    let routes: Vec<(&str, usize)> = sizes.iter().map(|(name, size)| (&**name, *size)).collect();
    let publication = after(&Publication::default(), &routes);
    let extent = Extent::between(&Base::Nothing, &publication);
    let transfer = Transfer::new(&publication, &extent);
    assert!(transfer.is_large());
    let frames = transfer.frames();
    let sizes: Vec<usize> = frames[1..frames.len() - 1].iter().map(Frame::len).collect();
    assert!(
        sizes.iter().all(|size| *size <= CHUNK_BYTES + 8),
        "{sizes:?}"
    );
    assert_eq!(sizes.len(), 5);
}
