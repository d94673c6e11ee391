//! The chart on real nodes (kubelet, containerd, kube-proxy), with the image of the Dockerfile: it
//! serves through each of them, whatever becomes of the rest.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use roadstead_tests::{
    cluster::{Cluster, Options},
    deploy::{
        chart::{self, NAMESPACE, RELEASE, helm},
        image,
        nodes::{Nodes, VOLUMES},
        ran,
    },
    echo::Echo,
    http::get,
    planes::{load::Load, objects::Site},
    program::built::workspace,
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::json;

#[test]
fn the_image_runs_as_nobody_and_may_open_low_ports() {
    let folder = tempfile::tempdir().unwrap();
    let archive = image::build(folder.path()).unwrap();
    let about = image::inspect(folder.path()).unwrap();
    assert_eq!(about["OCIv1"]["config"]["User"], "65532:65532");
    let files = image::files(folder.path(), &archive).unwrap();
    let program = |name: &str| {
        let lines: Vec<_> = files.lines().collect();
        let at = lines.iter().position(|line| line.ends_with(name)).unwrap();
        let capabilities = lines[at + 1..].iter().take_while(|l| l.starts_with(' '));
        let capabilities: Vec<_> = capabilities.copied().collect();
        (lines[at], capabilities.concat())
    };
    let (proxy, capabilities) = program("bin/roadstead-data-plane");
    assert!(proxy.starts_with("-rwxr-xr-x"), "{proxy}");
    assert!(capabilities.contains("security.capability"), "{files}");
    let (replica, capabilities) = program("bin/roadstead-control-plane");
    assert!(replica.starts_with("-rwxr-xr-x"), "{replica}");
    assert!(!capabilities.contains("security.capability"), "{files}");
    // Nothing else that runs.
    assert!(!files.lines().any(|line| line.ends_with("bin/sh")));
}

#[test]
fn three_nodes_serve_while_replicas_are_replaced_moved_and_killed() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;

        // Upgrade of the control plane: pods of it are replaced, one after the other.
        let mut loads = scene.loads();
        scene
            .release(
                "upgrade",
                &["--set", "controlPlane.podAnnotations.upgrade=one"],
            )
            .await?;
        go_on(&mut loads).await?;
        scene.settled().await?;

        // Scale down and up again: whoever is left leads.
        for replicas in ["1", "3"] {
            let replicas = format!("controlPlane.replicas={replicas}");
            scene.release("upgrade", &["--set", &replicas]).await?;
            go_on(&mut loads).await?;
        }
        scene.settled().await?;

        // The leader's node is drained: another leads, and proxies stay.
        scene.drain_leader().await?;
        go_on(&mut loads).await?;
        scene.changes_arrive("drained").await?;
        scene.uncordon().await?;
        scene.settled().await?;

        // A node dies with all that is on it; the others know nothing of it.
        let (dead, node) = scene.node_of_leader().await?;
        drop(loads.remove(usize::from(node)));
        scene.nodes.kill(node)?;
        go_on(&mut loads).await?;
        wait::until_ok("another leads", TAKEOVER, async || {
            ensure!(scene.leader().await? != dead);
            Ok(())
        })
        .await?;
        scene.serving.retain(|other| *other != node);
        scene.changes_arrive("killed").await?;
        go_on(&mut loads).await
    });
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
fn an_upgrade_of_proxies_leaves_all_nodes_but_one_serving() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let scene = Scene::start(sandbox).await?;
        let before = scene.proxies().await?;
        let more = ["--set", "dataPlane.podAnnotations.upgrade=one"];
        let upgrade = tokio::spawn(scene.release("upgrade", &more));
        let mut refused = 0;
        while !upgrade.is_finished() {
            let answered = try_join_all((0..NODES).map(answers)).await?;
            let away = answered.iter().filter(|answered| !**answered).count();
            ensure!(away <= 1, "{away} nodes are away at once");
            refused += away;
        }
        upgrade.await??;
        scene.served("/first").await?;
        let after = scene.proxies().await?;
        ensure!(before.is_disjoint(&after), "a proxy was not replaced");
        eprintln!("while three proxies were replaced {refused} requests had no answer");
        Ok(())
    });
}

