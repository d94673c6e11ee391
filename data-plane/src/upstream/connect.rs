//! Opens a connection to an endpoint.
//!
//! Apart from the pools: what goes wrong before a connection exists is told apart from what
//! goes wrong on it, since then the request can still go elsewhere.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("connect: refused")]
    Refused,
    #[error("connect: timed out")]
    TimedOut,
    #[error("connect: {0}")]
    Failed(io::ErrorKind),
}

pub async fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream, ConnectError> {
    let connecting = TcpStream::connect(address);
    let stream = timeout(patience, connecting)
        .await
        .map_err(|_| ConnectError::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Failed(error.kind())
        }
    }
}
