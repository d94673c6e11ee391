//! The chart and the plain manifests at a real API server: it takes them, gives the rights that
//! the README lists, and is left as it was.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use kube::Client;
use roadstead_tests::{
    cluster::{Cluster, Options, client_of},
    deploy::{
        chart::{self, NAMESPACE, RELEASE, helm},
        rights::{self, Mode, SERVICE, documented, expected, held},
        yaml_files,
    },
    sandbox,
};
use serde_json::{Value, json};

#[test]
fn every_example_is_installed_and_leaves_nothing_behind() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        namespaces(&cluster, &["shop", "blog"]).await?;
        for example in yaml_files(&chart::folder().join("examples"))? {
            let name = example.file_stem().context("a name")?.to_string_lossy();
            // Kinds that only clusters with their operators know.
            let unknown = "serviceMonitor.enabled=false,openshift.enabled=false";
            let values = example.display().to_string();
            let more = ["--values", &values, "--set", unknown];
            release(&cluster, "install", &more).with_context(|| name.clone().into_owned())?;
            let objects: Vec<_> = objects_of(&cluster)?;
            for object in &objects {
                let found = cluster.objects().read(&object.to_string()).await?;
                ensure!(found.is_some(), "{name}: no {}", chart::title(object));
            }
            release(&cluster, "uninstall", &["--wait"])?;
            for object in &objects {
                let found = cluster.objects().read(&object.to_string()).await?;
                ensure!(found.is_none(), "{name}: {} stays", chart::title(object));
            }
        }
        Ok(())
    });
}

#[test]
fn an_upgrade_changes_what_its_values_change_and_nothing_else() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        release(&cluster, "install", &[])?;
        let before = generations(&cluster).await?;
        // The control plane takes these without a restart, and so do its proxies.
        let live = "listeners.shop.port=8081,\
                    controlPlane.config.beside.controllers={k8s.io/ingress-nginx}";
        let more = ["--set", live];
        release(&cluster, "upgrade", &more)?;
        ensure!(
            generations(&cluster).await? == before,
            "pods are replaced for a listener, or for who is beside"
        );
        let more = ["--set", "dataPlane.config.accessLog=json"];
        release(&cluster, "upgrade", &more)?;
        let [control_plane, data_plane] = generations(&cluster).await?;
        ensure!(
            control_plane == before[0],
            "replicas are replaced for the proxies"
        );
        ensure!(data_plane > before[1], "proxies go on without what was set");
        let log = "controlPlane.config.history.records=5000";
        release(&cluster, "upgrade", &["--set", log])?;
        let [control_plane, _] = generations(&cluster).await?;
        ensure!(
            control_plane > before[0],
            "replicas go on without what was set"
        );
        Ok(())
    });
}

#[test]
fn the_plain_manifests_are_taken_by_an_api_server() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        let yaml = chart::manifests("registry.example/roadstead")?;
        cluster.objects().apply(&yaml).await?;
        Ok(())
    });
}

