//! When the proxy is ready: once it serves by a version, on at least one listener.
//!
//! Apart from readiness, which only keeps what is missing, and from what makes versions live,
//! which only reports.

use std::future::pending;

use tokio::sync::watch;
use tracing::warn;

use crate::readiness::{Block, Readiness};
use crate::report::Report;

/// Keeps the proxy from being ready while it serves nobody.
#[derive(Debug)]
pub(super) struct Live {
    readiness: Readiness,
    snapshot: Option<Block>,
    listeners: Option<Block>,
}

impl Live {
    /// Nothing is served yet.
    pub(super) fn new(readiness: &Readiness) -> Self {
        Self {
            readiness: readiness.clone(),
            snapshot: Some(readiness.block("snapshot")),
            listeners: Some(readiness.block(LISTENERS)),
        }
    }

    /// Follows what is reported, for as long as it is polled.
    pub(super) async fn follow(mut self, mut report: watch::Receiver<Report>) {
        loop {
            self.see(&report.borrow_and_update());
            if report.changed().await.is_err() {
                pending().await
            }
        }
    }

    fn see(&mut self, report: &Report) {
        if report.version.is_some() {
            self.snapshot = None;
        }
        match (report.listeners, &self.listeners) {
            (0, None) => {
                warn!("not ready any more: no listener is open");
                self.listeners = Some(self.readiness.block(LISTENERS));
            }
            (0, Some(_)) => {}
            (1.., _) => self.listeners = None,
        }
    }
}

const LISTENERS: &str = "listeners";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Version;

    #[test]
    fn a_proxy_is_ready_while_it_has_a_version_and_a_listener() {
        let readiness = Readiness::default();
        let mut live = Live::new(&readiness);
        let version = Some(Version {
            lineage: "l".into(),
            epoch: 1,
            seq: 1,
        });
        for (version, listeners, missing) in [
            (None, 0, &["listeners", "snapshot"][..]),
            (version.clone(), 0, &["listeners"]),
            (version.clone(), 1, &[]),
            (version.clone(), 2, &[]),
            (version.clone(), 0, &["listeners"]),
            (version, 1, &[]),
        ] {
            live.see(&Report {
                version,
                listeners,
                ..Report::default()
            });
            assert_eq!(readiness.missing(), missing, "{listeners}");
        }
    }
}
