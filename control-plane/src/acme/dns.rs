//! The DNS, told what a CA is to find there (RFC 8555, section 8.4).
//!
//! One step at a time, as `plan` wants it: where a record belongs, that it is added, who shows it,
//! that it is removed. Each may be done twice and comes to the same.

mod api;
mod aws;
mod cloudflare;
mod exchange;
mod lookup;
mod route53;
mod sight;
mod update;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hickory_net::proto::rr::Name;
use roadstead_matcher::host::HostPattern;
use tokio::time::timeout;

use crate::acme::dns::api::{Api, Authorization};
use crate::acme::dns::aws::Identity;
use crate::acme::dns::lookup::Lookup;
use crate::acme::words::printable;
use crate::config::TsigAlgorithm;
use crate::model::managed::{Leftover, Managed, Place, Txt};
use crate::plan::issuance::TxtStep;

/// For which hosts which server is told, and who is asked.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub zones: Vec<Zone>,
    /// Name servers that look names up; none: those of the machine.
    pub resolvers: Vec<SocketAddr>,
}

/// Hosts with all below them, and who takes their records.
#[derive(Clone, Debug)]
pub struct Zone {
    pub hosts: Vec<HostPattern>,
    pub provider: Provider,
    /// Who has to show a record; nobody: all servers of its zone.
    pub checked_at: Vec<SocketAddr>,
}

/// Who is told, and how.
#[derive(Clone, Debug)]
pub enum Provider {
    /// The server of the zone, by updates of it (RFC 2136).
    Rfc2136(Server),
    Cloudflare(Remote),
    Route53(Remote, Aws),
    /// A server of the user's own.
    Webhook(Remote),
}

/// A server that takes updates.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name or address, and its port.
    pub at: (String, u16),
    /// How updates are signed, if they are.
    pub tsig: Option<Tsig>,
}

/// A server that is told over HTTPS.
#[derive(Clone, Debug)]
pub struct Remote(Api);

/// Who we are for AWS.
#[derive(Clone, Debug)]
pub struct Aws(Identity);

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It is added, whatever else has its name.
    Add,
    /// It is removed, and nothing else of its name.
    Remove,
}

/// A key that the server knows (RFC 8945).
#[derive(Clone, Debug)]
pub struct Tsig {
    pub name: String,
    pub algorithm: TsigAlgorithm,
    /// The file that has it, in base64.
    pub secret_file: PathBuf,
}

impl Settings {
    /// Whether records of this host can be told.
    pub fn is_for(&self, host: &HostPattern) -> bool {
        self.zone(&host.to_string()).is_some()
    }

    /// Does what is next about the record, or the leftover, that says this.
    pub(super) async fn take(&self, step: TxtStep, text: &str, managed: &Managed) -> Txt {
        let taken = timeout(LONGEST, self.attempt(step, text, managed)).await;
        let came = taken.unwrap_or_else(|_| Err(format!("no answer within {LONGEST:?}")));
        came.unwrap_or_else(|problem| failed(step, printable(&problem).into()))
    }

    async fn attempt(&self, step: TxtStep, text: &str, managed: &Managed) -> Result<Txt, String> {
        if step == TxtStep::Remove {
            let index = managed.leftover(text);
            let leftover = index.and_then(|index| managed.leftovers.get(index));
            let Leftover { host, place, .. } = leftover.ok_or("what is to be removed is lost")?;
            let zone = self.zone_of(host)?;
            zone.change(place, text, Change::Remove).await?;
            return Ok(Txt::Removed);
        }
        let mut records = managed.records.iter();
        let record = records.find(|record| *record.text == *text);
        let record = record.ok_or("the record is lost")?;
        let zone = self.zone_of(&record.host)?;
        let lookup = Lookup::new(&self.resolvers)?;
        let Some(place) = &record.place else {
            let sought_at = name(&record.sought_at())?;
            return Ok(Txt::Located(zone.locate(sought_at, &lookup).await?));
        };
        if step == TxtStep::Look {
            return Ok(Txt::Seen(sight::of(zone, place, text, &lookup).await?));
        }
        zone.change(place, text, Change::Add).await?;
        Ok(Txt::Added)
    }

    fn zone_of(&self, host: &str) -> Result<&Zone, String> {
        let zone = self.zone(host);
        zone.ok_or_else(|| format!("acme.dns01.zones has none for {host}"))
    }

    /// The entry with the longest name that a host is at or below.
    fn zone(&self, host: &str) -> Option<&Zone> {
        let host = host.trim_start_matches("*.");
        let entries = self.zones.iter();
        let named = entries.flat_map(|zone| zone.hosts.iter().map(move |top| (top, zone)));
        let at_or_below = named.filter_map(|(top, zone)| {
            let top = top.to_string();
            let rest = host.strip_suffix(&top)?;
            (rest.is_empty() || rest.ends_with('.')).then_some((top.len(), zone))
        });
        let longest = at_or_below.max_by_key(|(length, _)| *length);
        longest.map(|(_, zone)| zone)
    }
}

