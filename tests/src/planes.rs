//! Both planes as a user starts them on a folder of Kubernetes YAML: what their tests share.
//!
//! Here it is decided who reads which file and what listens where, so that a test says only what
//! it is about. The sandbox has every port free; so these are fixed, and the listener `http`
//! stands at [`HTTP`] unless a test says otherwise.

pub mod certificates;
pub mod collector;
pub mod load;
pub mod objects;
pub mod obtained;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Error, bail};
use roadstead_data_plane::config;

use crate::{
    echo::Seen,
    http::{self, Reply},
    operator::Operator,
    program::{Program, built},
    sandbox::Sandbox,
    wait,
};

/// Where proxies listen for traffic.
pub const HTTP: SocketAddr = local(8080);
/// And for traffic by TLS, where a test has that.
pub const HTTPS: SocketAddr = local(8081);
/// Where the control plane listens: for proxies, for operators, and its admin port.
pub const GRPC: SocketAddr = local(8443);
pub const OPERATORS: SocketAddr = local(8444);
pub const CONTROL_ADMIN: SocketAddr = local(8445);

/// The one listener that most tests need.
pub const ONE_LISTENER: &str = "listeners: {http: {address: 127.0.0.1, port: 8080}}";

/// That one, and one for HTTPS.
pub const TWO_LISTENERS: &str = "listeners: {http: {address: 127.0.0.1, port: 8080}, \
     https: {address: 127.0.0.1, port: 8081, protocol: https}}";

/// Far above what anything takes that is waited for here.
pub const SOON: Duration = Duration::from_secs(20);

/// A control plane on the sandbox's folder `objects`.
#[derive(Debug)]
pub struct ControlPlane {
    program: Program,
    config: PathBuf,
    data: PathBuf,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts one that has these settings beside those that every test wants, and waits until
    /// it is ready.
    pub async fn start(sandbox: &Sandbox, settings: &str) -> anyhow::Result<Self> {
        let executable = built::binary(BINARY)?;
        Self::start_by(sandbox, settings, |config| {
            Program::start(
                sandbox,
                "control-plane",
                &executable,
                ["--config".into(), config.to_owned().into_os_string()],
            )
        })
        .await
    }

    /// The same, by a command of the test's own that is given the configuration's file.
    pub async fn start_by(
        sandbox: &Sandbox,
        settings: &str,
        start: impl FnOnce(&Path) -> anyhow::Result<Program>,
    ) -> anyhow::Result<Self> {
        let folder = sandbox.folder().to_owned();
        fs::create_dir_all(folder.join("objects"))?;
        let config = folder.join("control-plane.yaml");
        configure(&config, &folder, settings)?;
        let mut control = Self {
            program: start(&config)?,
            config,
            data: data_folder(&folder),
            folder,
        };
        control.is_ready().await?;
        Ok(control)
    }

    /// Edits the settings, as an editor does: the file is replaced.
    pub fn configure(&self, settings: &str) -> anyhow::Result<()> {
        configure(&self.config, &self.folder, settings)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.program.kill()
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.program.stop(SOON).await
    }

    /// Starts it again after it ended.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.program.start_again()?;
        self.is_ready().await
    }

    /// A folder of its data, or all of it, is gone: `log`, `keys`, or nothing for everything.
    /// It must have ended.
    pub fn lose(&self, folder: &str) -> anyhow::Result<()> {
        let lost = self.data.join(folder);
        fs::remove_dir_all(&lost).with_context(|| format!("remove {}", lost.display()))
    }

    /// An operator on this machine, with the token that the control plane made.
    pub fn operator(&self) -> anyhow::Result<Operator> {
        let token = self.data.join("keys/operator.token");
        let token =
            fs::read_to_string(&token).with_context(|| format!("read {}", token.display()))?;
        Operator::new(OPERATORS, token.trim())
    }

    /// How a proxy of this process's own reaches it.
    pub fn way(&self) -> anyhow::Result<config::ControlPlane> {
        Ok(config::ControlPlane {
            addresses: vec![format!("https://{GRPC}").parse().map_err(Error::msg)?],
            ca_file: Some(self.data.join("keys/ca.pem")),
            token_file: Some(self.data.join("keys/proxy.token")),
            ..config::ControlPlane::default()
        })
    }

    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        is_ready(&mut self.program, CONTROL_ADMIN).await
    }
}

/// A proxy of that control plane.
#[derive(Debug)]
pub struct Proxy {
    program: Program,
    admin: SocketAddr,
}

impl Proxy {
    /// Starts one that has these settings beside those that every test wants, and waits until
    /// it is ready. Several need different names and admin ports.
    pub async fn start(
        sandbox: &Sandbox,
        name: &str,
        admin_port: u16,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let mut proxy = Self::begin(sandbox, name, admin_port, settings)?;
        proxy.is_ready().await?;
        Ok(proxy)
    }

