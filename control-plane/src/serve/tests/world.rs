//! A control plane without sources and disk: a fold, its records, and gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;
use roadstead_proto::v1::{self, ListProxiesResponse, ResourceType};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::acme::Demanded;
use crate::clock::{now, since_boot};
use crate::event::{Epoch, Event, Record, Seq};
use crate::history::{History, Recorder};
use crate::keys::Keys;
use crate::metrics::leadership::LeadershipMetrics;
use crate::metrics::secrets::SecretMetrics;
use crate::metrics::streams::StreamMetrics;
use crate::model::ingress::{BackendRef, ClassRef, Ingress, PathRule, PortRef, Rule};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::service::{Service, ServicePort, Target};
use crate::model::settings::{Listener as ListenerSettings, Protocol, Settings};
use crate::model::time::Timestamp;
use crate::observe::Observation;
use crate::pki::Authorities;
use crate::pki::rotation::Stored;
use crate::pki::server::ServerCertificate;
use crate::presence::Presence;
use crate::project::{Fold, REVISION};
use crate::publish::Publisher;
use crate::review::{Account, Review, ReviewError, Right};
use crate::serve::listen::{Listener, Security};
use crate::serve::tests::memory::Memory;
use crate::serve::{
    Access, Followers, Issuing, Leader, Parts, Patience, Role as Duty, ServeError, run,
};
use crate::snapshot::publication::Publication;
use crate::snapshot::{Change, ResourceId, Snapshot, Version};
use crate::state::State;
use crate::state::hold::Holding;
use crate::tokens::{Role, Tokens};

pub(super) const LINEAGE: &str = "test-installation";

/// What runs, and the handles of it.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) presence: watch::Receiver<Presence>,
    /// What is held back.
    pub(super) holding: watch::Sender<Holding>,
    /// What proxies' reports and operators' words came to, in sentences.
    pub(super) transitions: mpsc::UnboundedReceiver<String>,
    folder: tempfile::TempDir,
    fold: Fold,
    recorder: Recorder,
    archive: Arc<Memory>,
    publisher: Publisher,
    publication: Arc<Publication>,
    pub(super) duty: watch::Sender<Duty>,
    /// What operators demand of certificates.
    pub(super) demanded: mpsc::Receiver<Demanded>,
    pub(super) keys: Keys,
    stop: Option<oneshot::Sender<()>>,
    server: JoinSet<Result<(), ServeError>>,
    _engine: JoinSet<()>,
    authorities: Option<Arc<Authorities>>,
    knows: watch::Sender<Option<Arc<Authorities>>>,
}

/// Knows no tokens: it is out of reach.
#[derive(Debug)]
struct Away;

impl Review for Away {
    fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        let error = ReviewError::Unavailable("away".to_owned());
        std::future::ready(Err(error)).boxed()
    }

    fn allows<'a>(&'a self, _: &'a Account, _: Right) -> BoxFuture<'a, Result<bool, ReviewError>> {
        std::future::ready(Ok(false)).boxed()
    }
}

/// Whoever leads elsewhere, and has one proxy, of its address' name; or is out of reach.
fn leader(address: &str) -> Result<ListProxiesResponse, String> {
    if address == SILENT {
        return Err("not there".to_owned());
    }
    let name = address.to_owned();
    Ok(ListProxiesResponse {
        proxies: vec![v1::Proxy {
            name,
            ..v1::Proxy::default()
        }],
        version: None,
    })
}

/// A leader that gives no answer.
pub(super) const SILENT: &str = "https://silent:8443";

impl World {
    /// A control plane that published nothing.
    pub(super) async fn start() -> Self {
        Self::with(Patience::default(), Security::Plaintext).await
    }

    pub(super) async fn with(patience: Patience, security: Security) -> Self {
        Self::issuing(patience, security, None, true).await
    }

    /// One that has begun, with TLS, an authority, and certificates for proxies that have one.
    pub(super) async fn guarded() -> Self {
        Self::guarded_by(true).await
    }

    async fn guarded_by(tokens: bool) -> Self {
        let stored = Stored::first(now()).unwrap();
        let authorities = Arc::new(stored.authorities().unwrap());
        let (knows, known) = watch::channel(Some(Arc::clone(&authorities)));
        let names = vec!["127.0.0.1".to_owned()];
        let server = ServerCertificate::new(known.clone(), names, now).unwrap();
        let issuing = Issuing {
            authorities: known,
            reviewer: Arc::new(Away),
            users: Vec::new(),
            life: 3_600_000,
        };
        let security = Security::Tls(server.tls());
        let mut world = Self::issuing(Patience::default(), security, Some(issuing), tokens).await;
        world.authorities = Some(authorities);
        world.knows = knows;
        world.begin();
        world
    }

    /// The same, where no tokens lie in files.
    pub(super) async fn without_tokens() -> Self {
        Self::guarded_by(false).await
    }

    /// Another authority takes the place of the one that signed.
    pub(super) fn forget(&self) {
        let other = Stored::first(now()).unwrap().authorities().unwrap();
        self.knows.send_replace(Some(Arc::new(other)));
    }

