//! The command line: the configuration's file, and flags that override it.
//!
//! Apart from the file's keys, because only what a trial needs is worth a flag.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use clap::{Parser, Subcommand};
use serde::de::{IntoDeserializer, value::Error};

use super::{Address, Config, ConfigError};
use crate::access_log::LogFormat;
use crate::telemetry::Level;

/// A proxy that routes by versioned snapshots.
#[derive(Clone, Debug, Parser)]
#[command(name = "roadstead-data-plane", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration, a YAML file. Flags win over its keys.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this proxy (key proxy).
    #[arg(long, value_name = "NAME")]
    pub proxy: Option<String>,
    /// Address of the control plane, may be repeated (key controlPlane.addresses).
    #[arg(long, value_name = "URL")]
    pub control_plane: Vec<Address>,
    /// The control plane's CA, a PEM file (key controlPlane.caFile).
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The token that this proxy proves itself by (key controlPlane.tokenFile).
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where the proxy keeps what it needs to start alone (key stateFolder).
    #[arg(long, value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,
    /// Number of traffic threads (key threads).
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Address of the admin port (key admin.address).
    #[arg(long, value_name = "ADDRESS", value_parser = listened)]
    pub admin: Option<SocketAddr>,
    /// off, text or json (key accessLog).
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    pub access_log: Option<LogFormat>,
    /// error, warn, info, debug or trace (key log.level).
    #[arg(long, value_name = "LEVEL", value_parser = |text: &str| Level::try_from(text.to_owned()))]
    pub log_level: Option<Level>,
}

/// What to do instead of running the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Make folders for a proxy that runs as another user, and end: as root, before it, on a
    /// node whose folders are root's.
    Prepare {
        /// The user and group that they are to belong to, alone.
        #[arg(long, value_name = "UID")]
        owner: u32,
        /// The folders.
        #[arg(required = true, value_name = "FOLDER")]
        folders: Vec<PathBuf>,
    },
    /// Ask a running proxy how it is, and end: with status 0 if it is well, else with what it said.
    Probe {
        /// The file of its admin.socket.
        socket: PathBuf,
        /// livez or readyz.
        about: String,
    },
}

impl Cli {
    /// The configuration that the file and the flags make.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        self.override_keys(&mut config);
        config.finish()
    }

    fn override_keys(&self, config: &mut Config) {
        // In full, so that a new flag cannot be forgotten.
        let Self {
            command: _,
            config: _,
            proxy,
            control_plane,
            ca_file,
            token_file,
            state_folder,
            threads,
            admin,
            access_log,
            log_level,
        } = self;
        set(&mut config.proxy, proxy);
        if !control_plane.is_empty() {
            config.control_plane.addresses.clone_from(control_plane);
        }
        set_some(&mut config.control_plane.ca_file, ca_file);
        set_some(&mut config.control_plane.token_file, token_file);
        set(&mut config.state_folder, state_folder);
        set_some(&mut config.threads, threads);
        set(&mut config.admin.address, admin);
        set(&mut config.access_log, access_log);
        set(&mut config.log.level, log_level);
    }
}

#[expect(clippy::ref_option, reason = "a flag, as it stands in the struct")]
fn set<T: Clone>(key: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        key.clone_from(value);
    }
}

#[expect(clippy::ref_option, reason = "a flag, as it stands in the struct")]
fn set_some<T: Clone>(key: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        key.clone_from(flag);
    }
}

/// As in the file; or an IPv6 address without brackets before the port, as a pod is told its own.
fn listened(text: &str) -> Result<SocketAddr, String> {
    let bare = || {
        let (ip, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    };
    let address = text.parse().ok().or_else(bare);
    address.ok_or_else(|| "write IP:PORT".to_owned())
}

/// As in the file.
fn log_format(text: &str) -> Result<LogFormat, Error> {
    serde::Deserialize::deserialize(text.into_deserializer())
}
