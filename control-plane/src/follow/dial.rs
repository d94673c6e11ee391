//! Connections to other replicas.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{address} is no address of a replica: {problem}")]
    Address { address: String, problem: String },
    #[error("cannot connect to {address}: {problem}")]
    Connect { address: String, problem: String },
}

/// Makes connections, and says who this replica is.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: ClientTlsConfig,
    token: MetadataValue<Ascii>,
}

/// Where a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As `https://HOST:PORT`.
    pub address: Arc<str>,
    /// The name in its certificate, if that is not the host.
    pub name: Option<Arc<str>>,
}

/// A connection.
pub type Dialed = InterceptedService<Channel, Token>;

/// Bears the token on each call.
#[derive(Clone, Debug)]
pub struct Token(MetadataValue<Ascii>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        headers.insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Dialer {
    /// By this authority, as the bearer of this token.
    pub fn new(tls: ClientTlsConfig, token: MetadataValue<Ascii>) -> Self {
        Self { tls, token }
    }

    /// Connects to a replica.
    pub async fn dial(&self, peer: &Peer) -> Result<Dialed, DialError> {
        let address = &*peer.address;
        let tls = match &peer.name {
            Some(name) => self.tls.clone().domain_name(&**name),
            None => self.tls.clone(),
        };
        let endpoint = Endpoint::from_shared(address.to_owned());
        let endpoint = endpoint.map_err(|error| DialError::Address {
            address: address.to_owned(),
            problem: error.to_string(),
        })?;
        let failed = |error: tonic::transport::Error| DialError::Connect {
            address: address.to_owned(),
            problem: story(&error),
        };
        let channel = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .tls_config(tls)
            .map_err(failed)?
            .connect()
            .await
            .map_err(failed)?;
        Ok(InterceptedService::new(channel, Token(self.token.clone())))
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

/// tonic's own message says only "transport error".
fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const CONNECT: Duration = Duration::from_secs(1);
/// A replica that is gone without a word is noticed after two of these.
const PING: Duration = Duration::from_secs(3);
const WINDOW: u32 = 4 << 20;
const MOST: usize = 16;
