//! Has the files of the folder follow the bundles in use.
//!
//! Apart from those, whose owner never waits for a file. It is told what there should be, and not
//! what to do: whatever failed, or was done by another process meanwhile, is found again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use imbl::OrdMap;
use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::sleep,
};
use tracing::{error, info};

use super::{Folder, KeysError, Wanted};
use crate::bundle::Bundle;
use crate::snapshot::BundleName;

/// The task that writes and removes files.
#[derive(Debug)]
pub struct Writer {
    folder: Folder,
    wanted: watch::Receiver<Wanted>,
    /// Whether no other process has the folder.
    mine: watch::Receiver<bool>,
    /// The files that are there; none if that is to be looked at anew.
    known: Option<BTreeSet<BundleName>>,
    /// The last change failed; said once.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        folder: Folder,
        wanted: watch::Receiver<Wanted>,
        mine: watch::Receiver<bool>,
    ) -> Self {
        Self {
            folder,
            wanted,
            mine,
            known: None,
            failing: false,
        }
    }

    /// Writes until nobody uses any bundle any more, and all that was to be written is.
    pub async fn run(mut self) -> Result<(), JoinError> {
        let mut open = true;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let mine = *self.mine.borrow_and_update();
            let mut failed = false;
            if let Some(wanted) = wanted {
                failed = self.follow(wanted, mine).await?;
            }
            if !open {
                return Ok(());
            }
            tokio::select! {
                changed = self.wanted.changed() => open = changed.is_ok(),
                Ok(()) = self.mine.changed() => {
                    // Another process may have removed what this one uses.
                    self.known = None;
                }
                () = sleep(RETRY_AFTER), if failed => {}
            }
        }
    }

    /// True if it is to be done again.
    async fn follow(
        &mut self,
        wanted: OrdMap<BundleName, Arc<Bundle>>,
        mine: bool,
    ) -> Result<bool, JoinError> {
        let (folder, known) = (self.folder.clone(), self.known.take());
        let followed = spawn_blocking(move || follow(&folder, known, &wanted, mine));
        let (known, result) = followed.await?;
        self.known = known;
        match &result {
            Ok(()) if self.failing => info!("keys are kept again"),
            Err(error) if !self.failing => {
                error!("a key is not kept: {error}; it is tried again every 5 s");
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = result.is_err();
        Ok(self.failing)
    }
}

/// What is there now, and what went wrong.
fn follow(
    folder: &Folder,
    known: Option<BTreeSet<BundleName>>,
    wanted: &OrdMap<BundleName, Arc<Bundle>>,
    mine: bool,
) -> (Option<BTreeSet<BundleName>>, Result<(), KeysError>) {
    let mut known = match known.map_or_else(|| listed(folder, mine), Ok) {
        Ok(known) => known,
        Err(error) => return (None, Err(error)),
    };
    let mut result = Ok(());
    for (name, bundle) in wanted {
        if !known.contains(name) {
            match folder.write(bundle) {
                Ok(()) => drop(known.insert(*name)),
                Err(error) => result = Err(error),
            }
        }
    }
    // A successor may serve with what this process does not use any more.
    if mine {
        known.retain(|name| {
            if wanted.contains_key(name) {
                return true;
            }
            match folder.remove(*name) {
                Ok(()) => false,
                Err(error) => {
                    result = Err(error);
                    true
                }
            }
        });
    }
    (Some(known), result)
}

fn listed(folder: &Folder, mine: bool) -> Result<BTreeSet<BundleName>, KeysError> {
    Ok(folder.list(mine)?.into_iter().collect())
}

const RETRY_AFTER: Duration = Duration::from_secs(5);
