//! Real nodes of a cluster: a kubelet, containerd and kube-proxy each, as `tests/cluster/nodes`
//! starts them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

use crate::cluster::Cluster;
use crate::deploy::ran;
use crate::program::{Program, Signal, built::workspace};
use crate::sandbox::Sandbox;
use crate::wait;

/// Nodes `node-0`, `node-1`, …; they end when this is dropped.
pub struct Nodes {
    /// The sandbox's network, by the name that `ip netns` knows it by.
    network: String,
    state: PathBuf,
    logs: PathBuf,
    running: Vec<Program>,
}

impl Nodes {
    /// Starts so many and waits until each is ready. They have these images, and a folder for
    /// volumes ([`VOLUMES`]) that user 65532 may write.
    pub async fn start(
        sandbox: &Sandbox,
        cluster: &Cluster,
        count: u8,
        images: &[&Path],
    ) -> anyhow::Result<Self> {
        let state = cluster.state().to_owned();
        // As unique as the folder, of which each test has its own.
        let network = sandbox.folder().file_name().context("a folder's name")?;
        let network = network.to_string_lossy().into_owned();
        // The shell is born in the sandbox's network.
        let name = format!("exec ip netns attach {network} $$");
        ran(Command::new("sh").args(["-c", &name]))?;
        let mut nodes = Self {
            network,
            state,
            logs: sandbox.logs(),
            running: Vec::new(),
        };
        let loaded = nodes.state.join("images");
        fs::create_dir_all(&loaded)?;
        for image in images {
            let name = image.file_name().context("an archive's name")?;
            fs::copy(image, loaded.join(name))?;
        }
        for index in 0..count {
            nodes.add(sandbox, index)?;
        }
        nodes.are_ready(&cluster.client()).await?;
        Ok(nodes)
    }

    fn add(&mut self, sandbox: &Sandbox, index: u8) -> anyhow::Result<()> {
        let volumes = self.state.join(format!("node-{index}/lib/volumes"));
        fs::create_dir_all(&volumes)?;
        chown(&volumes, Some(OWNER), Some(OWNER))?;
        // Ended in order also if the test is killed: it has children.
        let arguments = [
            "--pdeathsig".to_owned(),
            "TERM".to_owned(),
            "--".to_owned(),
            script("node.sh"),
            self.network.clone(),
            self.state.display().to_string(),
            index.to_string(),
        ];
        let name = format!("node-{index}");
        let node = Program::start(sandbox, &name, Path::new("setpriv"), arguments)?;
        self.running.push(node);
        Ok(())
    }

    /// Waits until all are Ready, unless one of them ends before.
    async fn are_ready(&mut self, client: &Client) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(client.clone());
        let running = &mut self.running;
        let ready = wait::until_ok("the nodes are ready", START, async || {
            for (index, node) in running.iter_mut().enumerate() {
                if let Some(status) = node.ended()? {
                    return Ok(Err(anyhow!("node-{index} ended at its start: {status}")));
                }
            }
            let found = nodes.list(&kube::api::ListParams::default()).await?;
            let ready = found.items.iter().filter(|node| is_ready(node)).count();
            ensure!(ready == running.len(), "{ready} of {}", running.len());
            Ok(Ok(()))
        });
        ready.await?
    }

    /// A node's address, with this port.
    pub fn address(index: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(10, 0, 1, 10 + index), port).into()
    }

    /// The programs of a node's containers crash whose command line has this text; how many they
    /// were.
    pub fn crash(&self, index: u8, text: &str) -> anyhow::Result<u32> {
        let number = index.to_string();
        let crashed = ran(Command::new(script("crash.sh")).args([&*self.network, &number, text]))?;
        crashed.trim().parse().context("how many crashed")
    }

    /// A node dies at once, with all that runs on it.
    pub fn kill(&self, index: u8) -> anyhow::Result<()> {
        let number = index.to_string();
        ran(Command::new(script("kill.sh")).args([&self.network, &number]))?;
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // What can be done is done; there is nobody to tell of the rest.
        for node in &self.running {
            let _ = node.signal(Signal::TERM);
        }
        for node in &mut self.running {
            for _ in 0..PATIENCE {
                if !matches!(node.ended(), Ok(None)) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        let _ = self.keep_logs();
        let _ = ran(Command::new("ip").args(["netns", "del", &self.network]));
    }
}

impl Nodes {
    /// Puts what pods and kubelets said where it is shown if the test fails.
    fn keep_logs(&self) -> std::io::Result<()> {
        for index in 0..self.running.len() {
            let node = self.state.join(format!("node-{index}"));
            for log in ["images.log", "containerd.log", "kubelet.log"] {
                let said = self.logs.join(format!("node-{index}.{log}"));
                let _ = fs::copy(node.join(log), said);
            }
            for pod in fs::read_dir(node.join("log/pods"))? {
                let pod = pod?.path();
                for container in fs::read_dir(&pod)? {
                    let container = container?.path();
                    let name =
                        |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
                    for log in fs::read_dir(&container)? {
                        let log = log?.path();
                        let parts = [name(&pod), name(&container), name(&log)];
                        let parts: Vec<_> = parts.into_iter().flatten().collect();
                        let file = format!("node-{index}.{}", parts.join("."));
                        let _ = fs::copy(&log, self.logs.join(file));
                    }
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes")
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn script(name: &str) -> String {
    let path = workspace().join("tests/cluster/nodes").join(name);
    path.display().to_string()
}

/// Where a node's folder for volumes is, as its pods' host paths name it.
pub const VOLUMES: &str = "/var/lib/volumes";
/// The user of the image.
const OWNER: u32 = 65532;
/// Six that start at once unpack images on a disk that may be slow.
const START: Duration = Duration::from_secs(300);
/// Pauses until a node that was told to end is no longer waited for.
const PATIENCE: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);
