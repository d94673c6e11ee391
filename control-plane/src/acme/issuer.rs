//! The issuer: what is due is worked at, and told.
//!
//! The one loop of it: what is wanted, published, acknowledged and done comes together here, and
//! nothing of it is decided here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use imbl::ordset::DiffItem;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::acme::account::Accounts;
use crate::acme::barrier::{Barrier, Proxies};
use crate::acme::demands::{Demanded, Pending, Undemandable};
use crate::acme::record::{Kept, Record, key};
use crate::acme::shelf::{All, Shelf};
use crate::acme::waiting::Waiting;
use crate::acme::work::{self, End, Job, Unsaved, Worked, seen};
use crate::acme::{Followed, Lacking, Settings, Term};
use crate::backoff::delay;
use crate::metrics::acme::AcmeMetrics;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::Managed;
use crate::model::time::Timestamp;
use crate::observe::{Observation, Seen};
use crate::plan::issuance::answering::Answering;
use crate::plan::issuance::scheduler::{Conditions, Limits, Scheduler};
use crate::store::Store;

/// Obtains certificates and keeps them.
#[derive(Debug)]
pub struct Issuer<S> {
    shelf: Shelf<S>,
    term: Term,
    /// `None`: what is kept is told, and nothing asked for.
    settings: Option<Arc<Settings>>,
    followed: Followed,
    inbox: mpsc::Sender<Observation>,
    /// What operators demand.
    demands: mpsc::Receiver<Demanded>,
    pending: Pending,
    scheduler: Scheduler<Kept>,
    accounts: Accounts<S>,
    /// What was wanted when that was looked at last; `None`: that is not known yet.
    wanted: Lacking,
    at_work: JoinSet<Worked>,
    /// Names of records that are left alone, and nothing is done about what they are for.
    unusable: BTreeSet<Box<str>>,
    /// Proxies come back that were there before: until then who is connected is not all.
    gathering: Option<Timestamp>,
    connected: usize,
    waiting: Waiting,
    metrics: AcmeMetrics,
}

/// The engine is gone.
struct Gone;

impl<S: Store> Issuer<S> {
    /// Keeps there what it obtains.
    pub fn new(
        store: S,
        term: Term,
        settings: Option<Settings>,
        followed: Followed,
        inbox: mpsc::Sender<Observation>,
        demands: mpsc::Receiver<Demanded>,
        metrics: AcmeMetrics,
    ) -> Self {
        let shelf = Shelf::new(store, term.lineage.clone(), term.epoch);
        let of = settings.as_ref();
        let limits = Limits {
            orders: of.map_or(0, |settings| settings.orders),
            same_names: of.map_or(0, |settings| settings.same_names),
            settled: of.map_or(0, |settings| settings.settled),
        };
        Self {
            accounts: Accounts::new(shelf.clone()),
            shelf,
            gathering: Some((term.clock)().later(GATHERING)),
            term,
            settings: settings.map(Arc::new),
            followed,
            inbox,
            demands,
            pending: Pending::default(),
            scheduler: Scheduler::new(limits),
            wanted: None,
            at_work: JoinSet::new(),
            unusable: BTreeSet::new(),
            connected: 0,
            waiting: Waiting::default(),
            metrics,
        }
    }

    /// Runs until the engine is gone, or the term is about to end and what is under way is done.
    pub async fn run(mut self) {
        if Box::pin(self.read()).await.is_err() || Box::pin(self.work()).await.is_err() {
            return;
        }
        let done = async {
            while let Some(worked) = self.at_work.join_next().await {
                if Box::pin(self.put_back(worked)).await.is_err() {
                    return;
                }
            }
        };
        if timeout(LAST, Box::pin(done)).await.is_err() {
            tracing::warn!("what was asked of the CA last was not answered before the end");
        }
    }

    /// Works until the term is about to end.
    async fn work(&mut self) -> Result<(), Gone> {
        self.tell_all().await?;
        while !*self.followed.ending.borrow() {
            self.follow_wanted();
            self.follow_proxies();
            let is_all = self.begin_work();
            let publication = self.followed.publications.borrow().clone();
            let presence = self.followed.presence.borrow().clone();
            let ready = self.followed.ready.borrow().clone();
            let proxies = Proxies::new(&presence, &ready);
            self.metrics.tally(&self.scheduler.tally());
            self.waiting
                .say(&self.scheduler, &publication, &proxies, self.now());
            // What is due and not begun waits for something else than time.
            let wait = if is_all { self.until_due() } else { LOOK };
            tokio::select! {
                Some(worked) = self.at_work.join_next() => Box::pin(self.put_back(worked)).await?,
                Ok(()) = self.followed.lacking.changed() => {}
                Ok(()) = self.followed.publications.changed() => self.scheduler.proxies_changed(),
                Ok(()) = self.followed.presence.changed() => self.scheduler.proxies_changed(),
                Ok(()) = self.followed.ready.changed() => self.scheduler.proxies_changed(),
                Ok(()) = self.followed.frozen.changed() => {}
                () = self.accounts.changed() => {}
                Some(demanded) = self.demands.recv() => self.take_in(demanded),
                () = sleep(wait) => {}
                told = self.followed.relisted.changed() => {
                    told.map_err(|_| Gone)?;
                    self.tell_all().await?;
                }
                Ok(()) = self.followed.ending.changed() => {}
            }
        }
        Ok(())
    }

