//! Writes statuses to Ingresses, at a bounded pace, until they are as they should be.
//!
//! By server-side apply of nothing but the addresses, for this very object (its uid), so that no
//! other field and no successor of the same name is touched.

use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff;
use crate::metrics::status::StatusMetrics;
use crate::model::address::{Address, FIELD_MANAGER, Sighting};
use crate::observe::convert::published;
use crate::plan::status::Step;
use crate::status::board::{Board, Due, Failure};
use crate::status::bucket::Bucket;

/// The one that writes.
pub(super) struct Writer {
    client: Client,
    bucket: Bucket,
    take_over: bool,
    metrics: StatusMetrics,
    /// Failures since the last success.
    in_a_row: u32,
}

/// What came of a write.
enum Outcome {
    Done(Box<Ingress>),
    Gone,
    Failed(Failure, String),
}

impl Writer {
    pub(super) fn new(
        client: Client,
        writes_per_second: u32,
        take_over: bool,
        metrics: StatusMetrics,
    ) -> Self {
        Self {
            client,
            bucket: Bucket::of(writes_per_second, Instant::now()),
            take_over,
            metrics,
            in_a_row: 0,
        }
    }

    /// Writes what is due, until nothing more comes.
    pub(super) async fn run(mut self, board: &Board) {
        while let Some(due) = board.next().await {
            if due.step == Step::Taken {
                self.taken(&due, due.others.as_deref().unwrap_or_default());
                continue;
            }
            while !self.bucket.take(Instant::now(), true) {
                sleep(self.bucket.until_next()).await;
            }
            self.write(due, board).await;
        }
    }

    async fn write(&mut self, due: Due, board: &Board) {
        match self.attempt(&due).await {
            Outcome::Done(ingress) => {
                self.in_a_row = 0;
                self.metrics.write(match due.step {
                    Step::Clear => "cleared",
                    Step::Nothing | Step::Taken | Step::Write => "written",
                });
                let now = published(&ingress);
                tracing::debug!(object = %due.key, addresses = ?now.addresses, "its status was written");
                let (object, found) = (due.key.clone(), now.addresses.clone());
                if board.wrote(due, now) {
                    tracing::warn!(
                        %object, ?found,
                        "something on the way, a webhook as a rule, makes something else of the \
                         status that was written; it stays so until the addresses change"
                    );
                }
            }
            Outcome::Gone => {
                self.metrics.write("gone");
                board.see(Sighting::Gone(due.key));
            }
            Outcome::Failed(Failure::Taken, message) => {
                board.failed(&due, Failure::Taken);
                self.taken(&due, &message);
            }
            Outcome::Failed(failure, error) => {
                self.metrics.write("failed");
                self.in_a_row = self.in_a_row.saturating_add(1);
                let times = board.failed(&due, failure);
                self.tell(&due, failure, times, &error);
                // What keeps all from being written is not asked all of them at once; what keeps
                // one does not keep the others for long.
                sleep(backoff::delay(self.in_a_row.min(SLOWEST))).await;
            }
        }
    }

    fn tell(&self, due: &Due, failure: Failure, times: u32, error: &str) {
        let object = &due.key;
        match failure {
            Failure::Passing if self.in_a_row == 1 && times == 1 => {
                tracing::warn!(error, %object, "the status is not written yet: trying again");
            }
            Failure::Refused if times == 1 => {
                tracing::warn!(error, %object, "the status may not be written: trying again in a while");
            }
            Failure::Final if times == 1 => {
                tracing::warn!(error, %object, "the status cannot be written before the object changes");
            }
            Failure::Passing | Failure::Refused | Failure::Final | Failure::Taken => {}
        }
    }

    fn taken(&self, due: &Due, by: &str) {
        self.metrics.write("taken");
        tracing::warn!(
            object = %due.key, by,
            "its status was written by another field manager, and stays; to have it, set \
             ingressStatus.takeOver, or have the other no longer write it"
        );
    }

    async fn attempt(&self, due: &Due) -> Outcome {
        let ingresses: Api<Ingress> = Api::namespaced(self.client.clone(), &due.key.namespace);
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = self.take_over;
        let patch = Patch::Apply(body(due));
        let patched = ingresses.patch_status(&due.key.name, &params, &patch);
        match timeout(PATIENCE, patched).await {
            Ok(Ok(ingress)) => Outcome::Done(Box::new(ingress)),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => Outcome::Gone,
                // Or it is another object, which the watch tells.
                409 => Outcome::Failed(Failure::Taken, status.message),
                // A webhook refuses so, too.
                401 | 403 => Outcome::Failed(
                    Failure::Refused,
                    format!("{}; {MISSING_RULE}", status.message),
                ),
                408 | 429 => Outcome::Failed(Failure::Passing, status.message),
                400..500 => Outcome::Failed(Failure::Final, status.message),
                _ => Outcome::Failed(Failure::Passing, status.message),
            },
            Ok(Err(error)) => Outcome::Failed(Failure::Passing, error.to_string()),
            Err(elapsed) => Outcome::Failed(Failure::Passing, elapsed.to_string()),
        }
    }
}

/// All that we say of the object. What we said before and do not say now is taken away.
fn body(due: &Due) -> Value {
    let (api_version, kind) = ("networking.k8s.io/v1", "Ingress");
    let Due { key, uid, .. } = due;
    let metadata = json!({"name": key.name, "namespace": key.namespace, "uid": uid});
    if due.addresses.is_empty() {
        return json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    }
    let entries: Vec<Value> = due.addresses.iter().map(entry).collect();
    let status = json!({"loadBalancer": {"ingress": entries}});
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "status": status})
}

fn entry(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({"ip": ip}),
        Address::Hostname(name) => json!({"hostname": name}),
    }
}

const MISSING_RULE: &str = "give the control plane's ServiceAccount a ClusterRole with \
     {apiGroups: [\"networking.k8s.io\"], resources: [\"ingresses/status\"], verbs: [patch]}";
/// Failures in a row after which the pause between any two grows no longer: less than a second.
const SLOWEST: u32 = 3;
/// Longer than any API server that will still answer.
const PATIENCE: Duration = Duration::from_secs(15);
