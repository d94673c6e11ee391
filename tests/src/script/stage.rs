//! Where cases are played: a cluster, a control plane, a proxy, one case after the other.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::ensure;
use serde_json::json;

use super::{Script, case::Case};
use crate::{
    cluster::{Cluster, Options},
    installation::{
        ControlPlane,
        barrier::{Barrier, is_of_barrier},
        start_proxy,
    },
    program::{Program, built},
    sandbox::Sandbox,
};

/// All that a case needs; it finds it empty, and leaves it so.
#[derive(Debug)]
pub struct Stage {
    pub(super) cluster: Cluster,
    pub(super) control_plane: ControlPlane,
    pub(super) barrier: Barrier,
    addresses: u16,
    _proxy: Program,
}

impl Stage {
    /// Starts everything.
    pub async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        for name in NAMESPACES {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            });
            cluster.objects().apply(&namespace.to_string()).await?;
        }
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control_plane = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control_plane.is_ready().await?;
        let hosts = sandbox.write("hosts", HOSTS)?;
        let proxy = start_proxy(sandbox, &control_plane, |config| {
            with_hosts(sandbox, &hosts, config)
        });
        let proxy = proxy.await?;
        let barrier = Barrier::new(cluster.objects()).await?;
        Ok(Self {
            cluster,
            control_plane,
            barrier,
            addresses: 0,
            _proxy: proxy,
        })
    }

    /// Plays a case, clears away what it made, and sees that nothing of it is left.
    pub async fn play(&mut self, script: &Script) -> anyhow::Result<()> {
        let mut case = Case::new(self);
        let played = case.play(script).await;
        case.clear().await?;
        played?;
        let snapshot = self.control_plane.operator()?.snapshot().await?;
        let hashes = snapshot.hashes();
        let left = hashes
            .keys()
            .filter(|(kind, name)| *kind != "listener" && !is_of_barrier(name));
        let left: Vec<_> = left.collect();
        ensure!(left.is_empty(), "left when all objects were gone: {left:?}");
        Ok(())
    }

    /// All that was written is served everywhere.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        self.barrier.pass(&mut [&mut self.control_plane]).await
    }

    /// An address that no case has had.
    pub(super) fn address(&mut self) -> anyhow::Result<SocketAddr> {
        self.addresses += 1;
        ensure!(
            self.addresses < FIRST_OF_FILES,
            "no address left for a backend"
        );
        let [third, fourth] = self.addresses.to_be_bytes();
        Ok((Ipv4Addr::new(10, 1, third, fourth), 8080).into())
    }
}

/// Starts the proxy with a `hosts` file of its own, because it asks the machine for names.
fn with_hosts(sandbox: &Sandbox, hosts: &Path, config: &Path) -> anyhow::Result<Program> {
    let executable = built::binary("roadstead-data-plane")?;
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$1\" --config \"$2\"";
    let mut arguments = ["--mount", "--", "sh", "-c", script]
        .map(OsString::from)
        .to_vec();
    arguments.extend([hosts, &executable, config].map(OsString::from));
    Program::start(sandbox, "proxy", Path::new("unshare"), arguments)
}

/// Cases make their objects in these, and in `default`.
const NAMESPACES: [&str; 2] = ["one", "two"];

/// Names that cases have in Services of type ExternalName.
const HOSTS: &str = "127.0.0.1 localhost\n\
    10.1.200.1 elsewhere.example\n\
    169.254.169.254 metadata.example\n";

/// Below 10.1.100.0 addresses are given out; files have those above for themselves.
const FIRST_OF_FILES: u16 = 100 << 8;
