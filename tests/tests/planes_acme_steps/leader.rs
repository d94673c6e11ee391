//! An issuer and what it works with: an engine without a disk, one proxy that has always
//! acknowledged everything, and a clock that goes on while nobody has anything to do.

use std::{cell::Cell, sync::Arc, time::Duration};

use anyhow::bail;
use roadstead_control_plane::{
    acme::{self, Followed, Issuer, Lacking, Term},
    event::{Epoch, Event, Record},
    metrics::acme::AcmeMetrics,
    model::{
        ingress::{Ingress, Tls},
        key::{Kind, ObjectKey, Origin},
        managed::Managed,
        object::{Age, Meta, Spec},
        settings::{Obtains, Settings},
        time::Timestamp,
    },
    observe::{Observation, Seen, observe},
    presence::{Connected, Presence, Report, StreamId},
    project::{Fold, REVISION},
    snapshot::publication::Publication,
};
use roadstead_matcher::host::HostPattern;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::disk::{Disk, Progress};

thread_local! {
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp(0)) };
}

/// The time now; a test's own thread has its own.
pub(crate) fn now() -> Timestamp {
    NOW.get()
}

pub(crate) fn set_clock(time: Timestamp) {
    NOW.set(time);
}

/// One process that leads.
pub(crate) struct Leader {
    epoch: Epoch,
    issuer: JoinSet<()>,
    pub(crate) progress: watch::Sender<Progress>,
    told: mpsc::Receiver<Observation>,
    fold: Fold,
    acknowledged: Presence,
    publications: watch::Sender<Arc<Publication>>,
    presence: watch::Sender<Presence>,
    lacking: watch::Sender<Lacking>,
    _frozen: watch::Sender<bool>,
    _relisted: watch::Sender<u64>,
    _ending: watch::Sender<bool>,
}

impl Leader {
    /// Goes on from a log, which may be empty.
    pub(crate) fn begin(
        epoch: u64,
        fold: Fold,
        (disk, progress): (Disk, watch::Sender<Progress>),
        settings: &acme::Settings,
    ) -> Self {
        let (inbox, told) = mpsc::channel(64);
        let (publications, published) = watch::channel(Arc::default());
        let (presence, present) = watch::channel(Presence::default());
        let (lacking, lack) = watch::channel(None);
        let (frozen, freezes) = watch::channel(false);
        let (relisted, relists) = watch::channel(0);
        let (ending, ends) = watch::channel(false);
        let term = Term {
            lineage: LINEAGE.into(),
            epoch: Epoch(epoch),
            holds: Arc::new(|| true),
            clock: now,
        };
        let followed = Followed {
            lacking: lack,
            publications: published,
            presence: present,
            ready: watch::channel(None).1,
            frozen: freezes,
            relisted: relists,
            ending: ends,
        };
        // Nobody reads them.
        let (_, demands) = mpsc::channel(1);
        let metrics = AcmeMetrics::new(&opentelemetry::global::meter("test"));
        let mut issuer = JoinSet::new();
        issuer.spawn(
            Issuer::new(
                disk,
                term,
                Some(settings.clone()),
                followed,
                inbox,
                demands,
                metrics,
            )
            .run(),
        );
        let mut leader = Self {
            epoch: Epoch(epoch),
            issuer,
            progress,
            told,
            fold,
            acknowledged: Presence::default(),
            publications,
            presence,
            lacking,
            _frozen: frozen,
            _relisted: relisted,
            _ending: ending,
        };
        leader
            .acknowledged
            .report(now(), Report::Connected(proxy()));
        leader.record(Event::EpochBegan {
            lineage: LINEAGE.into(),
            projection_revision: REVISION,
            binary_version: "test".into(),
        });
        leader.take_in(Observation::Configured(obtains()));
        leader
    }

    /// An Ingress wants a certificate for this host, and names no Secret.
    pub(crate) fn want(&mut self, host: &str) {
        let tls = Tls {
            hosts: vec![pattern(host)],
            secret: None,
        };
        let seen = Seen {
            key: ingress(host),
            meta: Meta {
                uid: host.into(),
                resource_version: "1".into(),
                age: Age {
                    created: Timestamp(0),
                    rank: host.into(),
                },
            },
            spec: Ok(Spec::Ingress(Ingress {
                tls: vec![tls],
                ..Ingress::default()
            })),
            bundle: None,
        };
        self.take_in(Observation::Changed(seen));
    }

