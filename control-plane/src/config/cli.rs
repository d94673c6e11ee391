//! The command line: what to do, the configuration's file, and flags that override it.
//!
//! Apart from the file's keys, because only what a trial needs is worth a flag.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Folder};

/// Kubernetes objects become versioned snapshots for proxies.
#[derive(Debug, Parser)]
#[command(name = "roadstead-control-plane", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration, a YAML file. Flags win over its keys.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// A folder of Kubernetes YAML to serve (key sources.folder.path).
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Where the event log and the keys lie (key dataFolder).
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data_folder: Option<PathBuf>,
    /// Where proxies connect (key grpc.address).
    #[arg(long, value_name = "ADDRESS")]
    pub grpc: Option<SocketAddr>,
    /// Where operators on this machine connect (key grpc.operators).
    #[arg(long, value_name = "ADDRESS")]
    pub operators: Option<SocketAddr>,
    /// What this replica is called in the Lease (key lease.identity).
    #[arg(long, value_name = "NAME")]
    pub lease_identity: Option<String>,
    /// Where others reach this replica (key lease.address).
    #[arg(long, value_name = "URL")]
    pub lease_address: Option<String>,
    /// Address of the admin port (key admin.address).
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// error, warn, info, debug or trace (key log.level).
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the control plane (the default).
    #[default]
    Run,
    /// Write the event log to standard output, a JSON object a line. Not while it runs.
    Export,
}

impl Cli {
    /// The configuration that the file and the flags make.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        self.override_keys(&mut config);
        config.check()?;
        Ok(config)
    }

    fn override_keys(&self, config: &mut Config) {
        if let Some(path) = &self.folder {
            config.sources.folder = Some(Folder { path: path.clone() });
        }
        if let Some(folder) = &self.data_folder {
            config.data_folder.clone_from(folder);
        }
        if let Some(address) = self.grpc {
            config.grpc.address = address;
        }
        if let Some(address) = self.operators {
            config.grpc.operators = Some(address);
        }
        if let Some(identity) = &self.lease_identity {
            config.lease.identity = Some(identity.clone());
        }
        if let Some(address) = &self.lease_address {
            config.lease.address = Some(address.clone());
        }
        if let Some(address) = self.admin {
            config.admin.address = address;
        }
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
        }
    }
}
