//! Who tells the DNS what a CA is to find there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hickory_net::proto::rr::Name;
use roadstead_matcher::host::HostPattern;
use serde::Deserialize;

/// How a CA is shown by records in the DNS that hosts are ours (`dns-01`): the only way for wildcards,
/// and one for hosts that it cannot reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Dns01 {
    /// For which hosts which server is told, at most 64. Empty, which is the default: none is.
    pub zones: Vec<Dns01Zone>,
    /// Addresses of the name servers that are asked for CNAMEs and for the servers of a zone, with or
    /// without a port, for example `[192.0.2.53]`, at most 16. Default: those of `/etc/resolv.conf`.
    pub resolvers: Vec<String>,
}

/// Hosts, and who is told for them: one of `rfc2136`, `cloudflare`, `route53` and `webhook`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Dns01Zone {
    /// The hosts, with all below them and their wildcards, for example `[example.com]`. Of several
    /// entries the one with the longest name counts. A record belongs where the CNAMEs of
    /// `_acme-challenge.HOST` lead, if there are any; the zone is found by itself.
    pub hosts: Vec<String>,
    /// By an update of the zone (RFC 2136), as BIND, Knot and PowerDNS take it.
    #[serde(default)]
    pub rfc2136: Option<Rfc2136>,
    /// By Cloudflare.
    #[serde(default)]
    pub cloudflare: Option<Cloudflare>,
    /// By Amazon Route 53.
    #[serde(default)]
    pub route53: Option<Route53>,
    /// By a server of your own, which tells whatever DNS you have.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// Addresses of name servers, with or without a port, that have to show a record before the CA is
    /// told, at most 16; resolvers will do. Default: all servers of the zone.
    #[serde(default)]
    pub checked_at: Vec<String>,
}

/// A server that takes updates (RFC 2136).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rfc2136 {
    /// Its name or address, with or without a port, for example `ns1.example.com` or
    /// `192.0.2.53:53`, or that of a Service. It is asked by TCP.
    pub server: String,
    /// How updates are signed (TSIG, RFC 8945). Default: they are not.
    #[serde(default)]
    pub tsig: Option<Tsig>,
}

/// The API of Cloudflare.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cloudflare {
    /// The file that has a token of the API with the rights Zone / Zone / Read and Zone / DNS / Edit,
    /// for these zones alone. It is read whenever it is needed.
    pub token_file: PathBuf,
    /// The URL of the API. Default: `https://api.cloudflare.com/client/v4`.
    #[serde(default = "cloudflare")]
    pub url: String,
    /// A file with the roots, in PEM, that its certificate is checked by. Default: the well-known
    /// ones.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}

/// The API of Amazon Route 53. It is asked for `ListHostedZonesByName`, `ListResourceRecordSets` and
/// `ChangeResourceRecordSets`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Route53 {
    /// A file with `aws_access_key_id = …` and `aws_secret_access_key = …`, as the tools of AWS have it.
    /// It is read whenever it is needed. Default: `role` is taken.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// The role that is taken, as `arn:aws:iam::…:role/…`: the ServiceAccount may take it, as in EKS.
    #[serde(default)]
    pub role: Option<String>,
    /// The file with the token that takes the role. Default: where EKS puts it,
    /// `/var/run/secrets/eks.amazonaws.com/serviceaccount/token`.
    #[serde(default = "token_file")]
    pub token_file: PathBuf,
    /// The URL of the API. Default: `https://route53.amazonaws.com`.
    #[serde(default = "route53")]
    pub url: String,
    /// The URL where the role is taken. Default: `https://sts.amazonaws.com`.
    #[serde(default = "sts")]
    pub sts_url: String,
    /// A file with the roots, in PEM, that their certificates are checked by. Default: the well-known
    /// ones.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}

fn token_file() -> PathBuf {
    "/var/run/secrets/eks.amazonaws.com/serviceaccount/token".into()
}

fn route53() -> String {
    "https://route53.amazonaws.com".to_owned()
}

fn sts() -> String {
    "https://sts.amazonaws.com".to_owned()
}

/// A server that is sent `{"fqdn": NAME, "value": TEXT}` as JSON by POST to `/present` and `/cleanup`
/// below its URL, as `httpreq` of lego and Traefik sends it, and answers with a status of success.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Webhook {
    /// Its URL, which begins with https://.
    pub url: String,
    /// A file that has what is sent in the header `Authorization`, such as `Bearer TOKEN`. It is read
    /// whenever it is needed. Default: nothing is sent.
    #[serde(default)]
    pub authorization_file: Option<PathBuf>,
    /// A file with the roots, in PEM, that its certificate is checked by. Default: the well-known
    /// ones.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}

fn cloudflare() -> String {
    "https://api.cloudflare.com/client/v4".to_owned()
}

