//! A snapshot to look at: the one served now, or one of the past.
//!
//! One type for both, so that every method can be asked about any time.

use std::ops::Bound;
use std::sync::Arc;

use roadstead_proto::v1;
use tonic::Status;

use crate::event::Seq;
use crate::history::{History, HistoryError, Past};
use crate::model::time::Timestamp;
use crate::serve::error;
use crate::snapshot::publication::Publication;
use crate::snapshot::{Resource, ResourceId, Snapshot, Version};

/// A snapshot, and when it came to be.
#[derive(Debug)]
pub(super) struct View {
    source: Source,
    time: Option<Timestamp>,
}

#[derive(Debug)]
enum Source {
    Now(Arc<Publication>),
    Then(Arc<Past>),
}

impl View {
    /// The snapshot that a selector names.
    pub(super) async fn of(
        selector: Option<v1::VersionSelector>,
        newest: Arc<Publication>,
        history: &History,
    ) -> Result<Self, Status> {
        let now = newest.snapshot().version();
        let asked = match selector {
            Some(selector) => Seq(selector.seq),
            None if newest.is_something() => now.seq,
            None => return Err(error::nothing_published()),
        };
        let progress = history.progress();
        let versions = progress.borrow().versions.clone();
        if asked > progress.borrow().newest {
            let newest = progress.borrow().newest;
            return Err(error::history(&HistoryError::Future { asked, newest }));
        }
        // The newest version may be a moment ahead of what is published.
        let of_now = versions.at(asked).is_none_or(|made| made.seq <= now.seq);
        let source = if newest.is_something() && asked >= now.seq && of_now {
            Source::Now(newest)
        } else {
            let past = history.at(asked).await;
            Source::Then(past.map_err(|error| error::history(&error))?)
        };
        let mut view = Self { source, time: None };
        let version = view.version();
        let made = versions.at(version.seq);
        let made = made.filter(|made| made.version() == version);
        view.time = match (&view.source, made) {
            (_, Some(made)) => Some(made.time),
            (Source::Then(past), None) => past.time,
            (Source::Now(_), None) => None,
        };
        Ok(view)
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        match &self.source {
            Source::Now(publication) => publication.snapshot(),
            Source::Then(past) => &past.snapshot,
        }
    }

    pub(super) fn lineage(&self) -> &Arc<str> {
        match &self.source {
            Source::Now(publication) => publication.lineage(),
            Source::Then(past) => &past.lineage,
        }
    }

    pub(super) fn version(&self) -> Version {
        self.snapshot().version()
    }

    pub(super) fn version_to_proto(&self) -> v1::Version {
        self.version().to_proto(self.lineage())
    }

    /// When this version came to be, if that is still known.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// No record holds endpoints: those of the past are not shown, because what a fold makes
    /// of nothing would look like upstreams that were down.
    pub(super) fn has_endpoints(&self) -> bool {
        matches!(self.source, Source::Now(_))
    }

    /// What of this is not as it was then.
    pub(super) fn note(&self) -> &'static str {
        match self.source {
            Source::Now(_) => "",
            Source::Then(_) => {
                "endpoints are left out: they are retained as of now only, not by version"
            }
        }
    }

    /// All resources, in order of type and name.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&ResourceId, &Resource)> {
        self.resources_from(Bound::Unbounded)
    }

    /// The same from a place on.
    pub(super) fn resources_from(
        &self,
        start: Bound<ResourceId>,
    ) -> impl Iterator<Item = (&ResourceId, &Resource)> {
        let with_endpoints = self.has_endpoints();
        let range = self.snapshot().resources().range((start, Bound::Unbounded));
        range
            .filter(move |(id, _)| with_endpoints || !id.is_endpoints())
            .map(|(id, resource)| (id, resource.as_ref()))
    }
}