#[test]
fn each_account_has_the_rights_that_the_readme_lists_and_no_other() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        namespaces(&cluster, &["shop", "blog"]).await?;
        let table = documented()?;
        let service = format!("controlPlane.config.ingressStatus.service={NAMESPACE}/{SERVICE}");
        let beside = "controlPlane.config.beside.controllers={k8s.io/ingress-nginx}";
        let narrow_nodes = "watch.namespaces={shop},\
                            controlPlane.config.ingressStatus.nodes={externalIP}";
        let narrow_service = format!("watch.namespaces={{shop}},{service}");
        let modes: [(&str, Mode<'_>); 12] = [
            (
                "",
                Mode {
                    when: &["statusWrites", WATCHED],
                    ..Mode::default()
                },
            ),
            (
                "statusWrites=false",
                Mode {
                    when: &[WATCHED],
                    ..Mode::default()
                },
            ),
            (
                beside,
                Mode {
                    when: &[WATCHED],
                    ..Mode::default()
                },
            ),
            (
                "acme.acceptTerms=true",
                Mode {
                    when: &["statusWrites", "acme", WATCHED],
                    ..Mode::default()
                },
            ),
            (
                "watch.secrets=get",
                Mode {
                    when: &["statusWrites", "watch.secrets: get"],
                    ..Mode::default()
                },
            ),
            (
                "watch.secrets=off",
                Mode {
                    when: &["statusWrites"],
                    ..Mode::default()
                },
            ),
            (
                "watch.namespaces={shop}",
                Mode {
                    namespaces: &["shop"],
                    when: &["statusWrites", WATCHED],
                },
            ),
            (
                "watch.namespaces={default}",
                Mode {
                    namespaces: &["default"],
                    when: &["statusWrites", WATCHED],
                },
            ),
            (
                narrow_nodes,
                Mode {
                    namespaces: &["shop"],
                    when: &[
                        "statusWrites",
                        "ingressStatus",
                        "ingressStatus.nodes",
                        WATCHED,
                    ],
                },
            ),
            (
                &narrow_service,
                Mode {
                    namespaces: &["shop"],
                    when: &[
                        "statusWrites",
                        "ingressStatus",
                        "ingressStatus.service",
                        WATCHED,
                    ],
                },
            ),
            (
                "controlPlane.config.ingressStatus.nodes={externalIP}",
                Mode {
                    when: &[
                        "statusWrites",
                        "ingressStatus",
                        "ingressStatus.nodes",
                        WATCHED,
                    ],
                    ..Mode::default()
                },
            ),
            (
                &service,
                Mode {
                    when: &[
                        "statusWrites",
                        "ingressStatus",
                        "ingressStatus.service",
                        WATCHED,
                    ],
                    ..Mode::default()
                },
            ),
        ];
        let mut seen = BTreeSet::new();
        for (values, mode) in modes {
            release(&cluster, "install", &["--set", values])?;
            for namespace in [NAMESPACE, "shop", "blog", "default"] {
                let of_all = held(&stranger(&cluster, namespace).await?, namespace).await?;
                let mut documented = expected(&table, mode, namespace);
                seen.extend(documented.clone());
                documented.extend(of_all.clone());
                let control = account(&cluster, "roadstead-control-plane").await?;
                agree(
                    values,
                    namespace,
                    &held(&control, namespace).await?,
                    &documented,
                )?;
                let data = account(&cluster, "roadstead-data-plane").await?;
                agree(values, namespace, &held(&data, namespace).await?, &of_all)?;
            }
            release(&cluster, "uninstall", &["--wait"])?;
        }
        let all: BTreeSet<_> = table.iter().flat_map(|row| row.rights.clone()).collect();
        ensure!(seen == all, "a row of the table was not asked for");
        Ok(())
    });
}

/// As it is without a word about it.
const WATCHED: &str = "watch.secrets: watch";

fn agree(
    values: &str,
    namespace: &str,
    held: &BTreeSet<rights::Right>,
    documented: &BTreeSet<rights::Right>,
) -> anyhow::Result<()> {
    let more: Vec<_> = held.difference(documented).collect();
    let less: Vec<_> = documented.difference(held).collect();
    ensure!(
        more.is_empty() && less.is_empty(),
        "{values:?} in {namespace}: held and not documented {more:?}; documented and not held {less:?}"
    );
    Ok(())
}

async fn account(cluster: &Cluster, name: &str) -> anyhow::Result<Client> {
    client_of(&cluster.kubeconfig_of(NAMESPACE, name)?).await
}

/// What is bound to nobody has the rights of all.
async fn stranger(cluster: &Cluster, namespace: &str) -> anyhow::Result<Client> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "stranger", "namespace": namespace},
    });
    cluster.objects().apply(&account.to_string()).await?;
    client_of(&cluster.kubeconfig_of(namespace, "stranger")?).await
}

async fn namespaces(cluster: &Cluster, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        cluster.objects().apply(&namespace.to_string()).await?;
    }
    Ok(())
}

fn release(cluster: &Cluster, verb: &str, more: &[&str]) -> anyhow::Result<String> {
    chart::release(&cluster.kubeconfig(), verb, more)
}

/// The objects of the release, as helm keeps them.
fn objects_of(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let kubeconfig = cluster.kubeconfig();
    let kubeconfig = text(&kubeconfig)?;
    let about = ["get", "manifest", RELEASE, "--namespace", NAMESPACE];
    chart::objects(&helm(
        about.into_iter().chain(["--kubeconfig", kubeconfig]),
    )?)
}

/// Generations of both planes' pods: one more for each change of them.
async fn generations(cluster: &Cluster) -> anyhow::Result<[i64; 2]> {
    let mut generations = [0; 2];
    let planes = [
        ("StatefulSet", "control-plane"),
        ("DaemonSet", "data-plane"),
    ];
    for (generation, (kind, plane)) in generations.iter_mut().zip(planes) {
        let object = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": format!("roadstead-{plane}"), "namespace": NAMESPACE},
        });
        let object = cluster.objects().read(&object.to_string()).await?;
        let object = object.context("no pods")?;
        *generation = object.metadata.generation.context("no generation")?;
    }
    Ok(generations)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
