//! A real Kubernetes control plane for one test: `tests/cluster`, built and started.
//!
//! The harness knows how it is built, what its state folder holds and how its parts are frozen and
//! killed; a test sees objects ([`objects`]) and components ([`component`]). One runs in each
//! sandbox, at a fixed address; a kubeconfig works for whatever is started in that sandbox.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::time::Instant;

use crate::program::{Program, built};
use crate::sandbox::{NODE_ADDRESS, Sandbox};

mod component;
mod etcd;
mod objects;

pub use component::Component;
pub use objects::Objects;

/// What to start; the default is the API server with its controllers and one stand-in node.
#[derive(Clone, Debug)]
pub struct Options {
    /// kube-controller-manager: it makes EndpointSlices, default ServiceAccounts, collects garbage.
    pub controllers: bool,
    /// Stand-in nodes, whose pods are addresses that the sandbox answers for; none without.
    pub nodes: u32,
    /// The real scheduler, instead of the stand-in's own placing.
    pub scheduler: bool,
    /// The nodes are real ones ([`Nodes`](crate::deploy::nodes::Nodes)) and no stand-ins.
    pub kubelets: bool,
    /// More flags of kube-apiserver.
    pub api_server: Vec<String>,
}

impl Options {
    /// The API server alone: nobody but the test makes or changes an object.
    pub fn bare() -> Self {
        Self {
            controllers: false,
            nodes: 0,
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controllers: true,
            nodes: 1,
            scheduler: false,
            kubelets: false,
            api_server: Vec::new(),
        }
    }
}

/// A running cluster; it ends when it is dropped.
pub struct Cluster {
    binary: PathBuf,
    client: Client,
    program: Program,
    started_in: Duration,
    state: PathBuf,
}

impl Cluster {
    /// Starts a cluster and waits until it does what a first test needs.
    pub async fn start(sandbox: &Sandbox, options: &Options) -> anyhow::Result<Self> {
        let binary = fixture()?;
        let state = sandbox.folder().join("cluster");
        // What the components log is shown with the rest when the test fails.
        fs::create_dir_all(&state)?;
        std::os::unix::fs::symlink(sandbox.logs(), state.join("logs"))?;
        let mut arguments = vec![
            "up".to_owned(),
            format!("--state={}", state.display()),
            format!("--addr={NODE_ADDRESS}"),
            format!("--kcm={}", options.controllers),
            format!("--podlet={}", options.nodes > 0),
            format!("--kubelets={}", options.kubelets),
            format!("--nodes={}", options.nodes),
            format!("--scheduler={}", options.scheduler),
        ];
        arguments.extend(
            options
                .api_server
                .iter()
                .map(|flag| format!("--apiserver-arg={flag}")),
        );

        let begun = Instant::now();
        let mut program = Program::start(sandbox, "cluster", &binary, arguments)?;
        let ready = state.join("ready.json");
        program
            .until("a usable control plane", START_LIMIT, async || {
                ready.exists().then_some(())
            })
            .await?;
        let started_in = begun.elapsed();
        let client = client_of(&state.join(ADMIN)).await?;
        Ok(Self {
            binary,
            client,
            program,
            started_in,
            state,
        })
    }