    pub(crate) fn want_no_more(&mut self, host: &str) {
        self.take_in(Observation::Deleted(ingress(host)));
    }

    /// What is known of the certificate for a host.
    pub(crate) fn managed(&self, host: &str) -> Option<&Managed> {
        self.fold.state().managed(&ObjectKey {
            kind: Kind::Certificate,
            namespace: "".into(),
            ..ingress(host)
        })
    }

    /// Whether a certificate for a host is there, and the CA was asked when to renew it.
    pub(crate) fn has(&self, host: &str) -> bool {
        self.managed(host).is_some_and(|managed| {
            let issued = managed.issued.as_ref();
            managed.order.is_none() && issued.is_some_and(|issued| issued.renewal.window.is_some())
        })
    }

    /// Works until this holds. The clock goes on when nobody has anything to do.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + LIMIT;
        while !holds(self) {
            if Instant::now() > end {
                bail!("waited {LIMIT:?} in vain: {what}");
            }
            self.turn().await?;
        }
        Ok(())
    }

    /// Takes in one thing that the issuer tells, or lets the time go on.
    pub(crate) async fn turn(&mut self) -> anyhow::Result<()> {
        match timeout(IDLE, self.told.recv()).await {
            Ok(Some(observation)) => self.take_in(observation),
            Ok(None) => bail!("the issuer ended: {:?}", self.issuer.try_join_next()),
            Err(_) => {
                NOW.set(now().later(STEP));
                self.presence.send_replace(self.acknowledged.clone());
            }
        }
        Ok(())
    }

    /// Ends it at once, and gives back its log.
    pub(crate) async fn kill(mut self) -> Fold {
        self.issuer.shutdown().await;
        self.fold
    }

    fn take_in(&mut self, observation: Observation) {
        let lists = matches!(observation, Observation::Listed { .. });
        let observed = observe(self.fold.state(), observation, now());
        for event in observed.events {
            self.record(event);
        }
        if lists || self.lacking.borrow().is_some() {
            let lacking = self.fold.state().certificates().lacking().clone();
            self.lacking.send_replace(Some(lacking));
        }
    }

    fn record(&mut self, event: Event) {
        let record = Record {
            seq: self.fold.state().seq().next(),
            epoch: self.epoch,
            time: now(),
            event,
        };
        let changed = self.fold.apply(&record);
        let snapshot = self.fold.snapshot().clone();
        let version = snapshot.version();
        self.publications.send_modify(|publication| {
            let changed = changed.resources.into();
            *publication = Arc::new(publication.succeed(LINEAGE.into(), snapshot, changed));
        });
        let acknowledges = Report::Acknowledged {
            proxy: proxy().proxy,
            stream: proxy().stream,
            version,
            endpoints_revision: 0,
            faults: Vec::new(),
        };
        self.acknowledged.report(now(), acknowledges);
        self.presence.send_replace(self.acknowledged.clone());
    }
}

fn obtains() -> Settings {
    Settings {
        obtains: Some(Obtains {
            by_dns: vec![HostPattern::parse("test").unwrap_or(HostPattern::Any)],
            ..Obtains::default()
        }),
        ..Settings::default()
    }
}

fn proxy() -> Connected {
    Connected {
        proxy: "proxy".into(),
        stream: StreamId(1),
        boot_id: "boot".into(),
        peer: "".into(),
        binary_version: "test".into(),
        capabilities: Vec::new(),
        held: None,
    }
}

fn ingress(host: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Folder,
        kind: Kind::Ingress,
        namespace: "default".into(),
        name: host.into(),
    }
}

fn pattern(host: &str) -> HostPattern {
    HostPattern::parse(host).unwrap()
}

const LINEAGE: &str = "lineage";

/// After so long nobody has anything to do, or waits for the CA; and how far the clock goes then,
/// in milliseconds.
const IDLE: Duration = Duration::from_millis(4);
const STEP: i64 = 1_000;

/// Far above what one order takes.
const LIMIT: Duration = Duration::from_secs(20);
