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
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::Admin;
use crate::config;
use crate::handover::Others;
use crate::unix_socket::Listening;

/// The admin port.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// `None` while another process has the port.
    listener: Option<TcpListener>,
    socket: Option<Listening>,
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
    /// Opens the Unix socket, if there is to be one, and the port, unless it was taken over. If
    /// the port is `awaited`, another process may have it for a while.
    pub fn bind(
        ports: &config::Admin,
        taken_over: Option<std::net::TcpListener>,
        awaited: bool,
        admin: Admin,
    ) -> Result<Self, AdminError> {
        let address = ports.address;
        let listener = match taken_over {
            Some(listener) => Ok(Some(listener)),
            None => match std::net::TcpListener::bind(address) {
                Err(error) if awaited && error.kind() == io::ErrorKind::AddrInUse => {
                    warn!(%address, "another process has the admin port: it is waited for");
                    Ok(None)
                }
                opened => opened.map(Some),
            },
        };
        let failed = |source| AdminError::Listen { address, source };
        let listener = listener.and_then(|listener| listener.map(open).transpose());
        let path = ports.socket.as_ref();
        let socket = path.map(|path| {
            Listening::at(path, &admin.identity.boot_id).map_err(|source| AdminError::Socket {
                path: path.clone(),
                source,
            })
        });
        Ok(Self {
            address,
            listener: listener.map_err(failed)?,
            socket: socket.transpose()?,
            admin,
        })
    }

    /// Another handle of the port, if it is open, for whoever takes it over.
    pub fn handle(&self) -> io::Result<Option<std::net::TcpListener>> {
        let listener = self.listener.as_ref();
        let handle = listener.map(|listener| listener.as_fd().try_clone_to_owned());
        Ok(handle.transpose()?.map(Into::into))
    }

    /// Serves for as long as it is polled; of the port, only while no other process does: a
    /// scraper is to see one of the two.
    pub async fn run(mut self, mut others: watch::Receiver<Others>) {
        let mut connections = JoinSet::new();
        let mut oldest_first = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&mut self.listener, self.address, &mut others) => accepted,
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

fn open(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    info!(address = %listener.local_addr()?, "admin port open");
    Ok(listener)
}

async fn accept(
    listener: &mut Option<TcpListener>,
    address: SocketAddr,
    others: &mut watch::Receiver<Others>,
) -> io::Result<Stream> {
    loop {
        // Without a sender it stays as it is.
        let mine = others.wait_for(|others| others.is_mine()).await.is_ok();
        if !mine && !others.borrow().is_mine() {
            return pending().await;
        }
        let Some(port) = listener else {
            match std::net::TcpListener::bind(address).and_then(open) {
                Ok(opened) => *listener = Some(opened),
                Err(_) => sleep(RETRY).await,
            }
            continue;
        };
        tokio::select! {
            accepted = port.accept() => {
                return accepted.map(|(stream, _)| Box::new(stream) as Stream);
            }
            Ok(()) = others.changed() => {}
        }
    }
}

async fn accept_local(socket: Option<&Listening>) -> io::Result<Stream> {
    match socket {
        Some(socket) => Ok(Box::new(socket.accept().await?)),
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

/// Between two tries to have a port that another process has.
const RETRY: Duration = Duration::from_secs(1);

/// Before accepting again, when file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
