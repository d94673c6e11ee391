//! Connections to other replicas.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use roadstead_proto::causes;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{address} is no address of a replica: {problem}")]
    Address { address: String, problem: String },
    #[error("the certificate authority is not known yet")]
    NoAuthority,
    #[error("cannot connect to {address}: {problem}")]
    Connect { address: String, problem: String },
}

/// Makes connections, and says who this replica is.
#[derive(Clone)]
pub struct Dialer {
    tls: Arc<dyn Fn() -> BoxFuture<'static, Option<ClientTlsConfig>> + Send + Sync>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

/// Where a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As `https://HOST:PORT`.
    pub address: Arc<str>,
    /// The name in its certificate, if that is not the host.
    pub name: Option<Arc<str>>,
}

impl Dialer {
    /// By what this gives for each connection: whom to believe, and who this replica is.
    pub fn new(
        tls: impl Fn() -> BoxFuture<'static, Option<ClientTlsConfig>> + Send + Sync + 'static,
    ) -> Self {
        Self { tls: Arc::new(tls) }
    }

    /// Connects to a replica.
    pub async fn dial(&self, peer: &Peer) -> Result<Channel, DialError> {
        let address = &*peer.address;
        // At a start the authority is about to be read.
        let tls = timeout(AUTHORITY, (self.tls)()).await;
        let mut tls = tls.ok().flatten().ok_or(DialError::NoAuthority)?;
        if let Some(name) = &peer.name {
            tls = tls.domain_name(&**name);
        }
        let endpoint = Endpoint::from_shared(address.to_owned());
        let endpoint = endpoint.map_err(|error| DialError::Address {
            address: address.to_owned(),
            problem: error.to_string(),
        })?;
        let failed = |error: tonic::transport::Error| DialError::Connect {
            address: address.to_owned(),
            problem: causes(&error),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .tls_config(tls)
            .map_err(failed)?;
        // The endpoint's own limit is for TCP: a process that is stopped accepts, and says nothing.
        let connected = timeout(HANDSHAKE, endpoint.connect()).await;
        let silent = |_| DialError::Connect {
            address: address.to_owned(),
            problem: format!("no TLS within {} s", HANDSHAKE.as_secs()),
        };
        connected.map_err(silent)?.map_err(failed)
    }
}

/// The replicas behind a name and a port, such as those of a headless Service.
pub async fn resolve(peers: &str) -> Vec<Peer> {
    let name: Option<Arc<str>> = peers.rsplit_once(':').map(|(name, _)| name.into());
    let peer = |address: SocketAddr| Peer {
        address: format!("https://{address}").into(),
        name: name.clone(),
    };
    match timeout(CONNECT, lookup_host(peers)).await {
        Ok(Ok(addresses)) => addresses.take(MOST).map(peer).collect(),
        Ok(Err(error)) => {
            tracing::debug!(peers, %error, "no other replicas are found");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

const AUTHORITY: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(1);
/// A replica that is gone without a word is noticed after two of these.
const PING: Duration = Duration::from_secs(3);
const WINDOW: u32 = 4 << 20;
const MOST: usize = 16;
