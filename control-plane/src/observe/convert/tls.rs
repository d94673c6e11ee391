//! `spec.tls` of an Ingress.

use k8s_openapi::api::networking::v1::{IngressSpec, IngressTLS};
use roadstead_matcher::host::HostPattern;

use crate::model::ingress::Tls;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::convert::{is_subdomain, reason, shorten};

/// The entries, in order of the text.
pub(super) fn tls(spec: &IngressSpec) -> Result<Vec<Tls>, Refusal> {
    let listed = spec.tls.as_deref().unwrap_or_default();
    let hosts = listed.iter().filter_map(|entry| entry.hosts.as_ref());
    let hosts: usize = hosts.map(Vec::len).sum();
    if listed.len().max(hosts) > MAX_HOSTS {
        return Err(Refusal::new(
            Reason::Unsupported,
            "spec.tls",
            format!("more than {MAX_HOSTS} entries or hosts; split the Ingress"),
        ));
    }
    let entries = listed.iter().enumerate();
    entries
        .map(|(index, listed)| entry(index, listed))
        .collect()
}

fn entry(index: usize, listed: &IngressTLS) -> Result<Tls, Refusal> {
    let hosts = listed.hosts.as_deref().unwrap_or_default();
    // As in the API, "" is what is not set.
    let hosts = hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| !host.is_empty());
    let hosts = hosts.map(|(at, text)| {
        HostPattern::parse(text).map_err(|error| {
            let message = format!(
                "{:?} is no host: {}; write a DNS name, or *. and a DNS name",
                shorten(text),
                reason(&error)
            );
            let field = format!("spec.tls[{index}].hosts[{at}]");
            Refusal::new(Reason::InvalidHost, field, message)
        })
    });
    let hosts: Result<Vec<HostPattern>, Refusal> = hosts.collect();
    let secret = listed.secret_name.as_deref();
    let secret = secret.filter(|name| !name.is_empty());
    if let Some(name) = secret
        && !is_subdomain(name)
    {
        return Err(Refusal::new(
            Reason::Malformed,
            format!("spec.tls[{index}].secretName"),
            format!(
                "{:?} is no Secret's name; name a Secret of the Ingress' own namespace",
                shorten(name)
            ),
        ));
    }
    Ok(Tls {
        hosts: hosts?,
        secret: secret.map(Into::into),
    })
}

const MAX_HOSTS: usize = 2000;
