//! Which upstreams gained their first endpoint, or lost their last.
//!
//! Of all that happens to endpoints, this alone is told at info: it decides between answers
//! and 503.

use roadstead_proto::v1::ResourceType;

use crate::snapshot::publication::Publication;
use crate::snapshot::{ResourceId, Snapshot};

/// Names of such upstreams, and whether they have endpoints now. The first publication of a
/// process tells nothing: it would name all.
pub(super) fn changes<'a>(
    before: &Publication,
    after: &'a Publication,
) -> impl Iterator<Item = (&'a str, bool)> {
    let known = before.is_something();
    let changed = after.changed_since(before.number()).filter(|_| known);
    let (before, after) = (before.snapshot().clone(), after.snapshot());
    let endpoints = changed.unwrap_or_default().into_iter();
    endpoints
        .filter(|id| id.kind == ResourceType::Endpoints)
        .filter_map(move |id| {
            // One that is gone is in use no more.
            let now = has_endpoints(after, id)?;
            (has_endpoints(&before, id) != Some(now)).then_some((&*id.name, now))
        })
}

/// Whether there are any; none if there is no such upstream. A message of nothing is empty.
fn has_endpoints(snapshot: &Snapshot, id: &ResourceId) -> Option<bool> {
    let resource = snapshot.resources().get(id)?;
    Some(!resource.body.is_empty())
}
