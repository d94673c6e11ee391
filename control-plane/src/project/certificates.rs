//! Certificates, and for which server names they are shown.
//!
//! Apart from the routes: a certificate that is issued anew changes no route, and what is shown
//! for a host depends on all who claim it.

use prost::Message as _;
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::certificate::KeyType;
use crate::model::key::ObjectKey;
use crate::project::resource_name;
use crate::project::routes::source;
use crate::snapshot::{Change, ResourceId};
use crate::state::State;

/// The certificate of a Secret; gone if the Secret is, or never had one.
pub(super) fn project(state: &State, secret: &ObjectKey) -> Change {
    let body = certificate(state, secret).map(|found| (found.encode_to_vec(), REQUIRES));
    Change {
        id: ResourceId::new(ResourceType::Certificate, resource_name(secret)),
        body,
    }
}

/// What is shown for a host; gone if what is shown for its wildcard will do.
pub(super) fn project_server_name(state: &State, host: &HostPattern) -> Change {
    let shown = state.certificates().shown_for(host);
    let name = || v1::ServerName {
        hostname: host.to_string(),
        certificates: shown.iter().map(resource_name).collect(),
    };
    let decided = state.certificates().is_server_name(host);
    let body = decided.then(|| (name().encode_to_vec(), REQUIRES));
    Change {
        id: ResourceId::new(ResourceType::ServerName, host.to_string()),
        body,
    }
}

fn certificate(state: &State, secret: &ObjectKey) -> Option<v1::Certificate> {
    let certificate = state.certificate(secret)?;
    let meta = &state.object(secret)?.good.as_ref()?.meta;
    let key_type = match certificate.key_type {
        KeyType::Rsa => v1::KeyType::Rsa,
        KeyType::Ecdsa => v1::KeyType::Ecdsa,
        KeyType::Ed25519 => v1::KeyType::Ed25519,
    };
    Some(v1::Certificate {
        source: Some(source(secret, meta)),
        bundle: certificate.bundle.as_bytes().to_vec(),
        key_type: key_type.into(),
    })
}

const REQUIRES: &[&str] = &["tls"];
