//! What was kept is served, and what comes is kept.
//!
//! Apart from the journal and from the applier, which know nothing of each other's files and
//! versions; a proxy without a journal serves all the same.

use std::{future::pending, path::Path};

use opentelemetry::metrics::Meter;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::control::{Applier, Serve};
use crate::handover::Others;
use crate::journal::{Batch, Journal, Kept, Writer};

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