    /// The folder of all that it keeps.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// How long the start took.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join(ADMIN)
    }

    /// The kubeconfig of a service account, which must exist: its holder has that account's rights.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> anyhow::Result<PathBuf> {
        let file = self.state.join(format!("{namespace}.{account}.kubeconfig"));
        let status = Command::new(&self.binary)
            .arg("kubeconfig")
            .arg(format!("--state={}", self.state.display()))
            .arg(format!("--sa={namespace}/{account}"))
            .arg(format!("--out={}", file.display()))
            .status()
            .context("start the fixture")?;
        if !status.success() {
            bail!("no kubeconfig for {namespace}/{account} ({status})");
        }
        Ok(file)
    }

    /// Where the API server listens, in every sandbox.
    pub fn address() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 6443))
    }

    /// An administrator's client, for typed access.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The same, which asks once: what is refused for now is an error at once.
    pub async fn client_that_asks_once(&self) -> anyhow::Result<Client> {
        let mut config = config_of(&self.kubeconfig()).await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// Objects as YAML.
    pub fn objects(&self) -> Objects {
        Objects::new(self.client())
    }

    /// The API server, apart from the rest.
    pub fn api_server(&self) -> Component {
        self.component("kube-apiserver")
    }

    /// Another part: `etcd`, `kube-controller-manager`, `kube-scheduler` or `podlet`.
    pub fn component(&self, name: &str) -> Component {
        Component::new(&self.state.join("run"), name, self.client())
    }

    /// Has etcd forget all versions before now. An API server that is up may know them still.
    pub async fn compact(&self) -> anyhow::Result<()> {
        etcd::compact().await
    }

    /// Copies all that etcd holds, as a backup would.
    pub async fn back_up(&self) -> anyhow::Result<Backup> {
        let backup = Backup(self.state.join("backup"));
        self.while_down(&["etcd"], || copy(&self.etcd(), &backup.0))
            .await?;
        Ok(backup)
    }

    /// Everything is as it was when it was copied.
    pub async fn restore(&self, backup: &Backup) -> anyhow::Result<()> {
        self.while_down(&["kube-apiserver", "etcd"], || {
            fs::remove_dir_all(self.etcd())?;
            copy(&backup.0, &self.etcd())
        })
        .await
    }

    fn etcd(&self) -> PathBuf {
        self.state.join("etcd")
    }

    /// Does something while these parts are down, and waits until the API server serves again.
    async fn while_down(
        &self,
        parts: &[&str],
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let parts: Vec<_> = parts.iter().map(|name| self.component(name)).collect();
        for part in &parts {
            part.hold_down()?;
            part.has_ended().await?;
        }
        act()?;
        for part in parts.iter().rev() {
            part.release()?;
        }
        self.api_server().serves().await
    }

    /// Stops all of it in order, as an administrator would; a drop is quicker and loses nothing.
    pub async fn stop(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let status = self.program.stop(STOP_LIMIT).await?;
        if !status.success() {
            bail!("the cluster ended badly ({status})");
        }
        Ok(begun.elapsed())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What etcd held at some time.
#[derive(Debug)]
pub struct Backup(PathBuf);

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    crate::deploy::ran(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
}

/// A copy of a kubeconfig that reaches the API server by another address, such as that of a
/// [`Relay`](crate::relay::Relay) on 127.0.0.1 (the certificate holds for it).
pub fn kubeconfig_via(kubeconfig: &Path, by: SocketAddr) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(kubeconfig)?;
    let server = format!("https://{}", Cluster::address());
    if !text.contains(&server) {
        bail!("{} does not name {server}", kubeconfig.display());
    }
    let file = kubeconfig.with_extension(format!("via-{}.kubeconfig", by.port()));
    fs::write(&file, text.replace(&server, &format!("https://{by}")))?;
    Ok(file)
}

/// A client for a kubeconfig, as our programs make theirs.
pub async fn client_of(kubeconfig: &Path) -> anyhow::Result<Client> {
    Ok(Client::try_from(config_of(kubeconfig).await?)?)
}

async fn config_of(kubeconfig: &Path) -> anyhow::Result<Config> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    Ok(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)
}

/// The fixture's binary, built if it is not in the user's cache yet.
fn fixture() -> anyhow::Result<PathBuf> {
    let output = Command::new(built::workspace().join("tests/cluster/build"))
        .stderr(Stdio::inherit())
        .output()
        .context("start tests/cluster/build")?;
    if !output.status.success() {
        bail!("the Kubernetes fixture does not build");
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

const ADMIN: &str = "admin.kubeconfig";

/// It takes 4 s on two idle cores.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);
