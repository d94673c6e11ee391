//! What an operator can set: one YAML file, and flags that override it.
//!
//! Apart, because here alone files and the environment say how the control plane behaves;
//! everyone else is given values that are valid. `config/settings.rs` makes of it what
//! projection depends on.

mod access;
mod acme;
mod beside;
mod certificates;
mod cli;
mod defaults;
mod dns01;
mod guard;
mod ingress_status;
mod lease;
mod listener;
mod settings;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as duration;
use serde::Deserialize;

use crate::model::settings::HostOwnership;
use crate::model::tls_policy::DefaultCertificate;

pub use access::Access;
pub use acme::{Acme, ExternalAccount, OfNamespace};
pub use beside::Beside;
pub use certificates::CertificateFiles;
pub use cli::{Cli, Command};
pub use dns01::{
    Cloudflare, Dns01, Dns01Zone, Rfc2136, Route53, Tsig, TsigAlgorithm, Webhook, address, server,
};
pub use guard::Guard;
pub use ingress_status::{AddressSource, IngressStatus, NodeAddress};
pub use listener::{Listener, Tls};
pub use settings::Live;

/// The whole configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Where objects come from: the Kubernetes API, a folder, or both.
    pub sources: Sources,
    /// Ports that the proxies open, by name. Default: `http` on port 80 and `https` on port
    /// 443 of all addresses. Applied without a restart.
    pub listeners: BTreeMap<Box<str>, Listener>,
    /// Name of the class that is served even where no IngressClass object defines it.
    /// Default: roadstead. Applied without a restart.
    pub ingress_class: Box<str>,
    /// `namespace`: a host belongs to the namespace of its oldest claimant, and others need
    /// its grant. `shared`: any namespace may claim any path. Applied without a restart.
    pub host_ownership: HostOwnership,
    /// Whether unencrypted requests for a host are answered by 308 and the same URL with https, as
    /// soon as there is a certificate for it, where an Ingress has the host in `spec.tls`. Its
    /// annotation `roadstead.dev/redirect-to-https` says otherwise for its own paths. Default: true.
    /// Applied without a restart.
    pub redirect_to_https: bool,
    /// Permits Services of type ExternalName that resolve to loopback, link-local and metadata
    /// addresses. Applied without a restart.
    pub allow_local_external_names: bool,
    /// Whether objects that vanish all at once are held back.
    pub deletion_guard: Guard,
    /// Which controllers Roadstead runs beside.
    pub beside: Beside,
    /// Certificates that are kept in files, by name. Each is shown for the hosts that it has, of
    /// whatever namespace, where no Secret of that namespace has one; none is obtained for these.
    /// Applied without a restart.
    pub certificates: BTreeMap<Box<str>, CertificateFiles>,
    /// The CA that certificates are obtained from. Left out: none is.
    pub acme: Option<Acme>,
    /// Whether anything is written on users' objects: Kubernetes Events, and the statuses of
    /// Ingresses. Beside another controller (`beside`) nothing is, whatever this says.
    pub status_writes: bool,
    /// Which addresses the statuses of Ingresses name.
    pub ingress_status: IngressStatus,
    /// Folder for the event log, and in it `keys` for what must not be lost. Made if it does
    /// not exist.
    pub data_folder: PathBuf,
    /// Where proxies and operators connect.
    pub grpc: Grpc,
    /// Who of them may, in a cluster.
    pub access: Access,
    /// How one of several replicas comes to lead, where the Kubernetes API is a source.
    pub lease: Lease,
    /// The port for probes and metrics.
    pub admin: Admin,
    /// What the control plane says about itself on standard output.
    pub log: Log,
    /// Metrics and traces to an OpenTelemetry collector.
    pub otlp: Otlp,
    /// How much of the past is kept.
    pub history: History,
    /// Least time between a publication and the next, in milliseconds. It begins after a
    /// publication and never delays the first: a lone change waits for nothing, and a storm
    /// is sent as at most 200 deltas a second.
    pub publish_interval_milliseconds: u64,
}

