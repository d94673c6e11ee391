//! The single owner of what is held: applies one transfer after the other.
//!
//! Apart from the stream, because versions also come from the journal, and faults also
//! change while nobody is connected.

use std::{collections::BTreeMap, sync::Arc};

use roadstead_proto::v1::ResourceType;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Duration, Instant, sleep_until},
};
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    Calls, Listening, Metrics, Serve,
    fetching::{Fetching, Given},
    shown::Showing,
};
use crate::active::Compiler;
use crate::journal::{Batch, Kept, Mark};
use crate::keys::Keys;
use crate::report::Report;
use crate::snapshot::{Applied, Form, Held, Key, Listener, Refusal, Touched, Transfer};
use crate::telemetry::trace;

/// A transfer, and where to answer whether it is live.
pub type Order = (Transfer, oneshot::Sender<Result<(), Refusal>>);

/// The task that makes versions live.
#[derive(Debug)]
pub struct Applier<S> {
    held: Held,
    compiler: Compiler,
    serve: S,
    listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    listening: Listening,
    certificates: Showing,
    fetching: Fetching,
    journal: Option<mpsc::Sender<Batch>>,
    report: watch::Sender<Report>,
    count_every: Duration,
    /// How often what is held was counted anew.
    counts: u64,
    metrics: Metrics,
}

impl<S: Serve> Applier<S> {
    /// What certificates are shown by is in `keys`, and is asked for by `calls`.
    pub fn new(
        serve: S,
        journal: Option<mpsc::Sender<Batch>>,
        (keys, calls): (Keys, watch::Receiver<Option<Calls>>),
        metrics: Metrics,
    ) -> Self {
        Self {
            held: Held::default(),
            compiler: Compiler::default(),
            serve,
            listeners: BTreeMap::new(),
            listening: Listening::default(),
            certificates: Showing::new(keys),
            fetching: Fetching::new(calls, metrics.clone()),
            journal,
            report: watch::Sender::default(),
            count_every: COUNT_EVERY,
            counts: 0,
            metrics,
        }
    }

    /// Counts what is held anew so often.
    #[must_use]
    pub fn counting_every(self, count_every: Duration) -> Self {
        Self {
            count_every,
            ..self
        }
    }

    /// What is served by, now and later.
    pub fn report(&self) -> watch::Receiver<Report> {
        self.report.subscribe()
    }

    /// Serves by what was kept. False if it is not whole, and so is not used.
    pub async fn restore(&mut self, kept: Kept) -> bool {
        let started = Instant::now();
        let (held, touched) = Held::restore(kept.restored);
        if held.digest().fingerprint() != kept.fingerprint {
            warn!("the journal is not whole: it is not used");
            return false;
        }
        self.held = held;
        self.make_live(&touched, &Given::new()).await;
        let Report {
            version,
            routes,
            upstreams,
            certificates,
            ..
        } = &*self.report.borrow();
        info!(
            version = version.as_ref().map(tracing::field::display),
            routes,
            upstreams,
            certificates,
            resources = self.held.len(),
            ms = started.elapsed().as_millis(),
            "serving the version that was kept"
        );
        true
    }