/// A key that the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tsig {
    /// What the server calls it.
    pub key_name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`. Default: hmac-sha256.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// The file that has it, in base64 as `tsig-keygen` writes it, and nothing else. It is read
    /// whenever it is needed.
    pub secret_file: PathBuf,
}

/// What a message is authenticated by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TsigAlgorithm {
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

impl Dns01 {
    /// The hosts whose records a server is told, each with all below it.
    pub(super) fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        let hosts = self.zones.iter().flat_map(|zone| &zone.hosts);
        hosts.filter_map(|host| HostPattern::parse(host).ok())
    }

    /// What is wrong with a key of it, and the remedy.
    pub(super) fn problem(&self) -> Option<(String, String, &'static str)> {
        if self.zones.len() > MOST_ZONES {
            let problem = format!("there are {} entries", self.zones.len());
            return Some(("zones".to_owned(), problem, "name at most 64"));
        }
        let mut met = BTreeSet::new();
        for (number, zone) in self.zones.iter().enumerate() {
            let key = |key: &str| format!("zones[{number}].{key}");
            if zone.hosts.is_empty() {
                let problem = "no host is named".to_owned();
                return Some((key("hosts"), problem, "name those that it is for"));
            }
            for text in &zone.hosts {
                let Ok(host @ HostPattern::Exact(_)) = HostPattern::parse(text) else {
                    let remedy =
                        "write it without * and dot before it: what is below is meant, too";
                    return Some((key("hosts"), format!("{text:?} is no host"), remedy));
                };
                if !met.insert(host) {
                    let problem = format!("{text:?} is named twice");
                    return Some((key("hosts"), problem, "name it in one entry"));
                }
            }
            if let Some((of, problem, remedy)) = zone.problem_of_provider() {
                return Some((key(of).trim_end_matches('.').to_owned(), problem, remedy));
            }
            if zone.checked_at.len() > MOST_SERVERS {
                let problem = format!("there are {} addresses", zone.checked_at.len());
                return Some((key("checkedAt"), problem, "name at most 16"));
            }
            if let Some(text) = zone.checked_at.iter().find(|text| address(text).is_none()) {
                let problem = format!("{text:?} is no address");
                return Some((key("checkedAt"), problem, ADDRESS));
            }
        }
        if self.resolvers.len() > MOST_SERVERS {
            let problem = format!("there are {} addresses", self.resolvers.len());
            return Some(("resolvers".to_owned(), problem, "name at most 16"));
        }
        let text = self.resolvers.iter().find(|text| address(text).is_none())?;
        let problem = format!("{text:?} is no address");
        Some(("resolvers".to_owned(), problem, ADDRESS))
    }
}

impl Dns01Zone {
    /// What is wrong with who is told, and the remedy.
    fn problem_of_provider(&self) -> Option<(&'static str, String, &'static str)> {
        let Self {
            rfc2136,
            cloudflare,
            route53,
            webhook,
            ..
        } = self;
        let told = [
            rfc2136.is_some(),
            cloudflare.is_some(),
            route53.is_some(),
            webhook.is_some(),
        ];
        if told.into_iter().filter(|is_told| *is_told).count() != 1 {
            let problem = "nobody is told, or more than one".to_owned();
            let remedy = "name one of rfc2136, cloudflare, route53, webhook";
            return Some(("", problem, remedy));
        }
        let urls = cloudflare.iter().map(|of| ("cloudflare.url", &of.url));
        let urls = urls.chain(webhook.iter().map(|of| ("webhook.url", &of.url)));
        let urls = urls.chain(route53.iter().map(|of| ("route53.url", &of.url)));
        let mut urls = urls.chain(route53.iter().map(|of| ("route53.stsUrl", &of.sts_url)));
        if let Some((key, url)) = urls.find(|(_, url)| !is_url(url)) {
            let problem = format!("{url:?} is no URL of a server");
            let remedy = "use one that begins with https://, without user, query and fragment";
            return Some((key, problem, remedy));
        }
        if let Some(of) = route53
            && of.credentials_file.is_some() == of.role.is_some()
        {
            let problem = "neither credentialsFile nor role is set, or both are".to_owned();
            return Some(("route53", problem, "set one of them"));
        }
        let rfc2136 = rfc2136.as_ref()?;
        if server(&rfc2136.server).is_none() {
            let problem = format!("{:?} is no server", rfc2136.server);
            let remedy = "write it as ns1.example.com or 192.0.2.53:53";
            return Some(("rfc2136.server", problem, remedy));
        }
        let named = rfc2136.tsig.as_ref().map(|tsig| &tsig.key_name);
        let is_key = |name: &String| !name.is_empty() && Name::from_ascii(name).is_ok();
        let name = named.filter(|name| !is_key(name) || name.contains(char::is_whitespace))?;
        let problem = format!("{name:?} is no name of a key");
        let remedy = "write it as the server's configuration has it";
        Some(("rfc2136.tsig.keyName", problem, remedy))
    }
}

/// Name and port of a server.
pub fn server(text: &str) -> Option<(String, u16)> {
    if let Some(address) = address(text) {
        return Some((address.ip().to_string(), address.port()));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (text, PORT),
    };
    is_name(name).then(|| (name.to_owned(), port))
}

/// Address and port of a server.
pub fn address(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse().ok();
    let without = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    with_port.or_else(without)
}

fn is_url(text: &str) -> bool {
    let parts = text.parse::<http::Uri>();
    let is_plain = |uri: http::Uri| {
        let authority = uri.authority();
        uri.query().is_none() && authority.is_some_and(|known| !known.as_str().contains('@'))
    };
    text.starts_with("https://")
        && text.len() <= MAX_URL
        && !text.contains('#')
        && parts.is_ok_and(is_plain)
}

fn is_name(text: &str) -> bool {
    matches!(HostPattern::parse(text), Ok(HostPattern::Exact(_)))
}

const ADDRESS: &str = "write it as 192.0.2.53 or 192.0.2.53:53";
const MAX_URL: usize = 2048;
const MOST_ZONES: usize = 64;
const MOST_SERVERS: usize = 16;
/// That of the DNS.
const PORT: u16 = 53;
