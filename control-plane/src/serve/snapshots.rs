//! `SnapshotService`: what is served, what was served, and what changed between the two.
//!
//! Apart from the stream to proxies: here bodies are decoded, for people.

mod view;

use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType, snapshot_service_server::SnapshotService};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status};

use crate::event::Seq;
use crate::history::History;
use crate::serve::snapshots::view::View;
use crate::serve::wire::{decoded, timestamp};
use crate::serve::{error, page};
use crate::snapshot::ResourceId;
use crate::snapshot::diff::diff;
use crate::snapshot::publication::Publication;
use crate::versions::Made;

#[derive(Debug)]
pub(super) struct Snapshots {
    publications: watch::Receiver<Arc<Publication>>,
    history: History,
}

impl Snapshots {
    pub(super) fn new(publications: watch::Receiver<Arc<Publication>>, history: History) -> Self {
        Self {
            publications,
            history,
        }
    }

    async fn view(&self, selector: Option<v1::VersionSelector>) -> Result<View, Status> {
        let newest = Arc::clone(&self.publications.borrow());
        View::of(selector, newest, &self.history).await
    }
}

/// Where the next page begins, and of what.
#[derive(Serialize, Deserialize)]
struct AfterResource {
    seq: Seq,
    /// The type that was asked for.
    of: i32,
    kind: i32,
    name: Box<str>,
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    async fn get_snapshot(
        &self,
        request: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::GetSnapshotResponse>, Status> {
        let request = request.into_inner();
        let of = ResourceType::try_from(request.r#type);
        let of = of.map_err(|_| error::resource_type(request.r#type))?;
        let after: Option<AfterResource> = page::read(&request.page_token)?;
        let selector = match &after {
            Some(after) if after.of != request.r#type => return Err(error::page_token()),
            // All pages are of the version of the first.
            Some(after) => Some(v1::VersionSelector { seq: after.seq.0 }),
            None => request.version,
        };
        let view = self.view(selector).await?;
        let size = page::size(request.page_size);
        let (resources, last) = resources(&view, of, after.as_ref(), size)?;
        let next = last.map(|last| {
            page::token(&AfterResource {
                seq: view.version().seq,
                of: of.into(),
                kind: last.kind.into(),
                name: last.name.as_ref().into(),
            })
        });
        let digest = view.snapshot().configuration_digest();
        Ok(Response::new(v1::GetSnapshotResponse {
            version: Some(view.version_to_proto()),
            time: view.time().map(timestamp),
            digest: digest.fingerprint(),
            resource_count: u32::try_from(view.resources().count()).unwrap_or(u32::MAX),
            resources,
            next_page_token: next.transpose()?.unwrap_or_default(),
            retention_note: view.note().to_owned(),
        }))
    }

    type StreamSnapshotStream =
        Pin<Box<dyn Stream<Item = Result<v1::DecodedResource, Status>> + Send>>;

    async fn stream_snapshot(
        &self,
        request: Request<v1::StreamSnapshotRequest>,
    ) -> Result<Response<Self::StreamSnapshotStream>, Status> {
        let view = self.view(request.into_inner().version).await?;
        let lineage = Arc::clone(view.lineage());
        let with_endpoints = view.has_endpoints();
        let all = view.snapshot().resources().clone().into_iter();
        let resources = all
            .filter(move |(id, _)| with_endpoints || !id.is_endpoints())
            .map(move |(id, resource)| decoded(&id, &resource, &lineage));
        Ok(Response::new(Box::pin(tokio_stream::iter(resources))))
    }

    async fn list_versions(
        &self,
        request: Request<v1::ListVersionsRequest>,
    ) -> Result<Response<v1::ListVersionsResponse>, Status> {
        let v1::ListVersionsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let before: Option<Seq> = page::read(&page_token)?;
        let versions = self.history.progress().borrow().versions.clone();
        let lineage = Arc::clone(self.publications.borrow().lineage());
        let size = page::size(page_size);
        let before_oldest = Seq(self.history.oldest().0.saturating_sub(1));
        let oldest = versions.at(before_oldest);
        let oldest = oldest.or_else(|| versions.oldest_retained());
        let retained = |made: &&Made| oldest.is_none_or(|oldest| made.seq >= oldest.seq);
        let mut found = versions.newest_first(before).take_while(retained);
        let page: Vec<&Made> = found.by_ref().take(size).collect();
        let next = match (page.last(), found.next()) {
            (Some(last), Some(_)) => page::token(&last.seq)?,
            (Some(_), None) | (None, _) => String::new(),
        };
        let summaries = page.into_iter().map(|made| v1::VersionSummary {
            version: Some(made.version().to_proto(&lineage)),
            time: Some(timestamp(made.time)),
            cause: made.cause.clone().into(),
        });
        Ok(Response::new(v1::ListVersionsResponse {
            versions: summaries.collect(),
            next_page_token: next,
            oldest_retained: oldest.map(|made| made.version().to_proto(&lineage)),
        }))
    }

    async fn diff_versions(
        &self,
        request: Request<v1::DiffVersionsRequest>,
    ) -> Result<Response<v1::DiffVersionsResponse>, Status> {
        let v1::DiffVersionsRequest { from, to } = request.into_inner();
        let (from, to) = (self.view(from).await?, self.view(to).await?);
        let found = spawn_blocking(move || {
            let diff = diff(from.snapshot(), to.snapshot());
            v1::DiffVersionsResponse {
                from: Some(from.version_to_proto()),
                to: Some(to.version_to_proto()),
                hosts_added: diff.hosts_added,
                hosts_removed: diff.hosts_removed,
                routes: diff.routes,
                upstreams: diff.upstreams,
                certificates: diff.certificates,
                server_names: diff.server_names,
                challenges: diff.challenges,
                listeners: diff.listeners,
            }
        });
        let found = found.await.map_err(|error| error::lost(&error))?;
        if found.encoded_len() > MESSAGE_BYTES {
            let remedy = "compare versions that are closer, or read both with StreamSnapshot";
            return Err(error::too_large("the difference", remedy));
        }
        Ok(Response::new(found))
    }
}

/// A page of resources, and the last of it if there are more.
fn resources(
    view: &View,
    of: ResourceType,
    after: Option<&AfterResource>,
    size: usize,
) -> Result<(Vec<v1::DecodedResource>, Option<ResourceId>), Status> {
    let start = match after {
        Some(after) => {
            let kind = ResourceType::try_from(after.kind).map_err(|_| error::page_token())?;
            Bound::Excluded(ResourceId::new(kind, after.name.as_ref()))
        }
        None => Bound::Included(ResourceId::new(of, "")),
    };
    let mut page = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    for (id, resource) in view.resources_from(start) {
        if of != ResourceType::Unspecified && id.kind != of {
            break;
        }
        if page.len() >= size || bytes >= PAGE_BYTES {
            return Ok((page, last));
        }
        let resource = decoded(id, resource, view.lineage())?;
        bytes += resource.encoded_len();
        page.push(resource);
        last = Some(id.clone());
    }
    Ok((page, None))
}

/// A page may end with a resource of more than a MiB, and a receiver stops at 4.
const PAGE_BYTES: usize = 1 << 20;
/// A receiver's limit, less its own envelope.
const MESSAGE_BYTES: usize = (4 << 20) - 1024;
