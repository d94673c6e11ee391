//! Our values in the messages that operators get.
//!
//! One place, because every service sends times and versions.

use std::fmt::Write as _;

use prost::{DecodeError, Message as _};
use prost_types::Timestamp as WireTimestamp;
use roadstead_proto::v1::{self, ResourceType, decoded_resource::Body};
use tonic::Status;

use crate::model::time::Timestamp;
use crate::snapshot::{Resource, ResourceId};

pub(super) fn timestamp(time: Timestamp) -> WireTimestamp {
    let (seconds, nanos) = time.parts();
    WireTimestamp { seconds, nanos }
}

/// A resource with its body decoded.
pub(super) fn decoded(
    id: &ResourceId,
    resource: &Resource,
    lineage: &str,
) -> Result<v1::DecodedResource, Status> {
    let body = body(id.kind, resource);
    let body = body.map_err(|error| Status::internal(format!("{}: {error}", id.name)))?;
    let mut hash = String::new();
    for byte in resource.hash {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    Ok(v1::DecodedResource {
        name: id.name.as_ref().to_owned(),
        changed_at: resource.changed_at.map(|version| version.to_proto(lineage)),
        hash,
        body,
    })
}

fn body(kind: ResourceType, resource: &Resource) -> Result<Option<Body>, DecodeError> {
    let bytes = resource.body.clone();
    Ok(match kind {
        ResourceType::Listener => Some(Body::Listener(v1::Listener::decode(bytes)?)),
        ResourceType::Route => Some(Body::Route(v1::Route::decode(bytes)?)),
        ResourceType::Upstream => Some(Body::Upstream(v1::Upstream::decode(bytes)?)),
        ResourceType::Endpoints => Some(Body::Endpoints(v1::Endpoints::decode(bytes)?)),
        ResourceType::Certificate => Some(Body::Certificate(v1::Certificate::decode(bytes)?)),
        ResourceType::ServerName => Some(Body::ServerName(v1::ServerName::decode(bytes)?)),
        ResourceType::Challenge => Some(Body::Challenge(v1::Challenge::decode(bytes)?)),
        ResourceType::TicketSecrets => Some(Body::TicketSecrets(v1::TicketSecrets::decode(bytes)?)),
        ResourceType::Unspecified => None,
    })
}