    /// The same without waiting.
    pub fn begin(
        sandbox: &Sandbox,
        name: &str,
        admin_port: u16,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let executable = built::binary(PROXY_BINARY)?;
        Self::begin_by(sandbox, name, admin_port, settings, |config| {
            Program::start(
                sandbox,
                name,
                &executable,
                ["--config".into(), config.to_owned().into_os_string()],
            )
        })
    }

    /// The same, by a command of the test's own that is given the configuration's file.
    pub fn begin_by(
        sandbox: &Sandbox,
        name: &str,
        admin_port: u16,
        settings: &str,
        start: impl FnOnce(&Path) -> anyhow::Result<Program>,
    ) -> anyhow::Result<Self> {
        let admin = local(admin_port);
        let folder = sandbox.folder().display();
        let config = format!(
            "proxy: {name}\n\
             controlPlane:\n\
             \x20 addresses: [\"https://{GRPC}\"]\n\
             \x20 caFile: {folder}/control-plane/keys/ca.pem\n\
             \x20 tokenFile: {folder}/control-plane/keys/proxy.token\n\
             stateFolder: {folder}/{name}\n\
             threads: 2\n\
             admin: {{address: \"{admin}\"}}\n\
             {settings}\n"
        );
        let file = sandbox.write(&format!("{name}.yaml"), &config)?;
        let program = start(&file)?;
        Ok(Self { program, admin })
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.program.stop(SOON).await
    }

    /// Starts it again after it ended.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.program.start_again()?;
        self.is_ready().await
    }

    /// Its admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Waits until it is ready.
    pub async fn is_ready(&mut self) -> anyhow::Result<()> {
        is_ready(&mut self.program, self.admin).await
    }
}

/// Waits until a backend of this name answers.
pub async fn answers(
    address: SocketAddr,
    host: &str,
    path: &str,
    who: &str,
) -> anyhow::Result<Seen> {
    let what = format!("{who} answers {host}{path} at {address}");
    wait::until_ok(&what, SOON, async || {
        let reply = http::get(address, host, path).await?;
        let seen = Seen::from_reply(&reply)?;
        if seen.who != who {
            bail!("{} answered", seen.who);
        }
        Ok(seen)
    })
    .await
}

/// Waits until the proxy itself answers, for this reason.
pub async fn refuses(
    address: SocketAddr,
    host: &str,
    path: &str,
    reason: &str,
) -> anyhow::Result<Reply> {
    let what = format!("{host}{path} is answered with the reason {reason}");
    wait::until_ok(&what, SOON, async || {
        let reply = http::get(address, host, path).await?;
        if reply.header("x-roadstead-reason") != reason {
            bail!("{} {}", reply.status, reply.text());
        }
        Ok(reply)
    })
    .await
}

/// The value of a metric on an admin port, by its name and labels as Prometheus writes them;
/// `None` while there is no such line.
pub async fn metric(admin: SocketAddr, series: &str) -> anyhow::Result<Option<f64>> {
    let text = http::get(admin, "localhost", "/metrics").await?.text();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = value.map(str::parse).transpose();
    value.with_context(|| format!("the value of {series}"))
}

/// Waits until a metric has this value.
pub async fn metric_is(admin: SocketAddr, series: &str, value: f64) -> anyhow::Result<()> {
    let what = format!("{series} is {value} at {admin}");
    wait::until_ok(&what, SOON, async || match metric(admin, series).await? {
        Some(found) if found == value => Ok(()),
        found => bail!("it is {found:?}"),
    })
    .await
}

async fn is_ready(program: &mut Program, admin: SocketAddr) -> anyhow::Result<()> {
    program
        .until("it is ready", SOON, async || {
            let reply = http::get(admin, "localhost", "/readyz").await.ok()?;
            reply.status.is_success().then_some(())
        })
        .await
}

fn configure(file: &Path, folder: &Path, settings: &str) -> anyhow::Result<()> {
    let text = format!(
        "sources: {{folder: {{path: {}}}}}\n\
         dataFolder: {}\n\
         grpc: {{address: \"{GRPC}\", operators: \"{OPERATORS}\"}}\n\
         admin: {{address: \"{CONTROL_ADMIN}\"}}\n\
         {settings}\n",
        folder.join("objects").display(),
        data_folder(folder).display(),
    );
    let draft = file.with_extension("draft");
    fs::write(&draft, text).with_context(|| format!("write {}", draft.display()))?;
    fs::rename(&draft, file).with_context(|| format!("replace {}", file.display()))
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("control-plane")
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const BINARY: &str = "roadstead-control-plane";

const PROXY_BINARY: &str = "roadstead-data-plane";
