//! The CA that certificates are obtained from, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use roadstead_matcher::host::HostPattern;
use serde::Deserialize;

use crate::config::{ConfigError, Dns01};
use crate::model::managed::ChallengeType;
use crate::model::settings::{Hosts, Obtains};

/// A CA that speaks ACME (RFC 8555). Hosts of `spec.tls` for which no Secret has a certificate get
/// one from it: it asks for them on port 80 or 443.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Acme {
    /// The URL of its directory. Default: that of Let's Encrypt,
    /// `https://acme-v02.api.letsencrypt.org/directory`; theirs for trying things out is
    /// `https://acme-staging-v02.api.letsencrypt.org/directory`.
    pub directory: String,
    /// That you accept the CA's terms of service, which its directory names. Otherwise
    /// the configuration is refused.
    pub accept_terms: bool,
    /// What an account that is made at the CA is bound to, where the CA wants that, such as ZeroSSL,
    /// Google and SSL.com. Default: nothing.
    pub external_account: Option<ExternalAccount>,
    /// E-mail addresses that the CA may write to. Default: none; few CAs still write.
    pub contact: Vec<String>,
    /// The kind of certificate, of those that the CA's directory names. Default: the CA's own.
    pub profile: Option<String>,
    /// By which ways the CA may find out that a host is ours: `dns-01` by a record in the DNS, for the
    /// hosts of `dns01` alone; `http-01` by asking proxies on port 80, `tls-alpn-01` in a TLS handshake
    /// on port 443. The first that it offers is used, after an attempt that failed the next one.
    /// Default: `[dns-01, http-01, tls-alpn-01]`.
    pub challenges: Vec<ChallengeType>,
    pub dns01: Dns01,
    /// Which pods of the control plane's own namespace are proxies, as in `kubectl get -l`: a CA is not
    /// told to ask while one of them is Ready and does not answer it, for at most half an hour. These
    /// have to call themselves by their pod (`proxy`), NODE/POD or POD. Left out: of proxies that are
    /// not connected nothing is known.
    pub proxy_pods: Option<String>,
    /// Hosts that certificates are obtained for: these and all below them, for example
    /// `[example.com]`. Empty, which is the default: all. Applied without a restart.
    pub only_for: Vec<String>,
    /// What holds for some namespaces in particular, by their names; by `*` for all that are not named.
    /// Default: nothing. Applied without a restart.
    pub namespaces: BTreeMap<Box<str>, OfNamespace>,
    /// A file with the roots, in PEM, that the CA's own certificate is checked by, in place of the
    /// well-known ones: for a CA of your own.
    pub roots: Option<PathBuf>,
    /// Orders that the CA takes within three hours, at Let's Encrypt 300; further ones wait. 0: any
    /// number. Default: 300.
    pub orders_per_three_hours: u32,
    /// Orders for the same names that it takes within a week, at Let's Encrypt 5. 0: any number.
    /// Default: 5.
    pub orders_per_names_per_week: u32,
}

/// What holds for one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OfNamespace {
    /// Hosts of it that certificates are obtained for: these and all below them, as far as
    /// `acme.onlyFor` permits it. Empty: none.
    pub only_for: Vec<String>,
}

/// What somebody was given by a CA for accounts of theirs (EAB; RFC 8555, section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalAccount {
    /// What the CA calls the key.
    pub key_id: String,
    /// The file that has the key, in base64url as the CA gave it, and nothing else.
    pub key_file: PathBuf,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            accept_terms: false,
            external_account: None,
            contact: Vec::new(),
            profile: None,
            challenges: vec![
                ChallengeType::Dns01,
                ChallengeType::Http01,
                ChallengeType::TlsAlpn01,
            ],
            dns01: Dns01::default(),
            proxy_pods: None,
            only_for: Vec::new(),
            namespaces: BTreeMap::new(),
            roots: None,
            orders_per_three_hours: 300,
            orders_per_names_per_week: 5,
        }
    }
}

