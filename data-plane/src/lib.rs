//! Roadstead's data plane: a proxy that routes by versioned snapshots.

pub mod access_log;
pub mod active;
pub mod alarm;
pub mod balance;
pub mod clock;
pub mod drain;
pub mod filter;
pub mod front;
pub mod h1;
pub mod limits;
pub mod listen;
pub mod message;
pub mod metrics;
pub mod proxy;
pub mod reason;
pub mod resolve;
pub mod router;
pub mod snapshot;
pub mod tasks;
pub mod thread;
pub mod upstream;
pub mod worker;
