//! Where objects come from, and who is told of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use kube::{Api, Client};
use opentelemetry::metrics::Meter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::acme::{self, Demanded, Followed, Issuer};
use crate::app::issuer;
use crate::certificate_files;
use crate::clock;
use crate::config::{self, Config, Live};
use crate::folder;
use crate::lease::{Office, fenced};
use crate::metrics::acme::AcmeMetrics;
use crate::metrics::folder::FolderMetrics;
use crate::metrics::recovery::RecoveryMetrics;
use crate::metrics::status::StatusMetrics;
use crate::metrics::watch::WatchMetrics;
use crate::model::address::Sighting;
use crate::model::key::{Kind, Origin};
use crate::observe::Observation;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::recovery::{Keeper, Tenure};
use crate::status::{Publishing, Status, Whereabouts};
use crate::store::{Collection, Files, Secrets, Store};
use crate::tickets::TicketKeeper;
use crate::watch::{self as kubernetes, InUse, Scope};

/// Where objects come from.
pub(super) struct Sources {
    folder: Option<PathBuf>,
    kubernetes: Option<Kubernetes>,
}

struct Kubernetes {
    kubeconfig: Option<PathBuf>,
    own_namespace: Option<String>,
    scope: Scope,
}

/// A Kubernetes API, and our own namespace there.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// How long the API server lets a watch live there.
    pub(super) watch_seconds: u32,
}

/// What the tasks of all sources are given.
pub(super) struct Common<'a> {
    pub(super) tasks: &'a mut JoinSet<anyhow::Result<&'static str>>,
    pub(super) inbox: &'a mpsc::Sender<Observation>,
    pub(super) relisted: &'a watch::Receiver<u64>,
    /// What applies of the configuration without a restart.
    pub(super) configured: &'a watch::Receiver<Live>,
    /// Which Secrets Ingresses refer to.
    pub(super) in_use: &'a watch::Receiver<InUse>,
    /// What decides which certificates are obtained.
    pub(super) followed: Followed,
    /// What operators demand of them; taken by who obtains them.
    pub(super) demands: Option<mpsc::Receiver<Demanded>>,
    /// Is dropped by whoever began something outside, when that is done.
    pub(super) under_way: mpsc::Sender<()>,
    pub(super) tenure: Tenure,
    /// In whose name Kubernetes is written to.
    pub(super) office: &'a Office,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) presence: &'a watch::Receiver<Presence>,
    pub(super) meter: &'a Meter,
}

impl Sources {
    pub(super) fn of(config: &Config) -> Self {
        let folder = config
            .sources
            .folder
            .as_ref()
            .map(|folder| folder.path.clone());
        let inside = config::Kubernetes::default();
        let kubernetes = config.sources.kubernetes.as_ref();
        let kubernetes = kubernetes.or_else(|| folder.is_none().then_some(&inside));
        let kubernetes = kubernetes.map(|source| Kubernetes {
            kubeconfig: source.kubeconfig.clone(),
            own_namespace: source.own_namespace.clone(),
            scope: Scope {
                namespaces: source.namespaces.clone(),
                label_selector: source.label_selector.clone(),
                watch_seconds: source.watch_seconds,
                secrets: source.secrets,
            },
        });
        Self { folder, kubernetes }
    }

