//! The admin port's connections.
//!
//! Apart from the answers, which need no socket to be tested.

use std::{
    collections::VecDeque, convert::Infallible, future::pending, io, net::SocketAddr,
    os::fd::AsFd as _, path::PathBuf, time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::Admin;
use crate::config;
use crate::unix_socket;

/// An open admin port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    socket: Option<UnixListener>,
    admin: Admin,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("admin.address: cannot listen on {address}: {source}; set another one (--admin)")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("admin.socket: cannot listen at {}: {source}; name a file in a folder that this user \
             may write", path.display())]
    Socket { path: PathBuf, source: io::Error },
}

impl Server {
    /// Opens the port, unless it was taken over, and the Unix socket, if there is to be one.
    pub fn bind(
        ports: &config::Admin,
        taken_over: Option<std::net::TcpListener>,
        admin: Admin,
    ) -> Result<Self, AdminError> {
        let address = ports.address;
        let failed = |source| AdminError::Listen { address, source };
        let listener = match taken_over {
            Some(listener) => Ok(listener),
            None => std::net::TcpListener::bind(address),
        };
        let listener = listener.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let path = ports.socket.as_ref();
        let socket = path.map(|path| {
            unix_socket::listen(path).map_err(|source| AdminError::Socket {
                path: path.clone(),
                source,
            })
        });
        let address = listener.local_addr().map_err(failed)?;
        info!(%address, "admin port open");
        Ok(Self {
            listener,
            socket: socket.transpose()?,
            admin,
        })
    }

    /// The address, with the port that the system chose if none was set.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Another handle of the port, for whoever takes it over.
    pub fn handle(&self) -> io::Result<std::net::TcpListener> {
        Ok(self.listener.as_fd().try_clone_to_owned()?.into())
    }

    /// Serves for as long as it is polled; of the port, only while it is not `shared` with the
    /// process that takes this one's place: a scraper is to see one of the two.
    pub async fn run(self, shared: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut oldest_first = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, shared.clone()) => accepted,
                accepted = accept_local(self.socket.as_ref()) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok(stream) => {
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
    }
}

async fn accept(listener: &TcpListener, mut shared: watch::Receiver<bool>) -> io::Result<Stream> {
    loop {
        // Without a sender it stays as it is.
        if shared.wait_for(|shared| !shared).await.is_err() && *shared.borrow() {
            return pending().await;
        }
        tokio::select! {
            accepted = listener.accept() => return accepted.map(|(stream, _)| Box::new(stream) as Stream),
            Ok(()) = shared.changed() => {}
        }
    }
}

async fn accept_local(socket: Option<&UnixListener>) -> io::Result<Stream> {
    match socket {
        Some(socket) => Ok(Box::new(socket.accept().await?.0)),
        None => pending().await,
    }
}

/// A connection of either kind.
type Stream = Box<dyn Connection>;

trait Connection: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection for S {}

async fn serve(stream: Stream, admin: Admin) {
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
