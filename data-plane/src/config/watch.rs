//! Watches the configuration's file: what can change without a restart does, and what
//! cannot is said.
//!
//! Apart from reading it once. The file is read every two seconds, and no notification is
//! asked for: a ConfigMap is replaced by moving links, which looks different on every mount.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::warn;

use super::{Cli, Config};
use crate::telemetry::Level;

/// The file, and the configuration that this process was started by.
#[derive(Debug)]
pub struct Watch {
    cli: Cli,
    path: PathBuf,
    text: Option<String>,
    started_by: Config,
}

/// What a change of the file asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub level: Level,
    pub accept_lineage: Option<Arc<str>>,
    /// Keys whose change needs a restart.
    pub waiting: Vec<String>,
}

impl Watch {
    /// None if there is no file.
    pub fn new(cli: Cli, started_by: Config) -> Option<Self> {
        let path = cli.config.clone()?;
        let text = fs::read_to_string(&path).ok();
        Some(Self {
            cli,
            path,
            text,
            started_by,
        })
    }

    /// The next change of the file that can be read. One that cannot is said once, and
    /// changes nothing.
    pub async fn changed(&mut self) -> Change {
        loop {
            sleep(EVERY).await;
            if let Some(change) = self.look() {
                return change;
            }
        }
    }

    fn look(&mut self) -> Option<Change> {
        let text = fs::read_to_string(&self.path).ok();
        if text == self.text {
            return None;
        }
        self.text = text;
        match self.cli.config() {
            Ok(config) => Some(Change {
                waiting: differing(&self.started_by, &config),
                level: config.log.level,
                accept_lineage: config.accept_lineage,
            }),
            Err(error) => {
                warn!("{error}; going on by the configuration before");
                None
            }
        }
    }
}

/// The keys that differ, but for those that apply at once.
fn differing(old: &Config, new: &Config) -> Vec<String> {
    let mut new = new.clone();
    new.log.level.clone_from(&old.log.level);
    new.accept_lineage.clone_from(&old.accept_lineage);
    let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(&new)) else {
        return vec![];
    };
    let keys = old.as_object().into_iter().flat_map(|old| old.keys());
    keys.filter(|key| old.get(key) != new.get(key))
        .cloned()
        .collect()
}

const EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn watch(path: &std::path::Path) -> Watch {
        let path = path.to_str().unwrap();
        let cli = Cli::parse_from(["roadstead-data-plane", "--config", path]);
        let config = cli.config().unwrap();
        Watch::new(cli, config).unwrap()
    }

    #[test]
    fn a_change_of_the_level_is_applied_and_others_wait_for_a_restart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| fs::write(file.path(), text).unwrap();
        write("log: {level: info}\nthreads: 2");
        let mut watch = watch(file.path());
        assert_eq!(watch.look(), None);

        write("log: {level: debug}\nthreads: 2");
        let change = watch.look().unwrap();
        assert_eq!((change.level.as_str(), change.waiting), ("debug", vec![]));
        assert_eq!(watch.look(), None);

        write("log: {level: debug, format: json}\nthreads: 3\nacceptLineage: new");
        let change = watch.look().unwrap();
        assert_eq!(change.accept_lineage.as_deref(), Some("new"));
        assert_eq!(change.waiting, ["log", "threads"]);
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = watch(file.path());
        fs::write(file.path(), "thread: 3").unwrap();
        assert_eq!(watch.look(), None);
        fs::write(file.path(), "log: {level: warn}").unwrap();
        assert_eq!(watch.look().unwrap().level.as_str(), "warn");
    }
}
