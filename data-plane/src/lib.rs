//! Roadstead's data plane: a proxy that routes by versioned snapshots.

pub mod active;
pub mod router;
pub mod snapshot;
