//! A traffic thread to test, and what it stands between.
//!
//! Clients and origins are plain blocking sockets: what a test writes is what is on the wire.

mod challenges;
mod client;
mod origin;
mod secure;

use std::{
    net::SocketAddr,
    num::NonZero,
    sync::{Arc, mpsc},
    time::Duration,
};

use roadstead_data_plane::{
    access_log::{AccessLog, LogFormat},
    active::{
        Active, Certificates, Challenges, Endpoint, Target, TicketSecrets, Upstream, UpstreamTable,
    },
    aside::Aside,
    challenge::Asking,
    limits::Limits,
    listen::listen,
    metrics::ThreadTotals,
    protocol::Scheme,
    router::{Names, RouteChange, Router, UpstreamId},
    snapshot::{Backend, Route, Rule, Terms, Version},
    tls::Tls,
    upstream::PoolOptions,
    worker::{Acknowledged, Peers, Port, Worker, WorkerOptions},
};
use roadstead_matcher::{host::HostPattern, path::PathPattern};
use tokio::time::Instant;

pub(crate) use challenges::{authorization, challenges};
pub(crate) use client::{Answer, Client};
pub(crate) use origin::{BlackHole, Origin, Seen, Step, plain};
pub(crate) use secure::{Algorithm, Offers, Secure, Shows, alert, shows};

