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
    let zones = configured.zones.iter().map(|zone| {
        let hosts = zone.hosts.iter().map(|host| HostPattern::parse(host));
        dns::Zone {
            hosts: hosts.filter_map(Result::ok).collect(),
            // The others go on.
            provider: provider(zone).unwrap_or_else(|error| {
                tracing::error!("acme.dns01: {error:#}");
                Provider::Unusable(format!("acme.dns01: {error:#}"))
            }),
            checked_at: addresses(&zone.checked_at),
        }
    });
    dns::Settings {
        zones: zones.collect(),
        resolvers: addresses(&configured.resolvers),
    }
}

fn provider(zone: &Dns01Zone) -> anyhow::Result<Provider> {
    if let Some(Rfc2136 { server, tsig }) = &zone.rfc2136 {
        let tsig = tsig.as_ref().map(|tsig| dns::Tsig {
            name: tsig.key_name.clone(),
            algorithm: tsig.algorithm,
            secret_file: tsig.secret_file.clone(),
        });
        let at = config::server(server).context("a server that is none")?;
        return Ok(Provider::Rfc2136(dns::Server { at, tsig }));
    }
    if let Some(cloudflare) = &zone.cloudflare {
        let roots = roots("cloudflare.roots", cloudflare.roots.as_deref())?;
        let token = ("Bearer ", cloudflare.token_file.clone());
        let remote = Remote::new(&cloudflare.url, Some(token), roots.as_deref())?;
        return Ok(Provider::Cloudflare(remote));
    }
    if let Some(route53) = &zone.route53 {
        let roots = roots("route53.roots", route53.roots.as_deref())?;
        let remote = |url: &str| Remote::new(url, None, roots.as_deref());
        let aws = match (&route53.credentials_file, &route53.role) {
            (Some(file), _) => Aws::of_file(file.clone()),
            (None, role) => {
                let role = role.clone().context("nobody is named for route53")?;
                Aws::of_role(role, route53.token_file.clone(), remote(&route53.sts_url)?)
            }
        };
        return Ok(Provider::Route53(remote(&route53.url)?, aws));
    }
    let webhook = zone.webhook.as_ref();
    let webhook = webhook.context("a zone of which nobody is told")?;
    let roots = roots("webhook.roots", webhook.roots.as_deref())?;
    let authorization = webhook.authorization_file.clone().map(|file| ("", file));
    let remote = Remote::new(&webhook.url, authorization, roots.as_deref())?;
    Ok(Provider::Webhook(remote))
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
