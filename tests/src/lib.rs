//! Both planes together against real parts: what their tests share.
//!
//! A test runs in a [`sandbox`], with a network and a folder of its own, and starts there what it
//! needs: a Kubernetes API server ([`cluster`]), our binaries ([`program`], and both planes wired
//! by [`planes`]), backends that say who they are ([`echo`]), a thousand proxies ([`swarm`]), a wire
//! that can be cut ([`relay`]), a CA ([`pebble`]), a DNS that is updated ([`bind`]) or told
//! ([`dns_api`]). It asks by [`http`] and waits for conditions by [`wait`], never for a
//! while. [`tidy`] reads the sources themselves, [`deploy`] what is installed.

pub mod bind;
pub mod campaign;
pub mod cluster;
pub mod deploy;
pub mod dns_api;
pub mod echo;
pub mod event_log;
pub mod history;
pub mod http;
pub mod installation;
pub mod operator;
pub mod pebble;
pub mod planes;
pub mod program;
pub mod relay;
pub mod sandbox;
pub mod script;
pub mod small_disk;
pub mod swarm;
pub mod tidy;
pub mod wait;