    /// Reads what is kept. What was asked of the CA last, and not answered, is not asked again at
    /// once: the CA may have done it.
    async fn read(&mut self) -> Result<(), Gone> {
        let mut in_a_row = 0;
        let All { records, unusable } = loop {
            match self.shelf.all().await {
                Ok(all) => break all,
                Err(error) => {
                    let place = self.shelf.whereabouts();
                    let message = format!(
                        "the certificates that were obtained cannot be read {place}: {error}"
                    );
                    tracing::error!("{message}");
                    // Without them hosts lose what they are served by.
                    if in_a_row == PATIENT {
                        self.tell(self.unlistable(message)).await?;
                    }
                }
            }
            in_a_row += 1;
            sleep(delay(in_a_row)).await;
        };
        self.unusable = unusable;
        for (record, revision) in records {
            match record {
                // It is looked at when it is needed.
                Record::Account(_) => {}
                Record::Certificate(kept) => {
                    let kept = work::adopted_from(*kept, self.now());
                    let key = key(self.shelf.origin(), &kept.managed);
                    self.scheduler.keep(key, kept, revision);
                }
            }
        }
        Ok(())
    }

    /// Tells of all certificates that are kept. If some cannot be read, what is known of them stays.
    async fn tell_all(&mut self) -> Result<(), Gone> {
        self.followed.relisted.borrow_and_update();
        let kept = self.scheduler.all();
        let objects: Vec<Seen> = kept
            .filter_map(|(key, entry)| Some(seen(key, &entry.kept, entry.revision.as_deref()?)))
            .collect();
        let own = self.shelf.origin();
        if self.unusable.is_empty() {
            let listed = Observation::Listed {
                origin: own,
                kind: Kind::Certificate,
                objects,
                unreadable: Vec::new(),
            };
            self.tell(listed).await?;
        } else {
            for seen in objects {
                self.tell(Observation::Changed(seen)).await?;
            }
            let count = self.unusable.len();
            let message = format!("{count} that are kept cannot be used");
            self.tell(self.unlistable(message)).await?;
        }
        let kind = Kind::Certificate;
        let has = |origin: &Origin| origin.kinds().contains(&kind);
        let others = Origin::ALL.into_iter().filter(has);
        for origin in others.filter(|origin| *origin != own) {
            self.tell(Observation::Unconfigured { origin, kind })
                .await?;
        }
        Ok(())
    }

    /// Takes in which certificates are wanted.
    fn follow_wanted(&mut self) {
        let lacking = self.followed.lacking.borrow_and_update().clone();
        let Some(lacking) = lacking.filter(|_| self.settings.is_some()) else {
            return;
        };
        let now = self.now();
        let before = self.wanted.replace(lacking.clone()).unwrap_or_default();
        for change in before.diff(&lacking) {
            let (host, is_wanted) = match change {
                DiffItem::Add(host) => (host, true),
                DiffItem::Remove(host) => (host, false),
            };
            let kept = Kept::new(Managed::new(vec![host.clone()]), now);
            let key = key(self.shelf.origin(), &kept.managed);
            if !is_wanted {
                self.scheduler.want_no_more(&key);
                continue;
            }
            let record = Record::Certificate(Box::new(kept.clone()));
            if self.unusable.contains(&record.name()) {
                let place = self.shelf.place(&record.name());
                tracing::error!("{key} is not obtained: {place} cannot be used; remove it");
            } else {
                self.scheduler.want(&key, now, || kept);
            }
        }
    }

    /// Takes in that proxies are gone, who may come back in a moment, or that this moment is over.
    fn follow_proxies(&mut self) {
        let connected = self.followed.presence.borrow().len();
        if connected < self.connected {
            self.gathering = Some(self.now().later(GATHERING));
        }
        self.connected = connected;
        if self.gathering.is_some_and(|until| until <= self.now()) {
            self.gathering = None;
            self.scheduler.proxies_changed();
        }
    }

