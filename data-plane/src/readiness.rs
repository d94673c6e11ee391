//! Whether this proxy is ready for traffic, and what it still waits for.
//!
//! Apart, because readiness is a value that is dropped: whoever must be ready holds a block,
//! and cannot forget to say that it is.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;
use tracing::info;

/// What is still missing. Copies speak of the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    missing: Arc<watch::Sender<BTreeSet<&'static str>>>,
}

/// Keeps the proxy from being ready until it is dropped.
#[derive(Debug)]
#[must_use = "the proxy is ready as soon as this is dropped"]
pub struct Block {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// From now on the proxy is not ready until the block is dropped.
    pub fn block(&self, name: &'static str) -> Block {
        self.missing.send_modify(|missing| {
            missing.insert(name);
        });
        Block {
            name,
            readiness: self.clone(),
        }
    }

    /// From now on the proxy is never ready again.
    pub fn end(&self) {
        self.missing.send_modify(|missing| {
            missing.insert(ENDING);
        });
    }

    /// What the proxy waits for, now and later.
    pub fn subscribe(&self) -> watch::Receiver<BTreeSet<&'static str>> {
        self.missing.subscribe()
    }

    pub fn is_ready(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// What the proxy waits for.
    pub fn missing(&self) -> Vec<&'static str> {
        self.missing.borrow().iter().copied().collect()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let name = self.name;
        self.readiness.missing.send_modify(|missing| {
            missing.remove(name);
        });
        match self.readiness.missing() {
            missing if missing.is_empty() => info!("ready"),
            missing if missing.contains(&ENDING) => {}
            missing => info!(
                done = name,
                waiting_for = missing.join(", "),
                "not ready yet"
            ),
        }
    }
}

const ENDING: &str = "its end";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_ready_when_nothing_blocks_it() {
        let readiness = Readiness::default();
        let (snapshot, listeners) = (readiness.block("snapshot"), readiness.block("listeners"));
        assert_eq!(readiness.missing(), ["listeners", "snapshot"]);
        drop(snapshot);
        assert!(!readiness.is_ready());
        drop(listeners);
        assert!(readiness.is_ready());
        readiness.end();
        assert_eq!(readiness.missing(), ["its end"]);
    }
}
