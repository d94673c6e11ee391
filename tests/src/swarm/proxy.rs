//! One proxy's holdings: names and hashes, and the digest over them.

use std::collections::BTreeMap;

use roadstead_data_plane::{
    control::Order,
    report::Report,
    snapshot::{Key, Refusal, Transfer},
};
use roadstead_proto::digest::bucket_of;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Mark, Said};

/// Applies transfers, and says so.
pub(super) struct Proxy {
    number: usize,
    resources: BTreeMap<Key, [u8; 16]>,
    report: watch::Sender<Report>,
    said: mpsc::UnboundedSender<Said>,
}

impl Proxy {
    pub(super) fn new(
        number: usize,
        report: watch::Sender<Report>,
        said: mpsc::UnboundedSender<Said>,
    ) -> Self {
        Self {
            number,
            resources: BTreeMap::new(),
            report,
            said,
        }
    }

    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some((transfer, answer)) = orders.recv().await {
            let (applied, lost) = self.apply(transfer);
            let said = Said {
                proxy: self.number,
                answer: applied.clone().map(|()| self.mark()),
                lost,
                at: Instant::now(),
            };
            // Its stream acknowledges it as soon as it has the answer; without one it says on
            // the next what it holds.
            let _: Result<(), _> = answer.send(applied);
            // The swarm ends, and this with it.
            let _: Result<(), _> = self.said.send(said);
        }
    }

    /// Says whether it is applied, and a resource that is gone since.
    fn apply(&mut self, transfer: Transfer) -> (Result<(), Refusal>, Option<Key>) {
        let mut report = self.report.borrow().clone();
        let digest = &mut report.digest;
        let mut removed = transfer.removed;
        if !transfer.replaced.is_empty() {
            let replaced = |key: &&Key| transfer.replaced.contains(&bucket_of(key.kind, &key.name));
            removed.extend(self.resources.keys().filter(replaced).cloned());
        }
        removed.retain(|key| match self.resources.remove(key) {
            Some(hash) => {
                digest.remove(key.kind, &key.name, &hash);
                true
            }
            None => false,
        });
        for told in transfer.changed {
            let key = &told.key;
            if let Some(before) = self.resources.insert(key.clone(), told.hash) {
                digest.remove(key.kind, &key.name, &before);
            }
            digest.insert(key.kind, &key.name, &told.hash);
        }
        let agrees = *digest == transfer.digest;
        if agrees {
            report.version = Some(transfer.version);
            report.endpoints_revision = transfer.endpoints_revision;
        }
        self.report.send_replace(report);
        let mut lost = removed.into_iter();
        let lost = lost.find(|key| !self.resources.contains_key(key));
        let applied = if agrees {
            Ok(())
        } else {
            Err(Refusal::DigestMismatch)
        };
        (applied, lost)
    }

    fn mark(&self) -> Mark {
        let report = self.report.borrow();
        let version = report.version.as_ref();
        Mark {
            epoch: version.map_or(0, |version| version.epoch),
            seq: version.map_or(0, |version| version.seq),
            endpoints: report.endpoints_revision,
        }
    }
}