    /// Begins all that is due, up to a number; says whether that is all.
    fn begin_work(&mut self) -> bool {
        let Some(settings) = self.settings.clone() else {
            return true;
        };
        if self.wanted.is_none() || *self.followed.frozen.borrow() || !(self.term.holds)() {
            return false;
        }
        let publication = self.followed.publications.borrow().clone();
        let presence = self.followed.presence.borrow().clone();
        let ready = self.followed.ready.borrow().clone();
        let proxies = Proxies::new(&presence, &ready);
        let gathered = self.gathering.is_none();
        loop {
            if !self.scheduler.has_work(self.now()) {
                return true;
            }
            if self.at_work.len() == AT_ONCE {
                return false;
            }
            let Some(client) = self.accounts.client(&settings) else {
                return false;
            };
            let conditions = Conditions {
                now: self.now(),
                ca: &settings.directory,
                suggests: self.accounts.suggests_renewals(),
            };
            let answering = |key: &ObjectKey, kept: &Kept| {
                let barrier = Barrier::of(key, &kept.managed, &publication, &proxies);
                match gathered {
                    true => barrier.answering(),
                    false => Answering::Nobody,
                }
            };
            let Some((key, entry, task)) = self.scheduler.take(&conditions, answering) else {
                return true;
            };
            let job = Job {
                shelf: self.shelf.clone(),
                settings: Arc::clone(&settings),
                client,
                clock: self.term.clock,
                now: conditions.now,
            };
            self.at_work.spawn(job.run(key, entry, task));
        }
    }

    /// Takes in what somebody demands.
    fn take_in(&mut self, demanded: Demanded) {
        let now = self.now();
        let refused = match &self.settings {
            Some(settings) if self.wanted.is_some() => {
                let ca = &settings.directory;
                return self.pending.add(demanded, ca, &mut self.scheduler, now);
            }
            Some(_) => Undemandable::NotYet,
            None => Undemandable::NoCa,
        };
        // Whoever asked may have given up.
        let _gone = demanded.answer.send(Err(refused));
    }

    /// Takes in what came of a piece of work, and tells of it.
    async fn put_back(&mut self, worked: Result<Worked, JoinError>) -> Result<(), Gone> {
        let worked = match worked {
            Ok(worked) => worked,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Ok(()),
            },
        };
        let Worked {
            key,
            end,
            called,
            quiet,
            reopen,
        } = worked;
        if let Some((call, outcome)) = called {
            self.metrics.called(call, outcome);
        }
        if let Some(until) = quiet {
            self.scheduler.be_quiet(until);
        }
        if let Some(reopen) = reopen {
            self.accounts.reopen(&reopen);
        }
        match end {
            End::Same(kept, revision) => self.scheduler.put(&key, Some((kept, revision))),
            End::Kept(kept, revision) => {
                self.pending.kept(&key, Some(&kept.managed));
                let told = seen(&key, &kept, revision.as_deref().unwrap_or_default());
                self.scheduler.put(&key, Some((kept, revision)));
                self.tell(Observation::Changed(told)).await?;
            }
            End::Unsaved(unsaved) => {
                let Unsaved {
                    kept,
                    revision,
                    before,
                    why,
                } = unsaved;
                tracing::error!("{key} waits: what is kept of it cannot be stored: {why}");
                let again = self.now().later(SAVE_AGAIN);
                self.scheduler
                    .put_unsaved(&key, (kept, revision), before, again);
            }
            End::Gone => {
                self.pending.kept(&key, None);
                self.scheduler.put(&key, None);
                self.tell(Observation::Deleted(key)).await?;
            }
            End::Unusable(name) => {
                let place = self.shelf.place(&name);
                tracing::error!("{key} is not obtained any more: {place} cannot be used");
                self.pending.kept(&key, None);
                self.unusable.insert(name);
                self.scheduler.forget(&key);
            }
        }
        if let Some(settings) = self.settings.clone() {
            let now = self.now();
            self.pending
                .go_on(&settings.directory, &mut self.scheduler, now);
        }
        Ok(())
    }

    fn until_due(&self) -> Duration {
        let due = self.scheduler.next_due(self.now()).into_iter();
        let due = due.chain(self.gathering).min();
        let millis = due.map(|due| due.0.saturating_sub(self.now().0));
        let millis = millis.and_then(|millis| u64::try_from(millis).ok());
        millis.map_or(LOOK, |millis| {
            Duration::from_millis(millis).clamp(SOON, LOOK)
        })
    }

    fn unlistable(&self, message: String) -> Observation {
        Observation::Unlistable {
            origin: self.shelf.origin(),
            kind: Kind::Certificate,
            message,
        }
    }

    async fn tell(&self, observation: Observation) -> Result<(), Gone> {
        self.inbox.send(observation).await.map_err(|_| Gone)
    }

    fn now(&self) -> Timestamp {
        (self.term.clock)()
    }
}

/// Certificates that are worked at. Most of it is waiting for the CA.
const AT_ONCE: usize = 16;
/// Clocks are set, so that no wait is believed for longer.
const LOOK: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(20);
/// How long what was asked of the CA may take at the end of a term.
const LAST: Duration = Duration::from_secs(5);
/// Failed attempts to read what is kept, before it is gone on without: about half a minute.
const PATIENT: u32 = 8;
/// How soon proxies come back whose stream ended, in milliseconds.
const GATHERING: i64 = 5_000;
/// When it is tried again to store what could not be stored, in milliseconds.
const SAVE_AGAIN: i64 = 10_000;
