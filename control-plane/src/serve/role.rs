//! Whether this replica leads, as those who serve see it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::acme::Demands;
use crate::observe::Observation;

/// What this replica is now.
#[derive(Clone, Debug)]
pub enum Role {
    /// It leads: proxies stream from it, and the engine hears of them here; what operators demand of
    /// certificates goes to who obtains them.
    Leading {
        reports: mpsc::Sender<Observation>,
        demands: Demands,
    },
    /// It does not, and sends proxies to whoever does. While nobody does it serves the last
    /// version that it has; what proxies say then is heard by nobody.
    Following { leader: Option<Arc<str>> },
}

impl Role {
    /// Where the engine hears of proxies.
    pub(super) fn reports(&self) -> Option<mpsc::Sender<Observation>> {
        match self {
            Self::Leading { reports, .. } => Some(reports.clone()),
            Self::Following { .. } => None,
        }
    }

    /// Where demands of certificates go.
    pub(super) fn demands(&self) -> Option<Demands> {
        match self {
            Self::Leading { demands, .. } => Some(demands.clone()),
            Self::Following { .. } => None,
        }
    }

    /// Where another leads.
    pub fn elsewhere(&self) -> Option<Arc<str>> {
        match self {
            Self::Leading { .. } => None,
            Self::Following { leader } => leader.clone(),
        }
    }
}

/// Ends when it is another than it was.
pub(super) async fn changed(role: &mut watch::Receiver<Role>) {
    if role.changed().await.is_err() {
        // Without a sender this process is about to end, which others tell.
        std::future::pending().await
    }
}
