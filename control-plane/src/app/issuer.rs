//! What the configuration says of the CA, as the issuer of certificates takes it.

use std::path::Path;

use anyhow::Context as _;
use roadstead_matcher::host::HostPattern;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme;
use crate::acme::client::ExternalAccount;
use crate::acme::dns::{self, Aws, Provider, Remote};
use crate::config::{self, Acme, Dns01, Dns01Zone, Rfc2136};

/// What it says; the roots are read now. `by_name`: each Secret is asked for by its name.
pub(super) fn settings(acme: &Acme, by_name: bool) -> anyhow::Result<acme::Settings> {
    Ok(acme::Settings {
        directory: acme.directory.clone(),
        roots: roots("acme.roots", acme.roots.as_deref())?,
        external: acme
            .external_account
            .as_ref()
            .map(|external| ExternalAccount {
                key_id: external.key_id.clone(),
                key_file: external.key_file.clone(),
            }),
        contact: acme
            .contact
            .iter()
            .map(|address| format!("mailto:{address}"))
            .collect(),
        profile: acme.profile.clone(),
        challenges: acme.challenges.clone(),
        dns: dns(&acme.dns01),
        orders: acme.orders_per_three_hours,
        same_names: acme.orders_per_names_per_week,
        settled: if by_name { SETTLED_BY_NAME } else { SETTLED },
    })
}

/// Whose records which server is told. All of it was checked.
fn dns(configured: &Dns01) -> dns::Settings {
    let addresses = |texts: &[String]| {
        let texts = texts.iter();
        texts.filter_map(|text| config::address(text)).collect()
    };
    let zones = configured.zones.iter().filter_map(|zone| {
        let hosts = zone.hosts.iter().map(|host| HostPattern::parse(host));
        Some(dns::Zone {
            hosts: hosts.filter_map(Result::ok).collect(),
            provider: provider(zone)?,
            checked_at: addresses(&zone.checked_at),
        })
    });
    dns::Settings {
        zones: zones.collect(),
        resolvers: addresses(&configured.resolvers),
    }
}

/// One of them is named: it was checked.
fn provider(zone: &Dns01Zone) -> Option<Provider> {
    if let Some(Rfc2136 { server, tsig }) = &zone.rfc2136 {
        let tsig = tsig.as_ref().map(|tsig| dns::Tsig {
            name: tsig.key_name.clone(),
            algorithm: tsig.algorithm,
            secret_file: tsig.secret_file.clone(),
        });
        let at = config::server(server)?;
        return Some(Provider::Rfc2136(dns::Server { at, tsig }));
    }
    if let Some(cloudflare) = &zone.cloudflare {
        let token = ("Bearer ", cloudflare.token_file.clone());
        let remote = Remote::new(&cloudflare.url, Some(token), cloudflare.roots.clone());
        return Some(Provider::Cloudflare(remote));
    }
    if let Some(route53) = &zone.route53 {
        let remote = |url: &str| Remote::new(url, None, route53.roots.clone());
        let aws = match (&route53.credentials_file, &route53.role) {
            (Some(file), _) => Aws::of_file(file.clone()),
            (None, role) => {
                let token_file = route53.token_file.clone();
                Aws::of_role(role.clone()?, token_file, remote(&route53.sts_url))
            }
        };
        return Some(Provider::Route53(remote(&route53.url), aws));
    }
    let webhook = zone.webhook.as_ref()?;
    let authorization = webhook.authorization_file.clone().map(|file| ("", file));
    let remote = Remote::new(&webhook.url, authorization, webhook.roots.clone());
    Some(Provider::Webhook(remote))
}

/// The certificates in a file, if one is named.
fn roots(key: &str, path: Option<&Path>) -> anyhow::Result<Option<Vec<CertificateDer<'static>>>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let unusable = || format!("{key}: {} has no certificates in PEM", path.display());
    let pem = std::fs::read(path).with_context(unusable)?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.with_context(unusable)?;
    anyhow::ensure!(!roots.is_empty(), unusable());
    Ok(Some(roots))
}

/// An Ingress may come before the Secret that it names; in milliseconds.
const SETTLED: i64 = 2_000;
/// Where each Secret is asked for by name, so many a second.
const SETTLED_BY_NAME: i64 = 60_000;
