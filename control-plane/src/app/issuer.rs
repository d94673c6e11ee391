//! What the configuration says of the CA, as the issuer of certificates takes it.

use anyhow::Context as _;
use roadstead_matcher::host::HostPattern;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme;
use crate::acme::dns;
use crate::config::{self, Acme, Dns01};

/// What it says; the roots are read now. `by_name`: each Secret is asked for by its name.
pub(super) fn settings(acme: &Acme, by_name: bool) -> anyhow::Result<acme::Settings> {
    let roots = acme.roots.as_ref().map(|path| {
        let unusable = || format!("acme.roots: {} has no certificates in PEM", path.display());
        let pem = std::fs::read(path).with_context(unusable)?;
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let roots = roots.with_context(unusable)?;
        anyhow::ensure!(!roots.is_empty(), unusable());
        Ok(roots)
    });
    Ok(acme::Settings {
        directory: acme.directory.clone(),
        roots: roots.transpose()?,
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
            server: config::server(&zone.rfc2136.server)?,
            tsig: zone.rfc2136.tsig.as_ref().map(|tsig| dns::Tsig {
                name: tsig.key_name.clone(),
                algorithm: tsig.algorithm,
                secret_file: tsig.secret_file.clone(),
            }),
            checked_at: addresses(&zone.checked_at),
        })
    });
    dns::Settings {
        zones: zones.collect(),
        resolvers: addresses(&configured.resolvers),
    }
}

/// An Ingress may come before the Secret that it names; in milliseconds.
const SETTLED: i64 = 2_000;
/// Where each Secret is asked for by name, so many a second.
const SETTLED_BY_NAME: i64 = 60_000;
