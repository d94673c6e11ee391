//! Our programs on a cluster: control planes that watch it, and their proxies.
//!
//! Here it is decided who reads which file and what listens where, so that a test says only what
//! it is about. Each control plane of a sandbox has a loopback address of its own, so that a
//! second one can be compared with the first.

pub mod accounts;
pub mod barrier;
pub mod guarded;
pub mod newer;
pub mod replicas;
pub mod rights;
pub mod wired;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    http,
    installation::rights::Account,
    operator::Operator,
    program::{Program, built},
    sandbox::Sandbox,
};

/// Where proxies listen for traffic.
pub const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

/// Far above what anything takes that is waited for.
pub const SOON: Duration = Duration::from_secs(30);

/// A control plane, running or killed.
#[derive(Debug)]
pub struct ControlPlane {
    program: Program,
    name: String,
    address: Ipv4Addr,
    folder: PathBuf,
    settings: Value,
}

impl ControlPlane {
    /// Starts one that watches what `kubernetes` says (`sources.kubernetes` of its
    /// configuration). Among those of a sandbox name and number are unique.
    pub fn start(
        sandbox: &Sandbox,
        name: &str,
        number: u8,
        kubernetes: &Value,
    ) -> anyhow::Result<Self> {
        let sources = json!({"kubernetes": kubernetes});
        Self::start_on(sandbox, name, number, &sources)
    }

    /// The same for any sources (`sources` of its configuration).
    pub fn start_on(
        sandbox: &Sandbox,
        name: &str,
        number: u8,
        sources: &Value,
    ) -> anyhow::Result<Self> {
        Self::start_by(sandbox, name, number, sources, &json!({}), |config| {
            let executable = built::binary("roadstead-control-plane")?;
            let arguments = ["--config".into(), config.to_owned().into_os_string()];
            Program::start(sandbox, name, &executable, arguments)
        })
    }

    /// The same with these keys more, by a command that is given the configuration's file.
    pub fn start_by(
        sandbox: &Sandbox,
        name: &str,
        number: u8,
        sources: &Value,
        keys: &Value,
        start: impl FnOnce(&Path) -> anyhow::Result<Program>,
    ) -> anyhow::Result<Self> {
        let address = Ipv4Addr::new(127, 0, 1, number);
        let folder = sandbox.folder().to_owned();
        let mut settings = json!({
            "dataFolder": folder.join(name),
            "sources": sources,
            "listeners": {"http": {"address": HTTP.ip(), "port": HTTP.port()}},
            "grpc": {"address": at(address, GRPC), "operators": at(address, OPERATORS)},
            "admin": {"address": at(address, ADMIN)},
            // Those who connect to it are outside of the cluster.
            "access": {"fileTokens": true},
        });
        if let (Some(settings), Some(keys)) = (settings.as_object_mut(), keys.as_object()) {
            settings.extend(keys.clone());
        }
        let config = sandbox.write(&format!("{name}.yaml"), &settings.to_string())?;
        let program = start(&config)?;
        Ok(Self {
            program,
            name: name.to_owned(),
            address,
            folder,
            settings,
        })
    }

    /// Waits until it serves what the cluster holds.
    pub async fn is_ready(&mut self) -> anyhow::Result<()> {
        let admin = self.admin();
        is_ready(&mut self.program, admin).await
    }

    /// Waits until it serves something, be it what its log holds.
    pub async fn serves_what_it_has(&mut self) -> anyhow::Result<()> {
        let operator = self.operator()?;
        self.program
            .until("it serves what it has", SOON, async || {
                operator.snapshot().await.ok().map(drop)
            })
            .await
    }

    /// Edits its configuration: these keys are now so, the others as at the start.
    pub fn configure(&self, keys: &Value) -> anyhow::Result<()> {
        let mut settings = self.settings.clone();
        if let (Some(settings), Some(keys)) = (settings.as_object_mut(), keys.as_object()) {
            settings.extend(keys.clone());
        }
        let draft = self.folder.join(format!("{}.draft", self.name));
        fs::write(&draft, settings.to_string()).context("write a configuration")?;
        fs::rename(&draft, draft.with_extension("yaml")).context("replace the configuration")
    }

