//! Names looked up as everybody does it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use hickory_net::NetError;
use hickory_net::proto::rr::rdata::{CNAME, NS};
use hickory_net::proto::rr::{Name, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf;
use tokio::time::timeout;

/// Asks name servers, and remembers nothing: what was so a moment ago is of no use here.
pub(super) struct Lookup(TokioResolver);

impl Lookup {
    /// By these; none: by those of the machine.
    pub(super) fn new(resolvers: &[SocketAddr]) -> Result<Self, String> {
        let unusable = |error: NetError| format!("/etc/resolv.conf cannot be used: {error}");
        let (config, options) = match resolvers {
            [] => system_conf::read_system_conf().map_err(unusable)?,
            servers => (of_servers(servers), ResolverOpts::default()),
        };
        Self::build(config, options)
    }

    /// By this server alone; by what it has itself, if it is not to find it out from others.
    pub(super) fn at(server: SocketAddr, from_others: bool) -> Result<Self, String> {
        let mut options = ResolverOpts::default();
        options.recursion_desired = from_others;
        Self::build(of_servers(&[server]), options)
    }

    fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, String> {
        options.timeout = TIMEOUT;
        options.attempts = 2;
        options.try_tcp_on_error = true;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let built = builder.build();
        built
            .map(Self)
            .map_err(|error| format!("names cannot be looked up: {error}"))
    }

    /// Where the CNAMEs of a name lead; the name itself, if it has none of its own: one that a
    /// wildcard of the zone brings is not there any more when the name has a record.
    pub(super) async fn follow(&self, name: Name) -> Result<Name, String> {
        let mut at = name.clone();
        for _ in 0..CNAMES {
            let Some(target) = self.cname(&at).await? else {
                return Ok(at);
            };
            let neighbour = at.base_name().prepend_label(NOBODY);
            let neighbour = neighbour.map_err(|error| format!("{at}: {error}"))?;
            if self.cname(&neighbour).await?.as_ref() == Some(&target) {
                return Ok(at);
            }
            at = target;
        }
        Err(format!("{name} has more than {CNAMES} CNAMEs in a row"))
    }

    async fn cname(&self, name: &Name) -> Result<Option<Name>, String> {
        let found = self.records(name, RecordType::CNAME).await?.records;
        let mut targets = found.iter().filter_map(Record::try_borrow::<CNAME>);
        Ok(targets.next().map(|record| record.data().0.clone()))
    }

    /// The zone in which a name is.
    pub(super) async fn zone_of(&self, name: &Name) -> Result<Name, String> {
        let mut at = name.clone();
        while at.num_labels() > 0 {
            // Of a name that is not its own zone's the answer has that zone's beside it.
            let origin = match self.0.lookup(at.clone(), RecordType::SOA).await {
                Ok(found) => {
                    let mut found = found.answers().iter();
                    let soa = found.find(|record| record.record_type() == RecordType::SOA);
                    soa.map(|record| record.name.clone())
                }
                Err(error) if error.is_no_records_found() => {
                    error.into_soa().map(|record| record.name.clone())
                }
                Err(error) => return Err(failed(&at, &error)),
            };
            let origin = origin.filter(|origin| origin.num_labels() > 0 && origin.zone_of(name));
            if let Some(origin) = origin {
                return Ok(origin);
            }
            at = at.base_name();
        }
        Err(format!("nobody knows the zone of {name}"))
    }

    /// The name servers of a zone, sorted, each with its addresses, as far as they are found soon.
    pub(super) async fn servers(&self, zone: &Name) -> Result<Vec<(Name, Vec<IpAddr>)>, String> {
        let found = self.records(zone, RecordType::NS).await?.records;
        let names = found.iter().filter_map(Record::try_borrow::<NS>);
        let names = names.map(|record| record.data().0.clone());
        let mut names: Vec<Name> = names.take(SERVERS).collect();
        if names.is_empty() {
            return Err(format!("{zone} has no name servers"));
        }
        names.sort();
        let servers = names.into_iter().map(async |name| {
            let found = timeout(SOON, self.0.lookup_ip(name.clone())).await;
            let found = found.ok().and_then(Result::ok);
            let addresses = found.map(|found| found.iter().take(ADDRESSES).collect());
            (name, addresses.unwrap_or_default())
        });
        Ok(join_all(servers).await)
    }

    /// The records of a name; none, if there is no such name.
    pub(super) async fn records(&self, name: &Name, kind: RecordType) -> Result<Found, String> {
        match self.0.lookup(name.clone(), kind).await {
            Ok(found) => Ok(Found {
                records: found.answers().to_vec(),
                is_of_zone: found.message().authoritative,
            }),
            Err(error) if error.is_no_records_found() => Ok(Found {
                records: Vec::new(),
                is_of_zone: error.into_soa().is_some(),
            }),
            Err(error) => Err(failed(name, &error)),
        }
    }
}

/// What a server says.
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    /// It says so of a zone of its own.
    pub(super) is_of_zone: bool,
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let mut config = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut config.connections {
            connection.port = server.port();
        }
        config
    });
    ResolverConfig::from_parts(None, Vec::new(), servers.collect())
}

fn failed(name: &Name, error: &NetError) -> String {
    format!("{name} cannot be looked up: {error}")
}

/// For one question to one server.
const TIMEOUT: Duration = Duration::from_secs(3);
const CNAMES: usize = 8;
/// More of a zone are not looked at.
const SERVERS: usize = 16;
const ADDRESSES: usize = 4;
/// How long the addresses of a server are looked for.
const SOON: Duration = Duration::from_secs(8);
/// A name that nobody has given to anything.
const NOBODY: &str = "_roadstead-nobody";
