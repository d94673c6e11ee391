//! What a control plane serves, by type and name.

use std::collections::BTreeMap;

use anyhow::Context;
use roadstead_proto::digest::Digest;
use roadstead_proto::v1::{DecodedResource, ResourceType, decoded_resource::Body};

/// What is served now, by type and name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    resources: BTreeMap<(&'static str, String), DecodedResource>,
}

impl Snapshot {
    pub(super) fn add(&mut self, resource: DecodedResource) {
        let id = (type_of(&resource), resource.name.clone());
        self.resources.insert(id, resource);
    }

    /// The resource of this type and name.
    pub fn get(&self, kind: &'static str, name: &str) -> Option<&DecodedResource> {
        self.resources.get(&(kind, name.to_owned()))
    }

    /// Type, name and hash of every resource.
    pub fn hashes(&self) -> BTreeMap<(&'static str, String), String> {
        let resources = self.resources.iter();
        resources
            .map(|(id, resource)| (id.clone(), resource.hash.clone()))
            .collect()
    }

    /// The digest over all resources, as proxies name it.
    pub fn digest(&self) -> anyhow::Result<String> {
        let mut digest = Digest::new();
        for ((kind, name), resource) in &self.resources {
            let kind = format!("RESOURCE_TYPE_{}", kind.to_uppercase().replace(' ', "_"));
            let kind = ResourceType::from_str_name(&kind);
            let kind = kind.with_context(|| format!("the type of {name}"))?;
            digest.insert(kind, name, &bytes_of(&resource.hash)?);
        }
        Ok(digest.fingerprint())
    }

    /// The names of all resources of this type.
    pub fn names(&self, kind: &str) -> Vec<&str> {
        let resources = self.resources.keys();
        resources
            .filter(|(of, _)| *of == kind)
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

fn bytes_of(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?))
        .collect()
}

fn type_of(resource: &DecodedResource) -> &'static str {
    match &resource.body {
        Some(Body::Listener(_)) => "listener",
        Some(Body::Route(_)) => "route",
        Some(Body::Upstream(_)) => "upstream",
        Some(Body::Endpoints(_)) => "endpoints",
        Some(Body::Certificate(_)) => "certificate",
        Some(Body::ServerName(_)) => "server name",
        Some(Body::Challenge(_)) => "challenge",
        Some(Body::TicketSecrets(_)) => "ticket secrets",
        None => "unknown",
    }
}