/// Whether this node answers. What waits in the queue of a listener that closes is reset.
async fn answers(node: u8) -> anyhow::Result<bool> {
    let address = Nodes::address(node, 80);
    let Ok(reply) = get(address, HOST, "/first").await else {
        return Ok(false);
    };
    ensure!(reply.status.is_success(), "{}", reply.status);
    Ok(true)
}

/// The chart, installed on three nodes, and a backend.
struct Scene {
    cluster: Cluster,
    nodes: Nodes,
    /// Nodes that serve.
    serving: Vec<u8>,
    backend: Echo,
}

impl Scene {
    async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let options = Options {
            nodes: 0,
            kubelets: true,
            ..Options::default()
        };
        let cluster = Cluster::start(sandbox, &options).await?;
        let image = image::build(&sandbox.folder().join("image"))?;
        let dns = coredns(sandbox)?;
        let nodes = Nodes::start(sandbox, &cluster, NODES, &[&image, &dns]).await?;
        let dns = workspace().join("tests/cluster/nodes/coredns.yaml");
        cluster.objects().apply(&fs::read_to_string(dns)?).await?;
        for node in 0..NODES {
            cluster.objects().apply(&volume(node)).await?;
        }
        // In the nodes' network: pods reach it.
        let backend = Echo::start("backend", "10.0.1.1:0".parse()?).await?;
        let scene = Self {
            cluster,
            nodes,
            serving: (0..NODES).collect(),
            backend,
        };
        scene.release("install", &["--create-namespace"]).await?;
        scene.changes_arrive("first").await?;
        Ok(scene)
    }

    fn arguments(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let chart = chart::folder();
        let values = chart.join("examples/static-volumes.yaml");
        let mut arguments = vec![verb.to_owned(), RELEASE.to_owned()];
        arguments.push(chart.display().to_string());
        arguments.extend(["--namespace", NAMESPACE, "--kubeconfig"].map(str::to_owned));
        arguments.push(self.cluster.kubeconfig().display().to_string());
        arguments.extend(["--values".to_owned(), values.display().to_string()]);
        arguments.extend(["--wait", "--timeout", "5m"].map(str::to_owned));
        arguments.extend(more.iter().map(ToString::to_string));
        arguments
    }

    /// `helm VERB`, until all pods are ready.
    fn release(
        &self,
        verb: &str,
        more: &[&str],
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let arguments = self.arguments(verb, more);
        async move {
            // On a thread of its own: the backend and the load are on this one.
            let ran = move || helm(arguments.iter().map(String::as_str));
            tokio::task::spawn_blocking(ran).await??;
            Ok(())
        }
    }

    /// Adds a site and waits until each node serves it.
    async fn changes_arrive(&self, name: &str) -> anyhow::Result<()> {
        let path = format!("/{name}");
        let site = Site {
            name,
            host: HOST,
            path: &path,
            backends: &[self.backend.address()],
        };
        let class = "spec:\n  ingressClassName: roadstead\n";
        let yaml = site.yaml().replacen("spec:\n", class, 1);
        self.cluster.objects().apply(&yaml).await?;
        self.served(&path).await
    }

    /// Each node serves this path.
    async fn served(&self, path: &str) -> anyhow::Result<()> {
        for node in &self.serving {
            let address = Nodes::address(*node, 80);
            wait::until_ok("a node serves", SOON, async || {
                let reply = get(address, HOST, path).await?;
                ensure!(
                    reply.status.is_success(),
                    "{} {}",
                    reply.status,
                    reply.text()
                );
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The names of the proxies' pods.
    async fn proxies(&self) -> anyhow::Result<BTreeSet<String>> {
        let proxies = ListParams::default().labels("app.kubernetes.io/component=data-plane");
        let pods = self.pods().list(&proxies).await?;
        Ok(pods.items.iter().map(|pod| pod.name_any()).collect())
    }

    fn loads(&self) -> Vec<Load> {
        let load = |node: &u8| {
            let address = Nodes::address(*node, 80);
            Load::paced(address, HOST, "/first", PACE)
        };
        self.serving.iter().map(load).collect()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The pod that leads.
    async fn leader(&self) -> anyhow::Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client(), NAMESPACE);
        wait::until_ok("somebody leads", TAKEOVER, async || {
            let lease = leases.get("roadstead-control-plane").await?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            let holder = holder
                .filter(|holder| !holder.is_empty())
                .context("nobody")?;
            let (pod, _) = holder.split_once('_').context(holder.clone())?;
            Ok(pod.to_owned())
        })
        .await
    }

    async fn node_of_leader(&self) -> anyhow::Result<(String, u8)> {
        let leader = self.leader().await?;
        let pod = self.pods().get(&leader).await?;
        let node = pod
            .spec
            .and_then(|spec| spec.node_name)
            .context("no node")?;
        let (_, index) = node.split_once('-').context("a node's name")?;
        Ok((leader, index.parse()?))
    }

    /// Cordons the leader's node and evicts the leader, as `kubectl drain` does.
    async fn drain_leader(&self) -> anyhow::Result<()> {
        let (leader, node) = self.node_of_leader().await?;
        self.cordon(node, true).await?;
        let evicted = self.pods().evict(&leader, &EvictParams::default()).await;
        evicted.context("the budget forbids to drain a node")?;
        wait::until_ok("another leads", TAKEOVER, async || {
            ensure!(self.leader().await? != leader);
            Ok(())
        })
        .await
    }

    async fn uncordon(&self) -> anyhow::Result<()> {
        for node in 0..NODES {
            self.cordon(node, false).await?;
        }
        Ok(())
    }

    async fn cordon(&self, node: u8, cordoned: bool) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.cluster.client());
        let patch = json!({"spec": {"unschedulable": cordoned}});
        let (name, patch) = (format!("node-{node}"), Patch::Merge(patch));
        nodes.patch(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// All replicas are ready.
    async fn settled(&self) -> anyhow::Result<()> {
        let replicas = ListParams::default().labels("app.kubernetes.io/component=control-plane");
        wait::until_ok("three replicas are ready", SOON, async || {
            let pods = self.pods().list(&replicas).await?;
            let ready = pods.items.iter().filter(|pod| {
                let conditions = pod.status.iter().flat_map(|status| &status.conditions);
                let mut conditions = conditions.flatten();
                conditions.any(|c| c.type_ == "Ready" && c.status == "True")
            });
            let names: Vec<_> = ready.map(|pod| pod.name_any()).collect();
            ensure!(names.len() == 3, "{names:?}");
            Ok(())
        })
        .await
    }
}

async fn go_on(loads: &mut [Load]) -> anyhow::Result<()> {
    for (node, load) in loads.iter_mut().enumerate() {
        let gone_on = load.goes_on(50).await;
        gone_on.with_context(|| format!("of the {node}. node that serves"))?;
    }
    Ok(())
}

/// A volume of a node's own disk.
fn volume(node: u8) -> String {
    format!(
        "apiVersion: v1\n\
         kind: PersistentVolume\n\
         metadata: {{name: log-{node}}}\n\
         spec:\n\
         \x20 capacity: {{storage: 5Gi}}\n\
         \x20 accessModes: [ReadWriteOnce]\n\
         \x20 storageClassName: \"\"\n\
         \x20 hostPath: {{path: {VOLUMES}}}\n\
         \x20 nodeAffinity:\n\
         \x20   required:\n\
         \x20     nodeSelectorTerms:\n\
         \x20     - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [node-{node}]}}]\n"
    )
}

/// The image of the cluster's DNS.
fn coredns(sandbox: &Sandbox) -> anyhow::Result<PathBuf> {
    let found = ran(Command::new("sh").args(["-c", "command -v coredns"]))?;
    let archive = sandbox.folder().join("coredns.tar");
    let script = workspace().join("tests/cluster/nodes/image.py");
    let program = Path::new(found.trim());
    ran(Command::new(script).args([Path::new("registry.local/coredns:1"), &archive, program]))?;
    Ok(archive)
}

const NODES: u8 = 3;
const HOST: &str = "shop.example";
const PACE: Duration = Duration::from_millis(20);
/// The default Lease lasts 15 s.
const TAKEOVER: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(900);