    /// Who signs, with TLS.
    pub(super) fn authorities(&self) -> &Authorities {
        self.authorities.as_deref().unwrap()
    }

    /// A connection by TLS.
    pub(super) async fn connect(&self, tls: ClientTlsConfig) -> Channel {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// That of another replica.
    pub(super) async fn replica(&self) -> Channel {
        let tls = self.authorities().replica_tls("roadstead-1", now());
        self.connect(tls.unwrap()).await
    }

    async fn issuing(
        patience: Patience,
        security: Security,
        issuing: Option<Issuing>,
        tokens: bool,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::new();
        let (presence, presence_rx) = watch::channel(Presence::default());
        let (reports, mut inbox) = mpsc::channel(16);
        let (demands, demanded) = mpsc::channel(1);
        let (holding, held) = watch::channel(Holding::default());
        let shown = holding.clone();
        let (said, transitions) = mpsc::unbounded_channel();
        let mut engine = JoinSet::new();
        engine.spawn(async move {
            let mut now = Timestamp(1_700_000_000_000);
            while let Some(observation) = inbox.recv().await {
                if let Observation::Confirmed(confirmation) = &observation {
                    // As the engine does, for what it was shown.
                    shown.send_modify(|shown| {
                        for now in std::mem::take(&mut shown.holds) {
                            shown.confirm(now.hold.id);
                        }
                    });
                    let _ = said.send(format!("{confirmation:?}"));
                    continue;
                }
                let Observation::Proxy(report) = observation else {
                    panic!("streams tell of proxies only");
                };
                now.0 += 1000;
                let mut after = presence.borrow().clone();
                let events = after.report(now, report);
                presence.send_replace(after);
                for event in events {
                    // Nobody listens once a test is over.
                    let _ = said.send(event.to_string());
                }
            }
        });
        let archive = Arc::new(Memory::default());
        let fold = Fold::default();
        let recorder = Recorder::new(&fold);
        let meter = SdkMeterProvider::default().meter("test");
        let newest = publisher.subscribe();
        let duty = watch::Sender::new(Duty::Leading { reports, demands });
        let keys = Keys::new(since_boot);
        let parts = Parts {
            publications: publisher.subscribe(),
            presence: presence_rx.clone(),
            holding: held,
            frozen: watch::channel(false).1,
            role: duty.subscribe(),
            leader: Leader::new(|address| async move { leader(&address) }),
            followers: Followers::new(LeadershipMetrics::new(&meter)),
            history: History::new(archive.clone(), recorder.subscribe()),
            access: Access {
                tokens: tokens.then(|| Tokens::open(folder.path()).unwrap()),
                operators: None,
            },
            issuing,
            keys: keys.clone(),
            metrics: StreamMetrics::new(&meter, presence_rx.clone(), newest),
            secret_metrics: SecretMetrics::new(&meter, || (0, 0)),
            patience,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, security).await.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut server = JoinSet::new();
        server.spawn(run(vec![listener], parts, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            presence: presence_rx,
            holding,
            transitions,
            folder,
            fold,
            recorder,
            archive,
            publisher,
            publication: Arc::default(),
            duty,
            demanded,
            keys,
            stop: Some(stop),
            server,
            _engine: engine,
            authorities: None,
            knows: watch::Sender::new(None),
        }
    }

    /// A control plane whose first leader began: version 1.2, with a listener.
    pub(super) async fn begun() -> Self {
        let mut world = Self::start().await;
        world.begin();
        world
    }

    pub(super) fn begin(&mut self) {
        self.record(Event::EpochBegan {
            lineage: LINEAGE.into(),
            projection_revision: REVISION,
            binary_version: "test".into(),
        });
        let listener = ListenerSettings::new(80, Protocol::Http);
        self.record(Event::Configured {
            settings: Settings {
                listeners: [("http".into(), listener)].into(),
                ..Settings::default()
            },
        });
        self.publish();
    }

    /// An Ingress and the Service that it sends to appear or change: two records, and as many
    /// versions as they change something. Paths are `host/path=service`.
    pub(super) fn route(&mut self, name: &str, paths: &[&str]) {
        let mut rules = Vec::new();
        for path in paths {
            let (place, service) = path.split_once('=').unwrap();
            let (host, path) = place.split_once('/').unwrap();
            let spec = Service {
                target: Target::Endpoints,
                ports: vec![ServicePort {
                    name: "".into(),
                    number: 80,
                }],
            };
            self.accept(Kind::Service, service, Spec::Service(spec));
            rules.push(Rule {
                host: HostPattern::parse(host).unwrap(),
                paths: Some(vec![PathRule {
                    path: PathPattern::element_prefix(&format!("/{path}")).unwrap(),
                    backend: BackendRef {
                        service: service.into(),
                        port: PortRef::Number(80),
                    },
                }]),
            });
        }
        let spec = Ingress {
            class: ClassRef::Field("roadstead".into()),
            rules,
            ..Ingress::default()
        };
        self.accept(Kind::Ingress, name, Spec::Ingress(spec));
        self.publish();
    }

    /// An Ingress is deleted.
    pub(super) fn remove(&mut self, name: &str) {
        let key = key(Kind::Ingress, name);
        self.record(Event::ObjectDeleted { key });
        self.publish();
    }

    /// Sets routes to bodies of so many equal bytes, or takes them away, as one publication.
    pub(super) fn set(&mut self, routes: &[(&str, Option<usize>)]) {
        let changes = routes.iter().map(|(name, size)| Change {
            id: ResourceId::new(ResourceType::Route, *name),
            body: size.map(|size| (vec![b'x'; size], [].as_slice())),
        });
        self.change(changes.collect());
    }

    /// Publishes changed resources.
    pub(super) fn change(&mut self, changes: Vec<Change>) {
        let mut snapshot = self.publication.snapshot().clone();
        let mut version = snapshot.version();
        version.epoch = Epoch(1);
        version.seq = version.seq.next();
        let changed = snapshot.configure(version, changes);
        self.publish_snapshot(snapshot, changed);
    }

    /// A leader begins, and publishes what it found in its log: what was published last.
    pub(super) fn restore(&mut self) {
        let mut snapshot = self.publication.snapshot().clone();
        let held = snapshot.version();
        snapshot.begin_epoch(Version {
            epoch: Epoch(held.epoch.0 + 1),
            seq: held.seq.next(),
        });
        let next = Publication::default().succeed(LINEAGE.into(), snapshot, [].into());
        self.publication = Arc::new(next.restoring(held));
        self.publisher.publish(self.publication.clone());
    }

    /// Forgets the records before this place.
    pub(super) fn compact(&self, oldest: Seq) {
        self.archive.compact(oldest);
    }

    pub(super) fn record(&mut self, event: Event) {
        let seq = self.fold.state().seq().next();
        let record = Record {
            seq,
            epoch: Epoch(1),
            time: Timestamp(1_700_000_000_000 + i64::try_from(seq.0).unwrap()),
            event,
        };
        self.fold.apply(&record);
        self.archive.append(record);
        self.recorder.reached(&self.fold);
    }

    pub(super) fn token(&self, role: Role) -> String {
        let path = self.folder.path().join(role.file_name());
        std::fs::read_to_string(path).unwrap().trim_end().to_owned()
    }

    /// What the records come to.
    pub(super) fn state(&self) -> &State {
        self.fold.state()
    }

    pub(super) fn publication(&self) -> &Publication {
        &self.publication
    }

    /// A channel on which every call bears the token of this role.
    pub(super) async fn channel(&self, role: Role) -> Authorized {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = endpoint.connect().await.unwrap();
        InterceptedService::new(channel, bearer(&self.token(role)))
    }

    /// The keys are in step with what is published, for who waits for what is missing.
    pub(super) fn follow_keys(&self) {
        self.keys.follow(&self.publication);
    }

    /// Waits until presence is so.
    pub(super) async fn until(&mut self, holds: impl FnMut(&Presence) -> bool) -> Presence {
        self.presence.wait_for(holds).await.unwrap().clone()
    }

    /// Stops the server, and says how it ended.
    pub(super) async fn stop(&mut self) -> Result<(), ServeError> {
        drop(self.stop.take());
        self.server.join_next().await.unwrap().unwrap()
    }

    fn accept(&mut self, kind: Kind, name: &str, spec: Spec) {
        let key = key(kind, name);
        let meta = Meta {
            uid: name.into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(0),
                rank: name.into(),
            },
        };
        self.record(Event::ObjectAccepted { key, meta, spec });
    }

    fn publish(&mut self) {
        let snapshot = self.fold.snapshot().clone();
        let before = self.publication.snapshot().resources().clone();
        let changed = before.diff(snapshot.resources()).map(|item| match item {
            imbl::ordmap::DiffItem::Add(id, _)
            | imbl::ordmap::DiffItem::Remove(id, _)
            | imbl::ordmap::DiffItem::Update { new: (id, _), .. } => id.clone(),
        });
        let changed = changed.collect();
        self.publish_snapshot(snapshot, changed);
    }

    fn publish_snapshot(&mut self, snapshot: Snapshot, changed: Vec<ResourceId>) {
        let next = self
            .publication
            .succeed(LINEAGE.into(), snapshot, changed.into());
        self.publication = Arc::new(next);
        self.publisher.publish(self.publication.clone());
    }
}

pub(super) type Authorized = InterceptedService<Channel, Bearer>;
type Bearer = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send + Sync>;

/// Puts a token on each call.
pub(super) fn bearer(token: &str) -> Bearer {
    let value: tonic::metadata::AsciiMetadataValue = format!("Bearer {token}").parse().unwrap();
    Box::new(move |mut request| {
        request
            .metadata_mut()
            .insert("authorization", value.clone());
        Ok(request)
    })
}

pub(super) fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind,
        namespace: "default".into(),
        name: name.into(),
    }
}