    /// Applies what comes until there is no one left who sends.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut retry_at = Instant::now() + RETRY_LISTENERS;
        let mut count_at = Instant::now() + self.count_every;
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((transfer, answer)) = order else { return };
                    let result = self.apply(transfer).await;
                    // Without a receiver the stream has ended, and the next one says what is held.
                    let _: Result<(), _> = answer.send(result);
                }
                given = self.fetching.more(self.certificates.missing()) => {
                    self.complete(&given).await;
                }
                () = sleep_until(retry_at), if !self.listening.faults.is_empty() => {
                    self.listen().await;
                    self.send_report();
                    retry_at = Instant::now() + RETRY_LISTENERS;
                }
                () = sleep_until(count_at) => {
                    self.count();
                    count_at = Instant::now() + self.count_every;
                }
            }
        }
    }

    async fn apply(&mut self, transfer: Transfer) -> Result<(), Refusal> {
        let span = info_span!(
            "version",
            version = %transfer.version,
            endpoints_revision = transfer.endpoints_revision,
            changed = transfer.changed.len(),
            removed = transfer.removed.len(),
        );
        if let Some(parent) = &transfer.trace_parent {
            trace::follow(&span, parent);
        }
        async {
            let started = Instant::now();
            let before = self.held.version().cloned();
            let needed = self.certificates.needed_by(&transfer);
            let given = self.fetching.first(needed).await;
            let applied = self.held.apply(transfer)?;
            self.make_live(&applied.touched, &given).await;
            self.keep(applied).await;
            let is_new = self.held.version() != before.as_ref();
            self.metrics.applied(is_new, started.elapsed());
            self.tell(is_new, started);
            Ok(())
        }
        .instrument(span)
        .await
    }

    /// Shows certificates that were missing.
    async fn complete(&mut self, given: &Given) {
        let changes = self.certificates.complete(given);
        let Some(version) = self.held.version().cloned().filter(|_| !changes.is_empty()) else {
            return;
        };
        self.compiler.show(&changes);
        let active = self.compiler.active(version);
        self.serve.switch(Arc::new(active)).await;
        info!(
            certificates = changes.certificates.len(),
            "what was missing has come, and is used"
        );
        self.send_report();
    }

    /// Counts what is held anew. Whoever reads the report says it to the control plane, which
    /// repairs what differs.
    fn count(&mut self) {
        if !self.held.recount() {
            warn!("what is held is not what it was taken for: asking for what differs");
        }
        self.counts += 1;
        self.send_report();
    }

    async fn make_live(&mut self, touched: &[Touched], given: &Given) {
        let Some(version) = self.held.version().cloned() else {
            return;
        };
        self.compiler.apply(touched, &self.held);
        let changes = self.certificates.follow(touched, given);
        self.compiler.show(&changes);
        let active = self.compiler.active(version);
        self.serve.switch(Arc::new(active)).await;
        if self.change_listeners(touched) {
            self.listen().await;
        }
        self.send_report();
    }

    /// Whether other listeners are wanted now.
    fn change_listeners(&mut self, touched: &[Touched]) -> bool {
        let mut changed = false;
        for change in touched {
            let name = &change.key.name;
            match (&change.before, &change.after) {
                (_, Some(Form::Listener(listener))) => {
                    self.listeners.insert(name.clone(), listener.clone());
                    changed = true;
                }
                (Some(Form::Listener(_)), None) => {
                    self.listeners.remove(name);
                    changed = true;
                }
                _ => {}
            }
        }
        changed
    }

    async fn listen(&mut self) {
        let wanted: Vec<_> = self.listeners.values().cloned().collect();
        let listening = self.serve.listen(&wanted).await;
        for (name, fault) in &listening.faults {
            if self.listening.faults.get(name) != Some(fault) {
                let reason = fault.reason.as_str();
                warn!(listener = %name, reason, "listener not open: {}", fault.message);
            }
        }
        self.listening = listening;
    }

    fn send_report(&self) {
        let mut faults = self.held.faults().clone();
        for (name, fault) in &self.listening.faults {
            let key = Key::new(ResourceType::Listener.into(), name);
            faults.entry(key).or_insert_with(|| fault.clone());
        }
        for (key, fault) in self.certificates.faults() {
            faults.entry(key).or_insert(fault);
        }
        let report = Report {
            version: self.held.version().cloned(),
            endpoints_revision: self.held.endpoints_revision(),
            digest: self.held.digest().clone(),
            counts: self.counts,
            faults,
            routes: self.compiler.routes(),
            upstreams: self.compiler.upstreams(),
            certificates: self.compiler.certificates(),
            listeners: self.listening.open,
        };
        self.metrics.report(&report);
        // Whoever follows it answers each change up the stream.
        self.report.send_if_modified(|known| {
            let differs = *known != report;
            *known = report;
            differs
        });
    }

    async fn keep(&self, applied: Applied) {
        let (Some(journal), Some(version)) = (&self.journal, self.held.version()) else {
            return;
        };
        let mark = Mark {
            version: version.clone(),
            endpoints_revision: self.held.endpoints_revision(),
            fingerprint: self.held.digest().fingerprint(),
        };
        // The writer never lets anyone wait for the disk; if it has ended, that was said.
        let _: Result<(), _> = journal.send(Batch::new(applied, mark)).await;
    }

    fn tell(&self, is_new: bool, started: Instant) {
        let report = self.report.borrow();
        let (routes, upstreams) = (report.routes, report.upstreams);
        let faults = report.faults.len();
        let ms = started.elapsed().as_micros() as f64 / 1e3;
        if is_new {
            info!(routes, upstreams, faults, ms, "version live");
        } else {
            debug!(routes, upstreams, faults, ms, "endpoints live");
        }
    }
}

/// Some milliseconds of work, and 4 KiB that are told.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// A port that another process has may become free.
const RETRY_LISTENERS: Duration = Duration::from_secs(1);
