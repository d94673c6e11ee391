//! Where objects come from, and who is told of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use opentelemetry::metrics::Meter;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{self, Config};
use crate::folder;
use crate::model::key::{Kind, Origin};
use crate::observe::Observation;
use crate::status::Status;
use crate::watch::{self as kubernetes, Scope};

/// Where objects come from.
pub(super) struct Sources {
    folder: Option<PathBuf>,
    kubernetes: Option<(Option<PathBuf>, Scope)>,
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
        let kubernetes = kubernetes.map(|source| {
            (
                source.kubeconfig.clone(),
                Scope {
                    namespaces: source.namespaces.clone(),
                    label_selector: source.label_selector.clone(),
                    watch_seconds: source.watch_seconds,
                },
            )
        });
        Self { folder, kubernetes }
    }

    pub(super) fn awaited(&self) -> BTreeSet<(Origin, Kind)> {
        self.origins()
            .flat_map(|origin| Kind::ALL.map(|kind| (origin, kind)))
            .collect()
    }

    fn origins(&self) -> impl Iterator<Item = Origin> {
        let folder = self.folder.iter().map(|_| Origin::Folder);
        let kubernetes = self.kubernetes.iter().map(|_| Origin::Kubernetes);
        folder.chain(kubernetes)
    }

    pub(super) async fn spawn(
        self,
        tasks: &mut JoinSet<anyhow::Result<&'static str>>,
        config: &Config,
        inbox: &mpsc::Sender<Observation>,
        relisted: &watch::Receiver<u64>,
        status: Status,
        meter: &Meter,
    ) -> anyhow::Result<()> {
        let in_use: Vec<Origin> = self.origins().collect();
        let mut client = None;
        if let Some((kubeconfig, scope)) = self.kubernetes {
            let connected = kubernetes::connect(kubeconfig.as_deref(), scope.watch_seconds).await?;
            let watching = kubernetes::run(
                connected.clone(),
                scope,
                inbox.clone(),
                relisted.clone(),
                kubernetes::Metrics::new(meter),
            );
            tasks.spawn(async {
                watching.await;
                Ok("the watch of the Kubernetes API")
            });
            client = Some(connected).filter(|_| config.status_writes);
        }
        for origin in Origin::ALL {
            if !in_use.contains(&origin) {
                tasks.spawn(not_configured(origin, inbox.clone(), relisted.clone()));
            }
        }
        if let Some(path) = self.folder {
            let metrics = folder::Metrics::new(meter);
            let following = folder::run(path, inbox.clone(), relisted.clone(), metrics);
            tasks.spawn(async { Ok(following.await.map(|()| "the watch of the folder")?) });
        }
        tasks.spawn(async {
            Box::pin(status.run(client)).await;
            Ok("the teller of standings")
        });
        Ok(())
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
        for kind in Kind::ALL {
            let nothing = Observation::Listed {
                origin,
                kind,
                objects: Vec::new(),
                unreadable: Vec::new(),
            };
            inbox.send(nothing).await?;
        }
        relisted.changed().await?;
    }
}