    /// Someone who may ask it everything.
    pub fn operator(&self) -> anyhow::Result<Operator> {
        let token = self.keys().join("operator.token");
        let token = fs::read_to_string(&token).context("read the operator's token")?;
        Operator::new(at(self.address, OPERATORS), token.trim())
    }

    /// Someone who has this token.
    pub fn operator_by(&self, token: &str) -> anyhow::Result<Operator> {
        Operator::new(at(self.address, OPERATORS), token)
    }

    /// Where proxies connect.
    pub fn grpc(&self) -> SocketAddr {
        at(self.address, GRPC)
    }

    /// The sum of a metric's series whose labels hold all of these texts.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let text = http::get(self.admin(), "localhost", "/metrics")
            .await?
            .text();
        let series = text.lines().filter(|line| line.starts_with(name));
        let wanted = series.filter(|line| labels.iter().all(|label| line.contains(label)));
        let values = wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// A folder or a file of its data, or all of it, is gone: `log`, `keys`, or nothing for
    /// everything. It must have ended.
    pub fn lose(&self, folder: &str) -> anyhow::Result<()> {
        let lost = self.folder.join(&self.name).join(folder);
        let removed = if lost.is_file() {
            fs::remove_file(&lost)
        } else {
            fs::remove_dir_all(&lost)
        };
        removed.with_context(|| format!("remove {}", lost.display()))
    }

    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// What its proxy serves by, as that says itself.
    pub async fn held_by_proxy(&self) -> anyhow::Result<Value> {
        let admin = at(self.address, PROXY_ADMIN);
        let reply = http::get(admin, "localhost", "/snapshot").await?;
        serde_json::from_slice(&reply.body).context("the proxy's answer")
    }

    /// Where proxies and other replicas reach it.
    pub fn address(&self) -> SocketAddr {
        at(self.address, GRPC)
    }

    fn keys(&self) -> PathBuf {
        self.folder.join(&self.name).join("keys")
    }

    /// Where it is asked how it is.
    pub fn admin(&self) -> SocketAddr {
        at(self.address, ADMIN)
    }
}

/// What lets an account lead, and no more; with the Secret of its installation, which it may not
/// make.
pub fn right_to_lead(account: Account<'_>) -> String {
    let name = format!("{}-leads", account.name);
    let secret = "{apiGroups: [''], resources: [secrets], resourceNames: [roadstead-installation], \
                  verbs: [get, update]}";
    let installation = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "roadstead.dev/installation",
        "metadata": {"name": "roadstead-installation", "namespace": account.namespace},
        "stringData": {"lineage": "test"},
    });
    rights::join(&[
        account.may(&name, [rights::CLUSTER]),
        account.may_at_home(&name, [rights::LEASES, secret]),
        installation.to_string(),
    ])
}

/// Starts the one proxy of a sandbox, by a command that is given its executable and its
/// configuration, and waits until it is ready.
pub async fn start_proxy(
    sandbox: &Sandbox,
    control_plane: &ControlPlane,
    start: impl FnOnce(&Path) -> anyhow::Result<Program>,
) -> anyhow::Result<Program> {
    let keys = control_plane.keys();
    let admin = at(control_plane.address, PROXY_ADMIN);
    let config = json!({
        "proxy": "proxy",
        "controlPlane": {
            "addresses": [format!("https://{}", at(control_plane.address, GRPC))],
            "caFile": keys.join("ca.pem"),
            "tokenFile": keys.join("proxy.token"),
        },
        "stateFolder": sandbox.folder().join("proxy"),
        "threads": 2,
        "admin": {"address": admin},
    });
    let config = sandbox.write("proxy.yaml", &config.to_string())?;
    let mut program = start(&config)?;
    is_ready(&mut program, admin).await?;
    Ok(program)
}

async fn is_ready(program: &mut Program, admin: SocketAddr) -> anyhow::Result<()> {
    program
        .until("it is ready", SOON, async || {
            let reply = http::get(admin, "localhost", "/readyz").await.ok()?;
            reply.status.is_success().then_some(())
        })
        .await
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    (address, port).into()
}

const GRPC: u16 = 8443;
const OPERATORS: u16 = 8444;
const ADMIN: u16 = 8445;
const PROXY_ADMIN: u16 = 8446;
