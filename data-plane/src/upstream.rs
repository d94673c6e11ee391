//! Connections to upstreams: made, kept, used again, and what is said on them.
//!
//! Apart from the proxy, which decides where a request goes and what becomes of a failure.

mod connect;
mod h1;
mod permit;
mod pool;
mod pools;
mod raw;
mod socket;

pub use connect::{ConnectError, connect};
pub use h1::{Answer, Connection, ExchangeError};
pub use permit::{Permit, ProcessConnections};
pub use pool::Pool;
pub use pools::{PoolOptions, Pools, Serial, UpstreamPools};