impl Acme {
    /// For whom it is asked.
    pub(super) fn obtains(&self) -> Obtains {
        // They were checked.
        let hosts = |hosts: &[String]| {
            let hosts = hosts.iter().map(|host| HostPattern::parse(host));
            hosts.filter_map(Result::ok).collect()
        };
        let only_in = self.namespaces.iter();
        let only_in = only_in.map(|(name, of)| (name.clone(), Hosts(hosts(&of.only_for))));
        Obtains {
            only_for: hosts(&self.only_for),
            only_in: only_in.collect(),
            by_dns: self.dns01.hosts().collect(),
            only_by_dns: *self.challenges == [ChallengeType::Dns01],
        }
    }

    /// What of it is read once.
    pub(super) fn lasting(&self) -> Self {
        Self {
            only_for: Vec::new(),
            namespaces: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// This with what applies without a restart as another says it.
    pub(super) fn with_live_of(&self, other: &Self) -> Self {
        Self {
            only_for: other.only_for.clone(),
            namespaces: other.namespaces.clone(),
            ..self.clone()
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String, remedy| {
            Err(ConfigError::Invalid {
                key: format!("acme.{key}"),
                problem,
                remedy,
            })
        };
        if !self.accept_terms {
            return invalid(
                "acceptTerms",
                format!("the terms of {} are not accepted", self.directory),
                "read them (its directory has their URL), then set it to true; or leave out acme",
            );
        }
        if !self.directory.starts_with("https://") || self.directory.len() > MAX_URL {
            let problem = format!("{:?} is no URL of a CA's directory", self.directory);
            return invalid("directory", problem, "use one that begins with https://");
        }
        let external = self.external_account.as_ref();
        if external.is_some_and(|external| external.key_id.is_empty()) {
            let problem = "it is empty".to_owned();
            return invalid(
                "externalAccount.keyId",
                problem,
                "set it to what the CA gave you",
            );
        }
        for address in &self.contact {
            if !is_address(address) {
                let problem = format!("{address:?} is no e-mail address");
                return invalid("contact", problem, "write it as ops@example.com");
            }
        }
        let distinct: BTreeSet<_> = self.challenges.iter().collect();
        if distinct.len() != self.challenges.len() || distinct.is_empty() {
            let ways: Vec<String> = self.challenges.iter().map(ToString::to_string).collect();
            let problem = format!("[{}] is empty or has one twice", ways.join(", "));
            return invalid(
                "challenges",
                problem,
                "name each way once, or leave the key out",
            );
        }
        if let Some((key, problem, remedy)) = self.dns01.problem() {
            return invalid(&format!("dns01.{key}"), problem, remedy);
        }
        let by_dns = self.challenges.contains(&ChallengeType::Dns01);
        if !by_dns && !self.dns01.zones.is_empty() {
            let problem = "dns-01 is not among them, and dns01 says how".to_owned();
            return invalid("challenges", problem, "add it, or leave out dns01");
        }
        if by_dns && self.challenges.len() == 1 && self.dns01.zones.is_empty() {
            let problem = "dns-01 alone is among them, and dns01 does not say how".to_owned();
            return invalid("challenges", problem, "set dns01.zones, or leave it out");
        }
        let of_namespaces = self.namespaces.iter().flat_map(|(name, of)| {
            let hosts = of.only_for.iter();
            hosts.map(move |host| (format!("namespaces.{name}.onlyFor"), host))
        });
        let of_all = self
            .only_for
            .iter()
            .map(|host| ("onlyFor".to_owned(), host));
        for (key, host) in of_all.chain(of_namespaces) {
            if !matches!(HostPattern::parse(host), Ok(HostPattern::Exact(_))) {
                let problem = format!("{host:?} is no host");
                let remedy = "write it without * and dot before it: what is below is meant, too";
                return invalid(&key, problem, remedy);
            }
        }
        Ok(())
    }
}

fn is_address(text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_graphic() && !",?&;<>".contains(c));
    let parts = text.split_once('@');
    plain && parts.is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'))
}

const MAX_URL: usize = 2048;
