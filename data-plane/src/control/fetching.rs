//! When the control plane is asked for bundles: before a version is served, and again and again
//! for those that it did not give.
//!
//! Apart from who uses them. The first is waited for, and so is short; the others go on beside
//! whatever else happens.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    future::{Future, pending},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until, timeout},
};
use tracing::warn;

use super::{
    Calls, Metrics,
    backoff::{Backoff, chance},
    secrets,
};
use crate::bundle::Bundle;
use crate::snapshot::BundleName;

/// Bundles that were given, by name.
pub(super) type Given = BTreeMap<BundleName, Arc<Bundle>>;

/// Asks whoever may be asked.
pub(super) struct Fetching {
    /// None while no stream is open.
    calls: watch::Receiver<Option<Calls>>,
    metrics: Metrics,
    backoff: Backoff,
    due: Instant,
    running: Option<Pin<Box<dyn Future<Output = Given>>>>,
    /// The last answer was an error; said once.
    failing: Rc<RefCell<bool>>,
}

impl Fetching {
    pub(super) fn new(calls: watch::Receiver<Option<Calls>>, metrics: Metrics) -> Self {
        Self {
            calls,
            metrics,
            backoff: Backoff::between(FIRST_PAUSE, LAST_PAUSE),
            due: Instant::now(),
            running: None,
            failing: Rc::default(),
        }
    }

    /// What is given of these names in the time for which a version may wait.
    pub(super) async fn first(&mut self, names: Vec<BundleName>) -> Given {
        let calls = self.calls.borrow().clone();
        let Some(calls) = calls.filter(|_| !names.is_empty()) else {
            return Given::new();
        };
        let asked = names.len();
        let given = self.ask(calls, names, FIRST_TIME).await;
        let now = Instant::now();
        if given.len() == asked {
            self.backoff.reset();
        } else if self.due <= now {
            // What is missing is not asked for at once again, and no later than it was to be.
            self.due = now + self.backoff.pause(chance());
        }
        given
    }

    /// What is given, at last, of names that are missing. It goes on where it was if it is
    /// dropped and called again.
    pub(super) async fn more(&mut self, missing: &[BundleName]) -> Given {
        loop {
            if let Some(running) = &mut self.running {
                let given = running.await;
                self.running = None;
                if !given.is_empty() {
                    self.backoff.reset();
                }
                self.due = Instant::now() + self.backoff.pause(chance());
                return given;
            }
            let calls = self.calls.borrow_and_update().clone();
            let Some(calls) = calls.filter(|_| !missing.is_empty()) else {
                self.connected().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(self.due) => {
                    let asked = self.ask(calls, missing.to_vec(), MORE_TIME);
                    self.running = Some(Box::pin(asked));
                }
                () = connected(&mut self.calls) => self.due = Instant::now(),
            }
        }
    }

    /// Waits for another stream, of which something can be asked at once.
    async fn connected(&mut self) {
        connected(&mut self.calls).await;
        self.backoff.reset();
        self.due = Instant::now();
    }

    fn ask(
        &self,
        calls: Calls,
        names: Vec<BundleName>,
        time: Duration,
    ) -> impl Future<Output = Given> + 'static {
        let (failing, metrics) = (Rc::clone(&self.failing), self.metrics.clone());
        async move {
            let mut given = Given::new();
            let take = |bundle: Bundle| drop(given.insert(bundle.name(), Arc::new(bundle)));
            let problem = match timeout(time, secrets::fetch(&calls, &names, take)).await {
                Ok(Ok(())) => None,
                Ok(Err(status)) => Some(status.message().to_owned()),
                Err(_) => Some(format!("no answer within {} s", time.as_secs())),
            };
            metrics.bundles(given.len(), names.len() - given.len());
            let failed = problem.is_some();
            if let (Some(problem), false) = (problem, *failing.borrow()) {
                warn!("certificates were not given: {problem}; trying on");
            }
            failing.replace(failed);
            given
        }
    }
}

async fn connected(calls: &mut watch::Receiver<Option<Calls>>) {
    if calls.changed().await.is_err() {
        // Nobody connects any more.
        pending().await
    }
}

impl fmt::Debug for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetching")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

/// For which a version waits for its certificates.
const FIRST_TIME: Duration = Duration::from_secs(2);

/// For all that is missing, beside everything else.
const MORE_TIME: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LAST_PAUSE: Duration = Duration::from_secs(30);
