//! One namespace, one installation: two would have one id, one count of epochs and each other's
//! recovery records.

#![cfg(test)]

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use roadstead_tests::{
    cluster::{Cluster, Options},
    deploy::chart::{self, NAMESPACE},
    installation::{ControlPlane, SOON},
    program::{Program, built},
    sandbox::{self, Sandbox},
};
use serde_json::json;

#[test]
fn the_chart_is_installed_once_in_a_namespace() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        chart::release(&cluster.kubeconfig(), "install", &[])?;
        let other = |namespace: &str| {
            let of_its_own = "ingressClass.create=false";
            let kubeconfig = cluster.kubeconfig();
            let more = ["--set", of_its_own];
            chart::of_release("edge", namespace, &kubeconfig, "install", &more)
        };
        let refused = other(NAMESPACE).err().context("two in one namespace")?;
        let said = format!("{refused:#}");
        let expected = "the namespace roadstead has another installation of Roadstead, the \
                        StatefulSet roadstead-control-plane";
        ensure!(said.contains(expected), "{said}");
        other("elsewhere")?;
        // It is no other when it is upgraded.
        let more = ["--set", "controlPlane.replicas=5"];
        chart::release(&cluster.kubeconfig(), "upgrade", &more)?;
        Ok(())
    });
}

#[test]
fn a_control_plane_begins_no_term_in_anothers_namespace() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let mut first = start(sandbox, &cluster, 1, "first")?;
        first.is_ready().await?;
        let noted = note(&cluster).await?;
        ensure!(noted["lease"] == "first", "{noted:?}");

        let mut second = start(sandbox, &cluster, 2, "second")?;
        let said = second.program().logged("the term cannot begin", SOON);
        let said = said.await?;
        for words in [
            "the namespace default is another installation's, that of the Lease first",
            "sources.kubernetes.ownNamespace",
            "delete `lease` from the Secret default/roadstead-installation",
        ] {
            ensure!(said.contains(words), "{words}: {said}");
        }
        ensure!(note(&cluster).await? == noted, "the note is another's now");

        // As it says: the first is gone, and the second goes on as that installation. Older
        // releases left such a note, too.
        first.program().stop(SOON).await?;
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: roadstead-installation}\n";
        let unmarked = json!({"data": {"lease": null}});
        cluster.objects().patch(secret, "", &unmarked).await?;
        second.is_ready().await?;
        let after = note(&cluster).await?;
        ensure!(after["lease"] == "second", "{after:?}");
        ensure!(after["lineage"] == noted["lineage"], "{after:?}");
        Ok(())
    });
}

fn start(
    sandbox: &Sandbox,
    cluster: &Cluster,
    number: u8,
    lease: &str,
) -> anyhow::Result<ControlPlane> {
    let sources = json!({"kubernetes": {"kubeconfig": cluster.kubeconfig()}});
    let keys = json!({"lease": {"name": lease}});
    ControlPlane::start_by(sandbox, lease, number, &sources, &keys, |config| {
        let executable = built::binary("roadstead-control-plane")?;
        let arguments = ["--config".into(), config.to_owned().into_os_string()];
        Program::start(sandbox, lease, &executable, arguments)
    })
}

/// What the Secret of the installation says.
async fn note(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, String>> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), "default");
    let secret = secrets.get("roadstead-installation").await?;
    let data = secret.data.context("no data")?.into_iter();
    data.map(|(key, bytes)| Ok((key, String::from_utf8(bytes.0)?)))
        .collect()
}