    /// Whether a folder is one.
    pub(super) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The API server and our own namespace there, if it is a source.
    pub(super) async fn cluster(&self) -> anyhow::Result<Option<Cluster>> {
        let Some(source) = &self.kubernetes else {
            return Ok(None);
        };
        let client = source.connect().await?;
        let namespace = source.own_namespace.clone();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Some(Cluster {
            client,
            namespace,
            watch_seconds: source.scope.watch_seconds,
        }))
    }

    pub(super) fn awaited(&self) -> BTreeSet<(Origin, Kind)> {
        self.origins()
            .flat_map(|origin| origin.kinds().iter().map(move |kind| (origin, *kind)))
            // Nothing waits for what sessions are only resumed by.
            .filter(|(_, kind)| *kind != Kind::TicketSecret)
            .collect()
    }

    fn origins(&self) -> impl Iterator<Item = Origin> {
        let folder = self.folder.iter().map(|_| Origin::Folder);
        let kubernetes = self.kubernetes.iter().map(|_| Origin::Kubernetes);
        let always = std::iter::once(Origin::Configuration);
        always.chain(folder).chain(kubernetes)
    }

    pub(super) async fn spawn(
        self,
        config: &Config,
        keys: &Path,
        status: Status,
        mut common: Common<'_>,
    ) -> anyhow::Result<()> {
        let in_use: Vec<Origin> = self.origins().collect();
        let (configured, relisted) = (common.configured.clone(), common.relisted.clone());
        let files = certificate_files::run(configured, common.inbox.clone(), relisted);
        common.tasks.spawn(async {
            files.await;
            Ok("the watch of certificates in files")
        });
        let mut client = None;
        let mut publishing = None;
        if let Some(source) = self.kubernetes {
            let connected = fenced(source.connect().await?, common.office.clone());
            let own_namespace = source.own_namespace;
            let secrets = Secrets::new(
                connected.clone(),
                own_namespace.clone(),
                Collection::LastGood,
            );
            let listable = common.keep(secrets, "the keeper of Secrets");
            common.watch_pods(config, &connected, own_namespace.as_deref());
            let certificates = Collection::Certificates;
            let certificates = Secrets::new(connected.clone(), own_namespace.clone(), certificates);
            common.obtain(config, certificates)?;
            common.make_tickets(Secrets::new(
                connected.clone(),
                own_namespace,
                Collection::Tickets,
            ));
            publishing = config
                .status_writes
                .then(|| common.publishing(config))
                .flatten();
            let sightings = publishing.as_ref().map(|publishing| {
                let told = status.sightings(publishing.take_over);
                Arc::new(told) as Arc<dyn Fn(Sighting) + Send + Sync>
            });
            let watching = kubernetes::run(
                connected.clone(),
                source.scope,
                common.inbox.clone(),
                common.relisted.clone(),
                common.in_use.clone(),
                sightings,
                WatchMetrics::new(common.meter),
            );
            common.tasks.spawn(async {
                if listable.await.is_ok() {
                    watching.await;
                }
                Ok("the watch of the Kubernetes API")
            });
            client = Some(connected).filter(|_| config.status_writes);
        }
        for origin in Origin::ALL {
            if !in_use.contains(&origin) {
                let (inbox, relisted) = (common.inbox.clone(), common.relisted.clone());
                common.tasks.spawn(not_configured(origin, inbox, relisted));
            }
        }
        if let Some(path) = self.folder {
            if !in_use.contains(&Origin::Kubernetes) {
                common.obtain(config, Files::new(keys.join("certificates")))?;
                common.make_tickets(Files::new(keys.join("tickets")));
            }
            let files = Files::new(keys.join("recovery"));
            let listable = common.keep(files, "the keeper of files");
            let metrics = FolderMetrics::new(common.meter);
            let (inbox, relisted) = (common.inbox.clone(), common.relisted.clone());
            let following = folder::run(path, inbox, relisted, metrics);
            common.tasks.spawn(async {
                if listable.await.is_ok() {
                    following.await?;
                }
                Ok("the watch of the folder")
            });
        }
        common.tasks.spawn(async {
            Box::pin(status.run(client, publishing)).await;
            Ok("the teller of standings")
        });
        Ok(())
    }
}

impl Kubernetes {
    async fn connect(&self) -> Result<Client, kubernetes::ConnectError> {
        let seconds = self.scope.watch_seconds;
        kubernetes::connect(self.kubeconfig.as_deref(), seconds).await
    }
}

