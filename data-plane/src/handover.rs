//! Listening sockets pass from a proxy to the one that takes its place on the same machine, so
//! that no client ever finds a closed port.
//!
//! The successor asks for them over a Unix socket as it starts. From then on both accept from the
//! same queues, until the predecessor is told to end: what waits in a queue that two processes
//! have is not reset when one of them closes it. Apart from listeners, which know addresses and
//! not whose sockets they are.

mod message;
mod offer;
mod predecessor;
mod successor;

use std::{io, path::PathBuf};

pub use offer::Offer;
pub use predecessor::Predecessor;
pub use successor::{Inherited, inherit};

/// Why sockets do not pass.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error(
        "handoverSocket: cannot open {}: {source}; name a file in a folder that this user alone \
         may write", path.display()
    )]
    Open { path: PathBuf, source: io::Error },
    #[error("handoverSocket: {} is another user's (uid {uid})", path.display())]
    Stranger { path: PathBuf, uid: u32 },
    #[error("handoverSocket: {} does not answer in time", path.display())]
    Silent { path: PathBuf },
    #[error("handoverSocket: {}: {source}", path.display())]
    Broken { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests;
