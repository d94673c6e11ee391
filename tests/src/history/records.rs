//! The recovery records that a control plane keeps in Secrets: waited for, and copied for another.

use anyhow::{Context, ensure};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::{
    cluster::{Cluster, Objects},
    installation::SOON,
    wait,
};

/// Those of the one control plane that keeps its records in the namespace `default`.
#[derive(Debug)]
pub(super) struct Records {
    secrets: Api<Secret>,
    objects: Objects,
    /// How often the marker was good.
    marked: u64,
}

impl Records {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            secrets: Api::namespaced(cluster.client(), "default"),
            objects: cluster.objects(),
            marked: 0,
        }
    }

    /// Waits until there is a record of everything that was refused until now.
    ///
    /// An Ingress that is good, and then is not, marks the end. It does so twice: what is to be
    /// kept is gone through as a whole, and a second time only when it was.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.marked += 1;
            let host = format!("n{}.marker.example", self.marked);
            self.objects.apply(&marker(&host, "/")).await?;
            self.objects.apply(&marker(&host, "/a/../b")).await?;
            wait::until_ok("the record of the marker", SOON, async || {
                let records = self.all().await?;
                let marked = records.iter().any(|record| holds(record, &host));
                ensure!(marked, "{host} is in none of {}", records.len());
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Copies all of them into a namespace of this name, which is made.
    pub(super) async fn copy(&self, namespace: &str) -> anyhow::Result<()> {
        let made =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.objects.apply(&made.to_string()).await?;
        let copies: Api<Secret> = Api::namespaced(self.secrets.clone().into_client(), namespace);
        for record in self.all().await? {
            let Secret {
                metadata,
                data,
                type_,
                ..
            } = record;
            let copy = Secret {
                metadata: ObjectMeta {
                    name: metadata.name,
                    labels: metadata.labels,
                    annotations: metadata.annotations,
                    ..ObjectMeta::default()
                },
                data,
                type_,
                ..Secret::default()
            };
            let created = copies.create(&Default::default(), &copy).await;
            created.context("copy a recovery record")?;
        }
        Ok(())
    }

    async fn all(&self) -> anyhow::Result<Vec<Secret>> {
        let ours = ListParams::default().labels("roadstead.dev/recovery=last-good");
        Ok(self.secrets.list(&ours).await?.items)
    }
}

/// Whether a record's bytes have this text in them.
fn holds(record: &Secret, text: &str) -> bool {
    let data = record.data.iter().flatten();
    data.map(|(_, bytes)| String::from_utf8_lossy(&bytes.0))
        .any(|bytes| bytes.contains(text))
}

fn marker(host: &str, path: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "marker"},
        "spec": {"ingressClassName": "roadstead", "rules": [{"host": host, "http": {"paths": [{
            "path": path, "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "marker", "port": {"number": 80}}},
        }]}}]},
    })
    .to_string()
}
