//! A control plane of one replica without a volume, which is replaced.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::deploy::chart::NAMESPACE;
use crate::deploy::scene::{HOST, SOON, Scene};
use crate::wait;

impl Scene {
    /// Makes a site be one that cannot be used, and waits until what it said before is kept where no
    /// volume's loss reaches it.
    pub async fn spoil(&self, name: &str) -> anyhow::Result<()> {
        let about = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\n"
        );
        let rule = json!({"host": HOST, "http": {"paths": [{
            "path": "/a/../b", "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": name, "port": {"number": 80}}},
        }]}});
        let patch = json!({"spec": {"rules": [rule]}});
        self.cluster.objects().patch(&about, "", &patch).await?;
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let records = ListParams::default().labels("roadstead.dev/recovery=last-good");
        wait::until_ok("its last good version is kept", SOON, async || {
            let kept = secrets.list(&records).await?.items.len();
            ensure!(kept == 1, "{kept} records");
            Ok(())
        })
        .await
    }

    /// The only replica's pod goes, with all that it has, and another comes.
    pub async fn replace_replica(&self) -> anyhow::Result<()> {
        let name = "roadstead-control-plane-0";
        let uid = async || anyhow::Ok(self.pods().get(name).await?.metadata.uid);
        let before = uid().await?;
        self.pods().delete(name, &DeleteParams::default()).await?;
        wait::until_ok("another pod", SOON, async || {
            ensure!(uid().await? != before);
            Ok(())
        })
        .await?;
        self.ready(1).await
    }
}
