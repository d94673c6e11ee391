//! What is shipped, installed on three real nodes, with the cluster's DNS, volumes of the nodes'
//! disks, and a backend.

mod proxies;
mod volumeless;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Options};
use crate::deploy::chart::{self, NAMESPACE, RELEASE, helm};
use crate::deploy::nodes::{Nodes, VOLUMES};
use crate::deploy::{diary, image, ran};
use crate::echo::Echo;
use crate::http::get;
use crate::planes::{load::Load, objects::Site};
use crate::program::built::workspace;
use crate::sandbox::Sandbox;
use crate::wait;

/// What is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// The chart, by helm.
    Chart,
    /// The plain manifests.
    Manifests,
    /// The chart, with proxies behind a port of all nodes and one replica without a volume, in a
    /// namespace that restricts its pods as far as Kubernetes can.
    NodePort,
}

/// The installation.
#[derive(Debug)]
pub struct Scene {
    cluster: Cluster,
    pub nodes: Nodes,
    /// Nodes that serve.
    pub serving: Vec<u8>,
    shipped: Shipped,
    backend: Echo,
    /// Writes down who leads, for whoever reads a failure.
    _diary: JoinSet<anyhow::Result<()>>,
}

impl Scene {
    /// Starts the cluster and its nodes, installs what is shipped, and waits until each node
    /// serves a first site, `/first`.
    pub async fn start(sandbox: &Sandbox, shipped: Shipped) -> anyhow::Result<Self> {
        let options = Options {
            nodes: 0,
            kubelets: true,
            ..Options::default()
        };
        let cluster = Cluster::start(sandbox, &options).await?;
        let folder = sandbox.folder().join("image");
        let image = match shipped {
            Shipped::Chart | Shipped::NodePort => image::build(&folder)?,
            Shipped::Manifests => image::build_as(&folder, &format!("{PUSHED}:0.1.0"))?,
        };
        let dns = coredns(sandbox)?;
        let nodes = Nodes::start(sandbox, &cluster, NODES, &[&image, &dns]).await?;
        let dns = workspace().join("tests/cluster/nodes/coredns.yaml");
        cluster.objects().apply(&fs::read_to_string(dns)?).await?;
        for node in 0..NODES {
            cluster.objects().apply(&volume(node)).await?;
        }
        let mut diary = JoinSet::new();
        diary.spawn(diary::keep(cluster.client(), sandbox.logs()));
        // In the nodes' network: pods reach it.
        let backend = Echo::start("backend", "10.0.1.1:0".parse()?).await?;
        let scene = Self {
            cluster,
            nodes,
            serving: (0..NODES).collect(),
            shipped,
            backend,
            _diary: diary,
        };
        match shipped {
            Shipped::Chart => scene.release("install", &["--create-namespace"]).await?,
            Shipped::NodePort => {
                scene.cluster.objects().apply(RESTRICTED).await?;
                scene.release("install", &[]).await?;
            }
            Shipped::Manifests => {
                let yaml = chart::manifests(PUSHED)?;
                scene.cluster.objects().apply(&yaml).await?;
            }
        }
        scene.changes_arrive("first").await?;
        if shipped != Shipped::NodePort {
            // One that serves and was not yet probed is replaced as one that does not serve.
            wait::until_ok("all proxies are known to be ready", SOON, async || {
                ensure!(scene.are_replaced().await?);
                Ok(())
            })
            .await?;
        }
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
        if self.shipped == Shipped::NodePort {
            for example in ["node-port", "small"] {
                let values = chart.join(format!("examples/{example}.yaml"));
                arguments.extend(["--values".to_owned(), values.display().to_string()]);
            }
            // No load balancer looks which nodes have a proxy.
            let everywhere = "dataPlane.service.externalTrafficPolicy=Cluster";
            arguments.extend(["--set", everywhere].map(str::to_owned));
        }
        arguments.extend(["--wait", "--timeout", "5m"].map(str::to_owned));
        arguments.extend(more.iter().map(ToString::to_string));
        arguments
    }

    /// `helm VERB`, until all pods are ready.
    pub fn release(
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
    pub async fn changes_arrive(&self, name: &str) -> anyhow::Result<()> {
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

    /// Where a node takes requests.
    pub fn address(&self, node: u8) -> SocketAddr {
        let port = match self.shipped {
            Shipped::Chart | Shipped::Manifests => 80,
            Shipped::NodePort => 30080,
        };
        Nodes::address(node, port)
    }

    /// Each node serves this path, and each proxy to which it may send a request.
    pub async fn served(&self, path: &str) -> anyhow::Result<()> {
        let mut addresses: Vec<_> = self
            .serving
            .iter()
            .map(|node| self.address(*node))
            .collect();
        if self.shipped == Shipped::NodePort {
            addresses.extend(self.proxy_addresses().await?);
        }
        for address in addresses {
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

    /// Has so many replicas of the control plane run, and waits until they do and no others.
    pub async fn control_planes(&self, replicas: u8) -> anyhow::Result<()> {
        let sets: Api<StatefulSet> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let parameters = PatchParams::default();
        sets.patch("roadstead-control-plane", &parameters, &patch)
            .await?;
        self.ready(replicas.into()).await
    }

    /// A load on each node that serves.
    pub fn loads(&self) -> Vec<Load> {
        self.serving.iter().map(|node| self.load(*node)).collect()
    }

    /// A load on a node.
    pub fn load(&self, node: u8) -> Load {
        Load::paced(self.address(node), HOST, "/first", PACE)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The pod that leads.
    pub async fn leader(&self) -> anyhow::Result<String> {
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

    pub async fn node_of_leader(&self) -> anyhow::Result<(String, u8)> {
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
    pub async fn drain_leader(&self) -> anyhow::Result<()> {
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

    pub async fn uncordon(&self) -> anyhow::Result<()> {
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
    pub async fn settled(&self) -> anyhow::Result<()> {
        self.ready(3).await
    }

    /// So many replicas are ready, and there are no others.
    async fn ready(&self, wanted: usize) -> anyhow::Result<()> {
        let replicas = ListParams::default().labels("app.kubernetes.io/component=control-plane");
        wait::until_ok("the replicas are ready", SOON, async || {
            let pods = self.pods().list(&replicas).await?;
            let all = pods.items.len();
            let ready = pods.items.iter().filter(|pod| {
                let conditions = pod.status.iter().flat_map(|status| &status.conditions);
                let mut conditions = conditions.flatten();
                conditions.any(|c| c.type_ == "Ready" && c.status == "True")
            });
            let names: Vec<_> = ready.map(|pod| pod.name_any()).collect();
            ensure!((names.len(), all) == (wanted, wanted), "{names:?} of {all}");
            Ok(())
        })
        .await
    }
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

/// Where users push the image to, in place of the name that no registry has.
const PUSHED: &str = "registry.local/edge/roadstead";
/// Our namespace, which takes no pod that asks for more than any may have.
const RESTRICTED: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: roadstead
  labels: {pod-security.kubernetes.io/enforce: restricted}
";
/// `node-0` to `node-2`.
pub const NODES: u8 = 3;
/// Of all sites.
pub const HOST: &str = "shop.example";
const PACE: Duration = Duration::from_millis(20);
/// The default Lease lasts 15 s.
pub const TAKEOVER: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(120);
