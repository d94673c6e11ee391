//! Who led, and which pods there were, for whoever reads a failure: pods take their logs along.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::interval;

use crate::deploy::chart::NAMESPACE;

/// Writes down each change of the Lease and of the replicas' pods.
pub(super) async fn keep(client: Client, mut file: File) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let replicas = ListParams::default().labels("app.kubernetes.io/component=control-plane");
    let mut before = String::new();
    let mut look = interval(Duration::from_millis(250));
    loop {
        look.tick().await;
        let lease = leases
            .get_opt("roadstead-control-plane")
            .await
            .ok()
            .flatten();
        let epoch = lease
            .as_ref()
            .and_then(|lease| lease.annotations().get("roadstead.dev/epoch"));
        let holder = lease
            .as_ref()
            .and_then(|lease| lease.spec.as_ref()?.holder_identity.as_ref());
        let pods = pods
            .list(&replicas)
            .await
            .map(|pods| pods.items)
            .unwrap_or_default();
        let pods = pods.iter().map(|pod| {
            let status = pod.status.as_ref();
            let ip = status
                .and_then(|status| status.pod_ip.as_deref())
                .unwrap_or("-");
            let ends = pod.metadata.deletion_timestamp.is_some();
            format!("{} {:?} {ip} ends={ends}", pod.name_any(), pod.metadata.uid)
        });
        let now = format!(
            "epoch {epoch:?} of {holder:?}; {}",
            pods.collect::<Vec<_>>().join(", ")
        );
        if now != before {
            let _ = writeln!(file, "{} {now}", jiff::Timestamp::now());
            before = now;
        }
    }
}
