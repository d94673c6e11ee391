//! The admin port's connections.
//!
//! Apart from the answers, which need no socket to be tested.

use std::{collections::VecDeque, convert::Infallible, io, net::SocketAddr, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::Admin;

/// An open admin port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    admin: Admin,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("admin.address: cannot listen on {address}: {source}; set another one (--admin)")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
}

impl Server {
    pub async fn bind(address: SocketAddr, admin: Admin) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        info!(%address, "admin port open");
        Ok(Self { listener, admin })
    }

    /// The address, with the port that the system chose if none was set.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for as long as it is polled.
    pub async fn run(self) {
        let mut connections = JoinSet::new();
        let mut oldest_first = VecDeque::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    match accepted {
                        Ok((stream, _)) => {
                            oldest_first.retain(|open: &AbortHandle| !open.is_finished());
                            if oldest_first.len() >= CONNECTIONS
                                && let Some(oldest) = oldest_first.pop_front()
                            {
                                oldest.abort();
                            }
                            let serving = serve(stream, self.admin.clone());
                            oldest_first.push_back(connections.spawn_local(serving));
                        }
                        Err(error) => {
                            warn!("admin port: cannot accept: {error}");
                            sleep(PAUSE).await;
                        }
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn serve(stream: TcpStream, admin: Admin) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let answer = admin.answer(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!("admin connection ended: {error}"),
    }
}

/// Connections at a time. One more takes the place of the oldest, so that no client that keeps
/// its connections open keeps a probe waiting.
const CONNECTIONS: usize = 64;

const HEADER_TIME: Duration = Duration::from_secs(10);

/// Longer than any answer takes, so that no client keeps a place for ever.
const CONNECTION_TIME: Duration = Duration::from_secs(120);

const BUFFER: usize = 16 << 10;

/// Before accepting again, when file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
