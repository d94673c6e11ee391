//! The DNS, told what a CA is to find there (RFC 8555, section 8.4).
//!
//! One step at a time, as `plan` wants it: where a record belongs, that it is added, who shows it,
//! that it is removed. Each may be done twice and comes to the same.

mod api;
mod cloudflare;
mod exchange;
mod lookup;
mod sight;
mod update;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hickory_net::proto::rr::Name;
use roadstead_matcher::host::HostPattern;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use crate::acme::dns::api::{Api, Authorization};
use crate::acme::dns::lookup::Lookup;
use crate::acme::transport::Transport;
use crate::acme::words::printable;
use crate::config::TsigAlgorithm;
use crate::model::managed::{Place, Txt, TxtRecord};
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

/// A server that is told by JSON over HTTPS.
#[derive(Clone, Debug)]
pub struct Remote(Api);

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

    /// Does what is next about a record.
    pub(super) async fn take(&self, step: TxtStep, record: &TxtRecord) -> Txt {
        let taken = timeout(LONGEST, self.attempt(step, record)).await;
        let came = taken.unwrap_or_else(|_| Err(format!("it took longer than {LONGEST:?}")));
        came.unwrap_or_else(|problem| Txt::Failed(printable(&problem).into()))
    }

    async fn attempt(&self, step: TxtStep, record: &TxtRecord) -> Result<Txt, String> {
        let zone = self.zone(&record.host);
        let zone = zone.ok_or_else(|| format!("acme.dns01.zones has none for {}", record.host))?;
        let place = || record.place.as_ref().ok_or("its place is not known");
        let change = async |change| {
            let (place, text) = (place()?, &record.text);
            match &zone.provider {
                Provider::Rfc2136(server) => update::change(server, place, text, change).await,
                Provider::Cloudflare(Remote(api)) => {
                    cloudflare::change(api, place, text, change).await
                }
                Provider::Webhook(Remote(api)) => webhook::change(api, place, text, change).await,
            }
        };
        Ok(match step {
            TxtStep::Locate => Txt::Located(self.locate(zone, record).await?),
            TxtStep::Add => {
                change(Change::Add).await?;
                Txt::Added
            }
            TxtStep::Look => {
                let lookup = Lookup::new(&self.resolvers)?;
                Txt::Seen(sight::of(zone, place()?, &record.text, &lookup).await?)
            }
            TxtStep::Remove => {
                change(Change::Remove).await?;
                Txt::Removed
            }
        })
    }

    /// Where the CNAMEs lead, and the zone there: that which its server has, or everybody sees.
    async fn locate(&self, zone: &Zone, record: &TxtRecord) -> Result<Place, String> {
        let lookup = Lookup::new(&self.resolvers)?;
        let name = lookup.follow(name(&record.sought_at())?).await?;
        let origin = match &zone.provider {
            Provider::Rfc2136(server) => update::zone_of(server, &name).await?,
            Provider::Cloudflare(_) | Provider::Webhook(_) => lookup.zone_of(&name).await?,
        };
        Ok(Place {
            name: written(&name),
            zone: written(&origin),
        })
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

impl Remote {
    /// At this URL, which begins with https://, and believed by these roots; without, by the
    /// well-known ones. In the header `Authorization` stands what a file has, if there is one, behind
    /// this.
    pub fn new(
        url: &str,
        authorization: Option<(&'static str, PathBuf)>,
        roots: Option<&[CertificateDer<'static>]>,
    ) -> Result<Self, rustls::Error> {
        let authorization = authorization.map(|(prefix, file)| Authorization { prefix, file });
        let transport = Transport::new(roots)?;
        Ok(Self(Api::new(url, authorization, transport)))
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
                other @ (Provider::Cloudflare(_) | Provider::Webhook(_)) => panic!("{other:?}"),
            });
            assert_eq!(found, server, "{host}");
            let host = HostPattern::parse(host).unwrap();
            assert_eq!(settings.is_for(&host), server.is_some());
        }
    }

    #[tokio::test]
    async fn a_record_of_a_host_that_no_entry_is_for_says_so() {
        let record = TxtRecord {
            host: "a.example".into(),
            text: "text".into(),
            place: None,
            added: None,
            shown: false,
            failures: 0,
            said: Box::default(),
            not_before: crate::model::time::Timestamp(0),
        };
        let came = Settings::default().take(TxtStep::Add, &record).await;
        let said = "acme.dns01.zones has none for a.example";
        assert_eq!(came, Txt::Failed(said.into()));
    }
}
