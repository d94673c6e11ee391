//! The status of an Ingress: no fact, and looked at only to know whether it has to be written.

use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use crate::model::address::{Address, FIELD_MANAGER, Published};

/// The status as it stands in this object.
pub fn published(ingress: &Ingress) -> Published {
    let metadata = &ingress.metadata;
    let managers = metadata.managed_fields.iter().flatten();
    let (mut ours, mut others) = (false, None);
    for owner in managers.filter(|entry| owns_addresses(entry)) {
        let name = owner.manager.as_deref().unwrap_or_default();
        if name == FIELD_MANAGER && owner.operation.as_deref() == Some("Apply") {
            ours = true;
        } else {
            others = Some(super::shorten(name).into());
        }
    }
    let status = ingress.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_ref());
    let addresses = entries.into_iter().flatten().filter_map(|entry| {
        let text = entry.ip.as_deref().or(entry.hostname.as_deref())?;
        // What we would never write is different from what we would.
        Some(
            text.parse()
                .unwrap_or_else(|_| Address::Hostname(super::shorten(text).into())),
        )
    });
    Published {
        uid: super::text(metadata.uid.as_ref()),
        resource_version: metadata
            .resource_version
            .as_deref()
            .and_then(|version| version.parse().ok())
            .unwrap_or(0),
        addresses: addresses.collect(),
        ours,
        others,
    }
}

fn owns_addresses(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref();
    fields.is_some_and(|fields| {
        let addresses = fields.0.pointer("/f:status/f:loadBalancer/f:ingress");
        addresses.is_some()
    })
}
