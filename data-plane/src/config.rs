//! What an operator can set: one YAML file, and flags that override it.
//!
//! Apart, because here alone files and the environment say how the proxy behaves; everyone
//! else is given values that are valid.

mod address;
mod cli;
mod watch;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as duration;
use serde::{Deserialize, Serialize};

pub use address::Address;
pub use cli::{Cli, Command};
pub use watch::{Change, Watch};

use crate::access_log::LogFormat;
use crate::limits::{LimitError, Limits};
use crate::telemetry::{Log, Otlp};

/// The whole configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Name of this proxy, unique in the installation. If empty: the environment variable
    /// NODE_NAME, else the machine's host name.
    pub proxy: String,
    /// Where versions come from.
    pub control_plane: ControlPlane,
    /// The id of another installation whose versions are to replace those of the one that is
    /// held: after a control plane was reinstalled without its keys. The proxy's log names
    /// both. It is no longer looked at once it is held.
    pub accept_lineage: Option<Arc<str>>,
    /// Folder for what the proxy keeps to be able to start without a control plane. Made if
    /// it does not exist.
    pub state_folder: PathBuf,
    /// Folder that keeps the certificates and private keys that are served by, for a proxy that
    /// starts while no control plane answers. It must be on a tmpfs, such as one below /run, so
    /// that no disk holds a key, and is made if it does not exist. If not set: they are in this
    /// process alone, and HTTPS begins once a control plane has given them.
    pub keys_folder: Option<PathBuf>,
    /// Number of traffic threads. If not set: the number of CPUs that this process may use, at
    /// most 8.
    pub threads: Option<NonZeroUsize>,
    /// The port for probes, metrics and questions about this proxy.
    pub admin: Admin,
    /// One line for each request on standard output: off, text or json.
    pub access_log: LogFormat,
    /// What the proxy says about itself on standard output.
    pub log: Log,
    /// Metrics and traces to an OpenTelemetry collector.
    pub otlp: Otlp,
    /// File of a Unix socket by which this proxy gives its listening sockets to the one that takes
    /// its place on the same machine, and by which it got them from the one before: so an upgrade
    /// closes no port. Its folder should be one that this user alone may write, as /run/roadstead
    /// is; the other proxy must run as the same user. If not set: nothing is handed over.
    pub handover_socket: Option<PathBuf>,
    /// After SIGTERM: how long open requests may take to end.
    #[serde(with = "duration")]
    pub grace_period: Duration,
    /// Limits of clients, upstreams and memory.
    pub limits: Limits,
}

/// Where versions come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ControlPlane {
    /// Addresses of the control plane, tried in turn: https://HOST:PORT, or http://HOST:PORT
    /// for a control plane on this machine's loopback. If empty the proxy serves what it has
    /// kept.
    pub addresses: Vec<Address>,
    /// PEM file with the control plane's own CA. Needed for https addresses.
    pub ca_file: Option<PathBuf>,
    /// File with the token that this proxy proves itself by. Read anew each time. In a cluster:
    /// that of a projected volume (serviceAccountToken) with the control plane's audience.
    pub token_file: Option<PathBuf>,
    /// In a cluster: the folder that keeps this proxy's certificate and key, for streams to be
    /// opened by them; the token then only proves on which node the proxy is, and what it was
    /// last given serves for seven days without it. Made if it does not exist. It should be a
    /// tmpfs, such as /run/roadstead, so that no disk holds the key. If not set: streams are
    /// opened by the token.
    pub certificate_folder: Option<PathBuf>,
    /// The name in the control plane's certificate, if it is not the host of the address.
    pub server_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Admin {
    /// Address and port to listen on. There is no authentication: keep it on loopback, or where
    /// only the node's own agents reach it. A proxy that takes another's place has it as soon as
    /// that one has handed it over.
    pub address: SocketAddr,
    /// File of a Unix socket that answers the same, for probes (`roadstead-data-plane probe`): of
    /// this process alone, also while another takes its place. If not set: there is none.
    pub socket: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}; name a readable file with --config", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {} cannot be used: {message}", path.display())]
    Parse { path: PathBuf, message: String },
    #[error("{0}; set a value in that range, or leave the key out")]
    Limit(#[from] LimitError),
    #[error("{key}: {problem}; {remedy}")]
    Invalid {
        key: &'static str,
        problem: String,
        remedy: &'static str,
    },
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|message| ConfigError::Parse {
            path: path.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        // A file without a single key is a document that is null.
        let config: Option<Self> = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        Ok(config.unwrap_or_default())
    }

    /// Checks limits and what no single key can know, and fills in the proxy's name.
    pub fn finish(mut self) -> Result<Self, ConfigError> {
        self.limits.check()?;
        let last_request = &mut self.limits.client.last_request;
        *last_request = (*last_request).min(self.grace_period / 2);
        let encrypted = self.control_plane.addresses.iter().any(Address::is_https);
        if encrypted && self.control_plane.ca_file.is_none() {
            return Err(ConfigError::Invalid {
                key: "controlPlane.caFile",
                problem: "not set, and an address is https".to_owned(),
                remedy: "name the PEM file with the control plane's CA (--ca-file)",
            });
        }
        let plain = |address: &&Address| !address.is_https();
        if let (Some(_), Some(address)) = (
            &self.control_plane.certificate_folder,
            self.control_plane.addresses.iter().find(plain),
        ) {
            return Err(ConfigError::Invalid {
                key: "controlPlane.certificateFolder",
                problem: format!("set, and {address} is not https"),
                remedy: "name https addresses only, or leave the key out",
            });
        }
        if self.proxy.is_empty() {
            self.proxy = node_name().unwrap_or_default();
        }
        if self.proxy.is_empty() || self.proxy.len() > MAX_PROXY_NAME {
            return Err(ConfigError::Invalid {
                key: "proxy",
                problem: "the machine has no host name of 1 to 253 bytes".to_owned(),
                remedy: "set a name (--proxy)",
            });
        }
        Ok(self)
    }

    /// Number of traffic threads.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(|| {
            let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            cpus.min(MAX_DEFAULT_THREADS)
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proxy: String::new(),
            control_plane: ControlPlane::default(),
            accept_lineage: None,
            state_folder: "/var/lib/roadstead/data-plane".into(),
            keys_folder: None,
            threads: None,
            admin: Admin::default(),
            access_log: LogFormat::default(),
            log: Log::default(),
            otlp: Otlp::default(),
            handover_socket: None,
            // Five seconds less than Kubernetes waits before it kills.
            grace_period: Duration::from_secs(25),
            limits: Limits::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 8082).into(),
            socket: None,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment: the node's name, which a pod is told so"
)]
fn node_name() -> Option<String> {
    let named = std::env::var("NODE_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    named.or_else(|| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(host.trim().to_owned())
    })
}

const MAX_DEFAULT_THREADS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

const MAX_PROXY_NAME: usize = 253;

#[cfg(test)]
mod tests;