/// Where objects come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Sources {
    /// The Kubernetes API. Left out: it is watched inside a cluster, if no folder is named.
    pub kubernetes: Option<Kubernetes>,
    /// A folder of Kubernetes YAML.
    pub folder: Option<Folder>,
}

impl Sources {
    fn is_folder_alone(&self) -> bool {
        self.folder.is_some() && self.kubernetes.is_none()
    }

    /// Whether none come from anywhere.
    fn reads_no_secrets(&self) -> bool {
        let kubernetes = self.kubernetes.as_ref();
        let off = kubernetes.is_some_and(|kubernetes| kubernetes.secrets == Secrets::Off);
        off && self.folder.is_none()
    }
}

/// The Kubernetes API as a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Kubernetes {
    /// A kubeconfig file. Left out: the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the control plane's own objects: Secrets with what the loss of its
    /// volume must not lose. No other installation may have the same: one whose Lease has
    /// another name does not begin there. Left out: that of the pod's service account, or of the kubeconfig's context.
    pub own_namespace: Option<String>,
    /// Only objects of these namespaces. Empty: all.
    pub namespaces: Vec<String>,
    /// Only Ingresses with these labels, as in `kubectl get -l`.
    pub label_selector: Option<String>,
    /// How Secrets with certificates are read. Only those that Ingresses of ours name are kept.
    pub secrets: Secrets,
    /// How long the API server lets a watch live, in seconds: 5 to 290. A connection that
    /// brings nothing for a sixth longer is given up, so that this bounds how long a change
    /// stays unseen behind a connection that is dead and not closed. Default: 60.
    pub watch_seconds: u32,
}

/// How Secrets with certificates are read from the Kubernetes API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Secrets {
    /// Those of type kubernetes.io/tls are listed and watched in all of the namespaces: a change
    /// is seen at once. Others that an Ingress names are asked for as with `get`.
    #[default]
    Watch,
    /// Each that an Ingress names is asked for by name, at once and then every 30 seconds, at most
    /// ten a second in all: for who may not grant that Secrets are listed.
    Get,
    /// None is read: there are no certificates but those of other sources.
    Off,
}

/// A folder as a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Folder {
    /// Its path. Files in it and below it that end in .yaml, .yml or .json are read.
    pub path: PathBuf,
}

/// Where proxies and operators connect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Grpc {
    /// Where proxies connect, by TLS with the control plane's own CA. Default: 127.0.0.1:8443.
    pub address: SocketAddr,
    /// Names and addresses by which proxies reach it, for its certificate. Default: localhost
    /// and the address.
    pub names: Vec<String>,
    /// Where operators on this machine connect without TLS, with their token; must be a
    /// loopback address. Default: 127.0.0.1:8444. Empty: nowhere.
    pub operators: Option<SocketAddr>,
}

/// The Lease of the Kubernetes API, in our own namespace, whose holder leads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Lease {
    /// Its name. Default: roadstead-control-plane.
    pub name: String,
    /// After this time without being renewed others may take it: whole seconds, 1s to 5m.
    /// Default: 15s.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// After this time without success its holder stops leading; less than the duration, so that
    /// no two lead at once. Default: 10s.
    #[serde(with = "duration")]
    pub renew_within: Duration,
    /// Between two attempts to take or renew it. Default: 2s.
    #[serde(with = "duration")]
    pub retry: Duration,
    /// What this replica is called in it, unique among replicas: the pod's name and UID.
    /// Default: the machine's host name.
    pub identity: Option<String>,
    /// Where proxies and other replicas reach this one while it leads, as https://HOST:PORT with a
    /// host that grpc.names has. Default: https:// and grpc.address.
    pub address: Option<String>,
    /// HOST:PORT of other replicas, or of all, such as a headless Service, with a host that
    /// grpc.names has: before a replica leads it asks them for what it missed. Default: nobody is
    /// asked.
    pub peers: Vec<String>,
}

/// The port for probes and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Admin {
    /// Address and port. There is no authentication: keep it on loopback, or where only the
    /// node's own agents reach it. Default: 127.0.0.1:8445.
    pub address: SocketAddr,
}