impl Zone {
    /// Where the CNAMEs lead, and the zone there: that which its server has, or everybody sees.
    async fn locate(&self, sought_at: Name, lookup: &Lookup) -> Result<Place, String> {
        let name = lookup.follow(sought_at).await?;
        let origin = match &self.provider {
            Provider::Rfc2136(server) => update::zone_of(server, &name).await?,
            Provider::Cloudflare(_) | Provider::Route53(..) | Provider::Webhook(_) => {
                lookup.zone_of(&name).await?
            }
        };
        Ok(Place {
            name: written(&name),
            zone: written(&origin),
        })
    }

    async fn change(&self, place: &Place, text: &str, change: Change) -> Result<(), String> {
        match &self.provider {
            Provider::Rfc2136(server) => update::change(server, place, text, change).await,
            Provider::Cloudflare(Remote(api)) => cloudflare::change(api, place, text, change).await,
            Provider::Route53(Remote(api), Aws(identity)) => {
                route53::change(api, identity, place, text, change).await
            }
            Provider::Webhook(Remote(api)) => webhook::change(api, place, text, change).await,
        }
    }
}

impl Remote {
    /// At this URL, which begins with https://, and believed by the roots of a file; without, by the
    /// well-known ones. In the header `Authorization` stands what a file has, if there is one, behind
    /// this.
    pub fn new(
        url: &str,
        authorization: Option<(&'static str, PathBuf)>,
        roots: Option<PathBuf>,
    ) -> Self {
        let authorization = authorization.map(|(prefix, file)| Authorization { prefix, file });
        Self(Api::new(url, authorization, roots))
    }
}

impl Aws {
    /// Whoever the keys of this file are of, which is as the tools of AWS have it.
    pub fn of_file(path: PathBuf) -> Self {
        Self(Identity::File(path))
    }

    /// Whoever has this role, which the token of a file may take there.
    pub fn of_role(role: String, token_file: PathBuf, sts: Remote) -> Self {
        let Remote(sts) = sts;
        Self(Identity::WebIdentity {
            role,
            token_file,
            sts: Box::new(sts),
        })
    }
}

/// What a step that failed comes to.
pub(super) fn failed(step: TxtStep, why: Box<str>) -> Txt {
    match step {
        TxtStep::Locate | TxtStep::Add | TxtStep::Look => Txt::Failed(why),
        TxtStep::Remove => Txt::NotRemoved(why),
    }
}

/// A name of the DNS, from its root.
fn name(text: &str) -> Result<Name, String> {
    let mut name =
        Name::from_ascii(text).map_err(|error| format!("{text:?} is no name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// As it is kept: without the dot at the end.
fn written(name: &Name) -> Box<str> {
    let text = name.to_lowercase().to_ascii();
    text.trim_end_matches('.').into()
}

/// Of a step with all its questions.
const LONGEST: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::managed::{Challenge, ChallengeType, TxtRecord};
    use crate::model::time::Timestamp;

    fn zone(hosts: &[&str], server: &str) -> Zone {
        Zone {
            hosts: hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            provider: Provider::Rfc2136(Server {
                at: (server.to_owned(), 53),
                tsig: None,
            }),
            checked_at: Vec::new(),
        }
    }

    #[test]
    fn the_entry_with_the_longest_name_counts() {
        let settings = Settings {
            zones: vec![
                zone(&["a.example", "other.test"], "short"),
                zone(&["b.a.example"], "long"),
            ],
            resolvers: Vec::new(),
        };
        for (host, server) in [
            ("a.example", Some("short")),
            ("x.y.a.example", Some("short")),
            ("*.a.example", Some("short")),
            ("b.a.example", Some("long")),
            ("*.b.a.example", Some("long")),
            ("x.b.a.example", Some("long")),
            ("ba.example", None),
            ("example", None),
        ] {
            let found = settings.zone(host).map(|zone| match &zone.provider {
                Provider::Rfc2136(server) => server.at.0.as_str(),
                other
                @ (Provider::Cloudflare(_) | Provider::Route53(..) | Provider::Webhook(_)) => {
                    panic!("{other:?}")
                }
            });
            assert_eq!(found, server, "{host}");
            let host = HostPattern::parse(host).unwrap();
            assert_eq!(settings.is_for(&host), server.is_some());
        }
    }

    #[tokio::test]
    async fn a_host_that_no_entry_is_for_says_so_at_each_step() {
        let challenge = Challenge {
            challenge_type: ChallengeType::Dns01,
            host: "a.example".into(),
            token: "token".into(),
            key_authorization: "token.thumb".into(),
        };
        let record = TxtRecord::of(&challenge, Timestamp(0)).unwrap();
        let text = record.text.clone();
        let mut managed = Managed::new(vec![]);
        managed.leftovers.extend(
            TxtRecord {
                place: Some(Place {
                    name: "_acme-challenge.a.example".into(),
                    zone: "a.example".into(),
                }),
                ..record.clone()
            }
            .leftover(),
        );
        managed.records = vec![record];
        let settings = Settings {
            zones: Vec::new(),
            resolvers: vec![([127, 0, 0, 1], 9).into()],
        };
        let said = || "acme.dns01.zones has none for a.example".into();
        let added = settings.take(TxtStep::Add, &text, &managed).await;
        assert_eq!(added, Txt::Failed(said()));
        let removed = settings.take(TxtStep::Remove, &text, &managed).await;
        assert_eq!(removed, Txt::NotRemoved(said()));
    }
}