/// What one host is served by.
#[derive(Clone, Debug)]
pub(crate) enum Backends {
    /// No such Service.
    Missing,
    /// Endpoints, each with its UID.
    At(Vec<(SocketAddr, &'static str)>),
    External(&'static str, u16, bool),
}

/// A running thread.
pub(crate) struct Proxy {
    worker: Worker,
    pub(crate) address: SocketAddr,
    names: Names,
    certificates: Certificates,
    challenges: Challenges,
    tls: Arc<Tls>,
    https_port: Option<NonZero<u16>>,
    version: u64,
    log: mpsc::Receiver<Vec<u8>>,
}

impl Proxy {
    /// Serves `a.example` and every path of it.
    pub(crate) fn new(backends: &Backends) -> Self {
        Self::with(backends, Limits::default())
    }

    pub(crate) fn with(backends: &Backends, limits: Limits) -> Self {
        Self::numbered(0, backends, limits)
    }

    /// The thread of this number among several.
    pub(crate) fn numbered(index: usize, backends: &Backends, limits: Limits) -> Self {
        Self::start((index, None), backends, limits, Shared::new()).opened(Scheme::Http, None)
    }

    /// By TLS, with these certificates. Long steps are made by `aside`.
    pub(crate) fn secure(
        backends: &Backends,
        limits: Limits,
        shows: &[Shows],
        aside: Aside,
    ) -> Self {
        let shared = Shared {
            tls: Tls::new(aside).unwrap(),
            ..Shared::new()
        };
        let mut proxy = Self::start((0, None), backends, limits, shared);
        proxy.publish_with(backends, shows);
        proxy.opened(Scheme::Https, None)
    }

    /// So many threads of one process. The first accepts what comes to their address, and the
    /// others nothing: as if the kernel had shared out badly.
    pub(crate) fn several(threads: usize, backends: &Backends) -> Vec<Self> {
        let peers = Peers::of(threads).into_iter().enumerate();
        let started = |place| Self::start(place, backends, Limits::default(), Shared::new());
        let proxies = peers.map(started);
        let mut first = None;
        let opened = proxies.map(|proxy| {
            let proxy = proxy.opened(Scheme::Http, first);
            first = Some(proxy.address);
            proxy
        });
        opened.collect()
    }

    /// Accepts on a socket of its own, which passes for that of `address`, if there is one.
    fn opened(self, scheme: Scheme, address: Option<SocketAddr>) -> Self {
        let socket = listen(self.address, 1).unwrap().pop().unwrap();
        let address = address.unwrap_or_else(|| socket.local_addr().unwrap());
        let port = Port {
            scheme,
            ..port(address)
        };
        done(self.worker.open(port, Terms::default(), vec![socket]));
        Self { address, ..self }
    }

    /// A thread that shares with others what `pools` has.
    pub(crate) fn pooled(backends: &Backends, limits: Limits, pools: &PoolOptions) -> Self {
        let shared = Shared {
            pools: pools.clone(),
            ..Shared::new()
        };
        Self::start((0, None), backends, limits, shared).opened(Scheme::Http, None)
    }

    /// A thread that asks for challenges by this.
    pub(crate) fn asking(backends: &Backends, asking: Asking) -> Self {
        let shared = Shared {
            asking,
            ..Shared::new()
        };
        let proxy = Self::start((0, None), backends, Limits::default(), shared);
        proxy.opened(Scheme::Http, None)
    }

    /// The same by TLS, without a certificate.
    pub(crate) fn secure_asking(backends: &Backends, asking: Asking) -> Self {
        let shared = Shared {
            asking,
            ..Shared::new()
        };
        let proxy = Self::start((0, None), backends, Limits::default(), shared);
        proxy.opened(Scheme::Https, None)
    }

    /// Listens nowhere yet.
    fn start(
        (index, peers): (usize, Option<Peers>),
        backends: &Backends,
        limits: Limits,
        shared: Shared,
    ) -> Self {
        let (lines, log) = mpsc::channel();
        let (access_log, _writer) =
            AccessLog::start(LogFormat::Json, Box::new(Lines(lines))).unwrap();
        let mut names = Names::default();
        let active = active(&mut names, 1, backends);
        let tls = Arc::clone(&shared.tls);
        let options = WorkerOptions {
            traces: None,
            index,
            peers,
            limits,
            pools: shared.pools,
            tls: shared.tls,
            log: access_log,
            asking: shared.asking,
        };
        let worker = Worker::spawn(options, active).unwrap();
        Self {
            worker,
            address: "127.0.0.1:0".parse().unwrap(),
            names,
            certificates: Certificates::default(),
            challenges: Challenges::default(),
            tls,
            https_port: None,
            version: 1,
            log,
        }
    }

    /// Serves `a.example` by these from the next request on.
    pub(crate) fn publish(&mut self, backends: &Backends) {
        self.version += 1;
        let active = sending(&mut self.names, self.version, backends, self.https_port);
        let active = Arc::new(Active {
            certificates: self.certificates.clone(),
            challenges: self.challenges.clone(),
            ..Active::clone(&active)
        });
        done(self.worker.publish(active));
    }

    /// The same, with these certificates and no others.
    pub(crate) fn publish_with(&mut self, backends: &Backends, shows: &[Shows]) {
        self.certificates = secure::certificates(shows);
        self.publish(backends);
    }

    /// Makes session tickets by these.
    pub(crate) fn make_tickets_by(&self, secrets: &TicketSecrets) {
        self.tls.make_tickets_by(secrets);
    }

    /// The same, where a certificate is expected for this host beside those that there are.
    pub(crate) fn publish_expecting(&mut self, backends: &Backends, host: &str, shows: &[Shows]) {
        self.certificates = secure::certificates(shows);
        self.certificates.name(&secure::named(host, [].into()));
        self.publish(backends);
    }

    /// The same, with these challenges and no others.
    pub(crate) fn publish_answering(&mut self, backends: &Backends, challenges: Challenges) {
        self.challenges = challenges;
        self.publish(backends);
    }

    /// The same, where requests by HTTP are to come by HTTPS at this port.
    pub(crate) fn publish_redirecting(&mut self, backends: &Backends, https_port: u16) {
        self.https_port = NonZero::new(https_port);
        self.publish(backends);
    }

    /// The one upstream there is.
    pub(crate) fn upstream(&self) -> UpstreamId {
        self.names.find(UPSTREAM).unwrap()
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn close_listener(&self) {
        done(self.worker.close(&"http".into()));
    }

    pub(crate) fn drain(&self, grace: Duration) -> Acknowledged {
        self.worker.drain(grace)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut client = self.client();
        client.send(request);
        client.answer()
    }

    pub(crate) fn totals(&self) -> ThreadTotals {
        self.worker.metrics().read()
    }

    /// Waits until the figures are as they should be.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&ThreadTotals) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.totals()) {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.totals());
            std::thread::yield_now();
        }
    }

    /// The next lines of the access log.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let bytes = self.log.recv_timeout(PATIENCE).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// So many lines of the access log, as they come.
    pub(crate) fn lines(&self, count: usize) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.extend(self.log());
        }
        lines
    }
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn done(told: Acknowledged) {
    told.blocking_recv().unwrap();
}

/// What the threads of one process have together.
struct Shared {
    pools: PoolOptions,
    tls: Arc<Tls>,
    asking: Asking,
}

impl Shared {
    fn new() -> Self {
        Self {
            pools: PoolOptions::default(),
            tls: Tls::new(Aside::start(1, 4).unwrap()).unwrap(),
            asking: Asking::default(),
        }
    }
}

pub(crate) fn port(address: SocketAddr) -> Port {
    Port {
        name: "http".into(),
        number: address.port(),
        scheme: Scheme::Http,
    }
}

pub(crate) fn active(names: &mut Names, version: u64, backends: &Backends) -> Arc<Active> {
    sending(names, version, backends, None)
}

fn sending(
    names: &mut Names,
    version: u64,
    backends: &Backends,
    https_port: Option<NonZero<u16>>,
) -> Arc<Active> {
    let name: Arc<str> = UPSTREAM.into();
    let id = names.acquire(&name);
    let (target, endpoints) = match backends {
        Backends::Missing => (None, Vec::new()),
        Backends::At(addresses) => (Some(Target::Discovered), addresses.clone()),
        Backends::External(hostname, port, allow_local) => {
            let target = Target::External {
                hostname: (*hostname).into(),
                port: *port,
                allow_local: *allow_local,
            };
            (Some(target), Vec::new())
        }
    };
    let route = Route {
        listeners: [].into(),
        rules: [Rule {
            id: "ingress/a/b#rule".into(),
            host: HostPattern::parse("a.example").unwrap(),
            path: PathPattern::root(),
            fallback: false,
            backends: [Backend {
                upstream: target.is_some().then(|| name.clone()),
                weight: 1,
            }]
            .into(),
            https_port,
        }]
        .into(),
    };
    let change = RouteChange {
        name: &"ingress/a/b".into(),
        before: None,
        after: Some(&route),
    };
    let router = Router::default().with_changes(&[change], names);
    let mut upstreams = UpstreamTable::default();
    if let Some(target) = target {
        let endpoint = |(address, uid): (SocketAddr, &'static str)| Endpoint {
            address,
            uid: uid.into(),
        };
        upstreams.insert(Arc::new(Upstream {
            id,
            name,
            target,
            endpoints: endpoints.into_iter().map(endpoint).collect(),
        }));
    }
    let version = Version {
        lineage: "test".into(),
        epoch: 1,
        seq: version,
    };
    Arc::new(Active {
        version,
        router,
        certificates: Certificates::default(),
        challenges: Challenges::default(),
        ticket_secrets: TicketSecrets::default(),
        upstreams,
    })
}

/// The log's writer puts each buffer here.
pub(crate) struct Lines(pub(crate) mpsc::Sender<Vec<u8>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A test that is over reads no more.
        let _over = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const UPSTREAM: &str = "service/a/b:80";
