//! What proxies make session tickets by.
//!
//! Apart from the certificates that sessions begin with: one for all of them, which is another one
//! from time to time.

use std::cmp::Reverse;

use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::snapshot::{Change, ResourceId};
use crate::state::State;

/// The secrets that there are, the newest first; gone if there are none.
pub(super) fn project(state: &State) -> Change {
    let origins = Origin::ALL.into_iter();
    let keys = origins.flat_map(|origin| state.keys(origin, Kind::TicketSecret));
    let held = keys.filter_map(|key| state.object(key)?.good.as_ref());
    let mut secrets: Vec<_> = held
        .filter_map(|good| match &good.spec {
            Spec::TicketSecret(secret) => Some((&good.meta.age, secret.bundle)),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::IngressClass(_)
            | Spec::Managed(_)
            | Spec::Service(_) => None,
        })
        .collect();
    secrets.sort_unstable_by_key(|(age, _)| Reverse(*age));
    let secrets = secrets.iter().take(MOST);
    let secrets: Vec<_> = secrets.map(|(_, name)| name.as_bytes().to_vec()).collect();
    let body = (!secrets.is_empty()).then(|| v1::TicketSecrets { secrets }.encode_to_vec());
    Change {
        id: ResourceId::new(ResourceType::TicketSecrets, "tickets"),
        body: body.map(|body| (body, REQUIRES)),
    }
}

/// As many as proxies take.
const MOST: usize = 8;
const REQUIRES: &[&str] = &["ticket-secrets"];
