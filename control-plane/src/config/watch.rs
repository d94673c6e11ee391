//! The configuration's file, followed while the program runs.
//!
//! Read anew when it changes, by looking at it once a second: a ConfigMap is replaced by
//! moving links about, which tells a watch of the file nothing. A bad edit changes nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Cli, Config, Live};

/// Follows the file of this command line for as long as someone wants what applies live. `apply` is
/// given each good configuration, for the keys that are no part of them.
pub async fn run(
    cli: Cli,
    mut current: Config,
    live: watch::Sender<Live>,
    mut apply: impl FnMut(&Config),
) {
    let Some(path) = cli.config.clone() else {
        // Flags do not change.
        return std::future::pending().await;
    };
    let started_with = current.clone();
    // Looked at once in any case: it may have been edited since it was read.
    let mut seen = None;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = stamp(&path);
        if now == seen {
            continue;
        }
        seen = now;
        let config = match cli.config() {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                continue;
            }
        };
        if config == current {
            continue;
        }
        let keys = started_with.differs_until_restart(&config);
        if !keys.is_empty() {
            tracing::warn!(
                keys = keys.join(", "),
                "changed, and applied at the next start"
            );
        }
        tracing::info!(path = %path.display(), "the configuration was read anew");
        apply(&config);
        live.send_replace(started_with.live_of(&config));
        current = config;
    }
}

/// Length, number, and when the content and the rest last changed.
pub type Stamp = (u64, u64, SystemTime, (i64, i64));

/// What tells one content of a file from another, links followed.
pub fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    let (length, number) = (metadata.len(), metadata.ino());
    Some((length, number, metadata.modified().ok()?, changed))
}

const LOOK: Duration = Duration::from_secs(1);
