//! A term, as those see it who act in its name.
//!
//! Asked before each effect: a process that was stopped for a while, or whose clock was set,
//! wakes up deposed and must find out by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::event::Epoch;

/// The right to act as leader. A clone is the same right.
#[derive(Clone, Debug)]
pub struct Office {
    epoch: Epoch,
    /// By the clock since boot; `None` when it is over.
    until: Arc<watch::Sender<Option<Duration>>>,
}

impl Office {
    /// One that nobody else can take: of a control plane without a Lease.
    pub fn forever(epoch: Epoch) -> Self {
        Self::until(epoch, Duration::MAX)
    }

    pub(super) fn until(epoch: Epoch, until: Duration) -> Self {
        Self {
            epoch,
            until: Arc::new(watch::Sender::new(Some(until))),
        }
    }

    /// Its term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether this epoch may be begun in it. One that nobody else can take covers all.
    pub fn covers(&self, epoch: Epoch) -> bool {
        self.epoch == epoch || *self.until.borrow() == Some(Duration::MAX)
    }

    /// Whether it is certain that no other has it.
    pub fn holds(&self) -> bool {
        self.until
            .borrow()
            .is_some_and(|until| clock::since_boot() < until)
    }

    /// Gives it up.
    pub fn resign(&self) {
        self.until.send_replace(None);
    }

    /// Ends when it was given up, or was not renewed in time.
    pub async fn over(&self) {
        let mut watched = self.until.subscribe();
        loop {
            let Some(until) = *watched.borrow_and_update() else {
                return;
            };
            let left = until.saturating_sub(clock::since_boot());
            if left.is_zero() {
                return;
            }
            let wait = async {
                if until == Duration::MAX {
                    return std::future::pending().await;
                }
                // While the machine is suspended a timer stands still: it is looked at again.
                tokio::time::sleep(left.min(LOOK)).await;
            };
            tokio::select! {
                () = wait => {}
                changed = watched.changed() => if changed.is_err() { return },
            }
        }
    }

    /// It counts until then, unless it is over: one that was over for a moment was lost.
    pub(super) fn renew(&self, until: Duration) {
        let now = clock::since_boot();
        self.until.send_modify(|end| {
            *end = end.filter(|end| now < *end).map(|_| until);
        });
    }
}

const LOOK: Duration = Duration::from_millis(500);