impl Common<'_> {
    /// How statuses of Ingresses are written, if they are.
    fn publishing(&self, config: &Config) -> Option<Publishing> {
        let keys = &config.ingress_status;
        Some(Publishing {
            whereabouts: Whereabouts {
                source: keys.source()?,
                most: keys.most,
                presence: self.presence.clone(),
            },
            writes_per_second: keys.writes_per_second,
            take_over: keys.take_over,
            metrics: StatusMetrics::new(self.meter),
        })
    }

    /// Obtains certificates, which are kept there.
    fn obtain<S: Store>(&mut self, config: &Config, store: S) -> anyhow::Result<()> {
        let source = config.sources.kubernetes.as_ref();
        let by_name = source.is_some_and(|source| source.secrets == config::Secrets::Get);
        let settings = config
            .acme
            .as_ref()
            .map(|acme| issuer::settings(acme, by_name));
        let settings = settings.transpose().unwrap_or_else(|error| {
            tracing::error!("no certificate is obtained in this term: {error:#}");
            None
        });
        let office = self.office.clone();
        let term = acme::Term {
            lineage: Arc::clone(&self.tenure.lineage),
            epoch: self.tenure.epoch,
            holds: Arc::new(move || office.holds()),
            clock: clock::now,
        };
        let followed = self.followed.clone();
        let metrics = AcmeMetrics::new(self.meter);
        let demands = self.demands.take().context("one issuer")?;
        let inbox = self.inbox.clone();
        let issuer = Issuer::new(store, term, settings, followed, inbox, demands, metrics);
        let under_way = self.under_way.clone();
        self.tasks.spawn(async move {
            issuer.run().await;
            drop(under_way);
            // The term may go on to its end.
            std::future::pending::<()>().await;
            Ok("the issuer of certificates")
        });
        Ok(())
    }

    /// Follows which proxies take traffic, if the configuration says which pods these are.
    fn watch_pods(&mut self, config: &Config, client: &Client, own_namespace: Option<&str>) {
        let acme = config.acme.as_ref();
        let Some(selector) = acme.and_then(|acme| acme.proxy_pods.clone()) else {
            return;
        };
        let namespace = own_namespace.unwrap_or_else(|| client.default_namespace());
        let api = Api::namespaced(client.clone(), namespace);
        let (tell, ready) = watch::channel(None);
        self.followed.ready = ready;
        let kubernetes = config.sources.kubernetes.as_ref();
        let seconds = kubernetes.map_or_else(
            || config::Kubernetes::default().watch_seconds,
            |kubernetes| kubernetes.watch_seconds,
        );
        self.tasks.spawn(async move {
            acme::follow_pods(api, &selector, seconds, tell).await;
            // Nobody wants to know any more; the term may go on to its end.
            std::future::pending::<()>().await;
            Ok("the watch of proxies' pods")
        });
    }

    /// Makes what session tickets are made by, which is kept there.
    fn make_tickets<S: Store>(&mut self, store: S) {
        let (lineage, epoch) = (Arc::clone(&self.tenure.lineage), self.tenure.epoch);
        let keeper = TicketKeeper::new(store, lineage, epoch, clock::now);
        let (configured, relisted) = (self.configured.clone(), self.relisted.clone());
        let keeping = keeper.run(configured, self.inbox.clone(), relisted);
        self.tasks.spawn(async {
            keeping.await;
            Ok("the keeper of session tickets")
        });
    }

    /// Keeps the recovery records of an origin, and tells when that may be listed.
    fn keep<S: Store>(&mut self, store: S, task: &'static str) -> oneshot::Receiver<()> {
        let metrics = RecoveryMetrics::new(self.meter);
        let keeper = Keeper::new(store, self.tenure.clone(), self.wanted.clone(), metrics);
        let (listable, is_listable) = oneshot::channel();
        let keeping = keeper.run(self.inbox.clone(), listable);
        self.tasks.spawn(async move {
            keeping.await;
            Ok(task)
        });
        is_listable
    }
}

/// A source that the configuration names no more has no objects: what the log holds of it would
/// be served for ever.
async fn not_configured(
    origin: Origin,
    inbox: mpsc::Sender<Observation>,
    mut relisted: watch::Receiver<u64>,
) -> anyhow::Result<&'static str> {
    loop {
        for kind in origin.kinds().iter().copied() {
            inbox
                .send(Observation::Unconfigured { origin, kind })
                .await?;
        }
        relisted.changed().await?;
    }
}
