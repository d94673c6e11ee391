//! Roadstead's control plane, as a library so that tests and tools run what the binary runs.
//!
//! The one way round: a source sees something (`Observation`), `observe` compares it with
//! `State` and finds facts (`Event`), the log makes them durable (`Record`), `State::apply`
//! takes them in and says what it touched, `project` makes of that a changed `Snapshot`,
//! and streams carry it to the proxies. Modules are listed in that order of rank.

pub mod model;

pub mod event;
pub mod snapshot;
pub mod versions;

pub mod presence;
pub mod state;

pub mod replication;

pub mod checkpoint;
pub mod observe;
pub mod plan;
pub mod project;

pub mod acme;
pub mod admin;
mod backoff;
pub mod certificate_files;
pub mod clock;
pub mod config;
pub mod event_log;
pub mod folder;
pub mod follow;
pub mod health;
pub mod history;
pub mod identity;
pub mod installation;
pub mod keys;
pub mod lease;
pub mod metrics;
pub mod pki;
mod private_file;
pub mod publish;
pub mod recovery;
pub mod review;
pub mod serve;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod tickets;
pub mod tokens;
pub mod watch;

pub mod engine;

pub mod app;
