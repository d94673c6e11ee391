//! Who led, which pods there were and what they said, for whoever reads a failure: pods take their
//! logs along.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::AsyncReadExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::deploy::chart::NAMESPACE;

/// Writes down each change of the Lease and of the replicas' pods, and what those say.
pub(super) async fn keep(client: Client, logs: PathBuf) -> anyhow::Result<()> {
    let mut file = File::create(logs.join("leaders.log"))?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let replicas = ListParams::default().labels("app.kubernetes.io/component=control-plane");
    let (mut followed, mut following) = (BTreeSet::new(), JoinSet::new());
    let mut before = String::new();
    let mut look = interval(Duration::from_millis(250));
    loop {
        look.tick().await;
        // While the API server is away there is nothing to write down.
        let lease = leases.get_opt(LEASE).await.ok().flatten();
        let found = pods.list(&replicas).await.map(|pods| pods.items);
        let found = found.unwrap_or_default();
        for pod in found.iter().filter(|pod| is_running(pod)) {
            let name = pod.name_any();
            let uid = pod.uid().unwrap_or_default();
            if followed.insert(uid.clone()) {
                let log = logs.join(format!("{name}-{}.log", uid.get(..8).unwrap_or("")));
                following.spawn(follow(pods.clone(), name, log));
            }
        }
        let found: Vec<_> = found.iter().map(told).collect();
        let now = format!("{}; {}", holder(lease.as_ref()), found.join(", "));
        if now != before {
            writeln!(file, "{} {now}", jiff::Timestamp::now())?;
            before = now;
        }
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running")
}

fn told(pod: &Pod) -> String {
    let address = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.as_deref());
    let ends = pod.metadata.deletion_timestamp.is_some();
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    format!("{name} {uid} {} ends={ends}", address.unwrap_or("-"))
}

fn holder(lease: Option<&Lease>) -> String {
    let epoch = lease.and_then(|lease| lease.annotations().get("roadstead.dev/epoch"));
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let holder = spec.and_then(|spec| spec.holder_identity.as_ref());
    format!("epoch {epoch:?} of {holder:?}")
}

async fn follow(pods: Api<Pod>, name: String, log: PathBuf) -> anyhow::Result<()> {
    let parameters = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let mut stream = std::pin::pin!(pods.log_stream(&name, &parameters).await?);
    let mut bytes = vec![0; 4096];
    append(&log, &[])?;
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            read => append(&log, bytes.get(..read).unwrap_or_default())?,
        }
    }
}

fn append(log: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    Ok(options
        .create(true)
        .append(true)
        .open(log)?
        .write_all(bytes)?)
}

const LEASE: &str = "roadstead-control-plane";
