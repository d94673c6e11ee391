//! Sends the answers.
//!
//! Apart from the calls, and not a task of a connection: who does not read an answer is not to keep
//! its place for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use roadstead_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use crate::keys::Keys;
use crate::metrics::secrets::SecretMetrics;
use crate::model::bundle::BundleName;
use crate::serve::error;
use crate::serve::secrets::Caller;
use crate::serve::shares::Share;
use crate::serve::stop::Stop;

/// An answer that is to be given.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) names: BTreeSet<BundleName>,
    pub(super) to: mpsc::Sender<Result<v1::Secret, Status>>,
    pub(super) _place: Share<Caller>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The owner of all answers.
#[derive(Debug)]
pub(in crate::serve) struct Giver {
    asked: mpsc::Receiver<Answer>,
    keys: Keys,
    metrics: SecretMetrics,
}

impl Giver {
    pub(super) fn new(asked: mpsc::Receiver<Answer>, keys: Keys, metrics: SecretMetrics) -> Self {
        Self {
            asked,
            keys,
            metrics,
        }
    }

    /// Gives until it is stopped; answers that are under way then are cut off.
    pub(in crate::serve) async fn run(mut self, stop: Stop) {
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.stopped() => break,
                Some(_) = answers.join_next() => {}
                Some(answer) = self.asked.recv() => {
                    answers.spawn(give(answer, self.keys.clone(), self.metrics.clone()));
                }
                else => break,
            }
        }
    }
}

async fn give(answer: Answer, keys: Keys, metrics: SecretMetrics) {
    let sending = async {
        for name in &answer.names {
            let bundle = keys.served(*name);
            metrics.gave(bundle.is_some());
            let secret = v1::Secret {
                name: name.as_bytes().to_vec(),
                body: bundle
                    .map(|bundle| bundle.bytes().clone())
                    .unwrap_or_default(),
            };
            // An error means that the caller is gone.
            if answer.to.send(Ok(secret)).await.is_err() {
                return;
            }
        }
    };
    if timeout(LONGEST, sending).await.is_err() {
        // One that does not read at all does not learn why it ended.
        let _ = timeout(FAREWELL, answer.to.send(Err(error::slow_reader()))).await;
    }
}

/// A whole answer of the largest bundles takes a second on a slow network.
const LONGEST: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(1);
