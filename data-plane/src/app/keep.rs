//! What was kept is served, and what comes is kept.
//!
//! Apart from the journal, the keys and the applier, which know nothing of each other's files and
//! versions; a proxy without a journal serves all the same.

use std::{
    future::pending,
    path::{Path, PathBuf},
};

use opentelemetry::metrics::Meter;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::control::{Applier, Serve};
use crate::handover::Others;
use crate::journal::{Batch, Journal, Kept, Writer};
use crate::keys::Keys;

/// The journal, before anything of it is used.
#[derive(Debug)]
pub(super) struct Keeping(Option<Open>);

#[derive(Debug)]
struct Open {
    journal: Journal,
    kept: Option<Kept>,
    writer: Writer,
    batches: mpsc::Sender<Batch>,
}

impl Keeping {
    /// Opens it. While `apart`, a process that takes this one's place keeps it.
    pub(super) fn start(
        folder: &Path,
        boot_id: &str,
        meter: &Meter,
        apart: watch::Receiver<bool>,
    ) -> Self {
        match Journal::open(folder, boot_id) {
            Ok((journal, kept)) => {
                let (writer, batches) = Writer::new(meter, apart);
                Self(Some(Open {
                    journal,
                    kept,
                    writer,
                    batches,
                }))
            }
            Err(error) => {
                warn!(
                    "{error}; without it this proxy cannot start while there is no control plane"
                );
                Self(None)
            }
        }
    }

    /// Where to send what is to be kept.
    pub(super) fn batches(&self) -> Option<mpsc::Sender<Batch>> {
        self.0.as_ref().map(|open| open.batches.clone())
    }

    /// Has what was kept served. Gives what writes from now on, to its end.
    pub(super) async fn restore<S: Serve>(
        self,
        applier: &mut Applier<S>,
    ) -> Option<impl Future<Output = ()> + 'static> {
        let Open {
            mut journal,
            kept,
            writer,
            batches: _,
        } = self.0?;
        match kept {
            Some(kept) => {
                if kept.torn > 0 {
                    info!(bytes = kept.torn, "the journal's torn end was cut");
                }
                if !applier.restore(kept).await {
                    journal.forget();
                }
            }
            None => info!("nothing was kept: serving begins with the first version"),
        }
        Some(async {
            if let Err(error) = writer.run(journal).await {
                error!("the journal's writer failed: {error}");
            }
        })
    }
}

/// The bundles that are served with, and what keeps them in this folder until its end. A process
/// that has the folder with another removes nothing from it.
pub(super) fn keys(
    folder: Option<PathBuf>,
    mut others: watch::Receiver<Others>,
) -> (Keys, Option<impl Future<Output = ()> + 'static>) {
    let (mine, is_mine) = watch::channel(others.borrow_and_update().is_mine());
    let (keys, writer) = match folder.map(|folder| Keys::kept(folder, is_mine)) {
        Some(Ok(kept)) => kept,
        Some(Err(error)) => {
            error!("{error}; without it HTTPS waits for a control plane at each start");
            return (Keys::default(), None);
        }
        None => return (Keys::default(), None),
    };
    let following = async move {
        while others.changed().await.is_ok() {
            mine.send_replace(others.borrow_and_update().is_mine());
        }
        pending::<()>().await;
    };
    let writing = async {
        tokio::select! {
            written = writer.run() => if let Err(error) = written {
                error!("the keys' writer failed: {error}");
            },
            () = following => {}
        }
    };
    (keys, Some(writing))
}

/// Whether a successor keeps the journal, and what finds it out for as long as it is polled.
pub(super) fn apart(
    mut others: watch::Receiver<Others>,
) -> (watch::Receiver<bool>, impl Future<Output = ()> + 'static) {
    let (apart, is_apart) = watch::channel(false);
    let following = async move {
        while others.changed().await.is_ok() {
            apart.send_replace(others.borrow_and_update().after);
        }
        pending().await
    };
    (is_apart, following)
}