/// What the control plane says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Log {
    /// text or json.
    pub format: LogFormat,
    /// error, warn, info, debug or trace; or directives for parts of the program, such as
    /// `info,roadstead_control_plane::watch=debug`. Applied without a restart.
    pub level: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Otlp {
    /// Its gRPC endpoint, for example http://127.0.0.1:4317. Nothing is sent if it is not set.
    pub endpoint: Option<String>,
}

/// How much of the past is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct History {
    /// Records of the event log that are kept at least. Default: 1,000,000.
    pub records: u64,
    /// Records after which a checkpoint is stored. More make a start slower, fewer cost more
    /// writing. Default: 10,000.
    pub checkpoint_after: u64,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "cannot read the configuration {}: {source}; name a readable file with --config",
        path.display()
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {} cannot be used: {message}", path.display())]
    Parse { path: PathBuf, message: String },
    #[error("{key}: {problem}; {remedy}")]
    Invalid {
        key: String,
        problem: String,
        remedy: &'static str,
    },
}

impl Config {
    /// Reads a file, and checks what no single key can know.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let config = Self::parse(&text).map_err(|message| ConfigError::Parse {
            path: path.to_owned(),
            message,
        })?;
        config.check()?;
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // A file without a single key is a document that is null.
        let config: Option<Self> = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        Ok(config.unwrap_or_default())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: &str, remedy| {
            Err(ConfigError::Invalid {
                key: key.to_owned(),
                problem: problem.to_owned(),
                remedy,
            })
        };
        listener::check(&self.listeners)?;
        certificates::check(&self.certificates)?;
        for (name, listener) in &self.listeners {
            let key = || format!("listeners.{name}.tls.defaultCertificate");
            match listener.tls.default_certificate() {
                Some(DefaultCertificate::Secret { .. }) if self.sources.reads_no_secrets() => {
                    let remedy = "set sources.kubernetes.secrets to watch or get, or leave it out";
                    return invalid(&key(), "no Secrets are read", remedy);
                }
                Some(DefaultCertificate::Files(name)) if !self.certificates.contains_key(&name) => {
                    let problem = format!("certificates has none of the name {name:?}");
                    let remedy = "add it there, or name a Secret as NAMESPACE/NAME";
                    return invalid(&key(), &problem, remedy);
                }
                Some(DefaultCertificate::Secret { .. } | DefaultCertificate::Files(_)) | None => {}
            }
        }
        if let Some(kubernetes) = &self.sources.kubernetes
            && !WATCH_SECONDS.contains(&kubernetes.watch_seconds)
        {
            let problem = format!("{} is too short or too long", kubernetes.watch_seconds);
            let key = "sources.kubernetes.watchSeconds";
            return invalid(key, &problem, "use 5 to 290");
        }
        if let Some(operators) = self.grpc.operators
            && !operators.ip().is_loopback()
        {
            let problem = format!("{operators} is not a loopback address");
            return invalid(
                "grpc.operators",
                &problem,
                "this port has no TLS: use 127.0.0.1, or connect to grpc.address",
            );
        }
        self.access.check()?;
        self.deletion_guard.check()?;
        self.ingress_status.check()?;
        self.beside.check()?;
        if let Some(acme) = &self.acme {
            acme.check()?;
            if acme.proxy_pods.is_some() && self.sources.is_folder_alone() {
                let problem = "the Kubernetes API is no source";
                return invalid(
                    "acme.proxyPods",
                    problem,
                    "set sources.kubernetes, or leave it out",
                );
            }
        }
        if self.beside.is_set() && self.ingress_status.source().is_some() {
            return invalid(
                "ingressStatus",
                "nothing is written beside another controller, and beside.controllers names one",
                "take out ingressStatus, or on the day of the cut-over beside.controllers",
            );
        }
        self.lease.check()?;
        if self.history.checkpoint_after == 0 {
            return invalid("history.checkpointAfter", "must not be 0", "use 10000");
        }
        Ok(())
    }
}

/// Less, and a slow list counts as silence; more, and kube refuses it.
const WATCH_SECONDS: RangeInclusive<u32> = 5..=290;
