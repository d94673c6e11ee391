//! Opens a stream to the control plane.
//!
//! Apart from what is said on it: addresses, TLS and the token are here, and read anew each
//! time, because files are replaced while a proxy runs.

use std::{io, path::PathBuf, time::Duration};

use roadstead_proto::LEADER;
use roadstead_proto::v1::{
    ProxyMessage, TransferMessage, distribution_service_client::DistributionServiceClient,
};
use tokio::{fs, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::config::{Address, ControlPlane};

/// Knows where the control plane is.
#[derive(Debug)]
pub struct Connector {
    settings: ControlPlane,
    /// The address to try next.
    next: usize,
    /// Where the leader is, as a replica told.
    leader: Option<Address>,
    /// How often in a row the next address was told.
    told: u32,
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) address: Address,
    pub(super) messages: Streaming<TransferMessage>,
    pub(super) answers: mpsc::Sender<ProxyMessage>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot read {what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the token file {} holds no token", path.display())]
    Token { path: PathBuf },
    #[error("cannot connect to {address}: {}", chain(source))]
    Connect {
        address: Address,
        source: tonic::transport::Error,
    },
    #[error("{address} refused the stream: {source}")]
    Refused {
        address: Address,
        source: Box<Status>,
    },
    #[error("{address} did not answer within {} s", ANSWER_TIME.as_secs())]
    Silent { address: Address },
}

impl Connector {
    pub fn new(settings: ControlPlane) -> Self {
        Self {
            settings,
            next: 0,
            leader: None,
            told: 0,
        }
    }

    /// Takes note of where to go, if this status says so. Says whether to go there at once: not
    /// if replicas send each other's proxies round in circles.
    pub(super) fn redirect(&mut self, status: &Status) -> bool {
        let told = status.metadata().get(LEADER);
        let told = told.and_then(|leader| leader.to_str().ok()?.parse::<Address>().ok());
        // A token and a CA are for addresses of one kind.
        self.leader = told.filter(Address::is_https);
        self.told = if self.leader.is_some() {
            self.told + 1
        } else {
            0
        };
        self.leader.is_some() && self.told <= REDIRECTS
    }

    /// A stream lasted.
    pub(super) fn arrived(&mut self) {
        self.told = 0;
    }

    /// How many addresses there are.
    pub(super) fn addresses(&self) -> usize {
        self.settings.addresses.len()
    }

    /// Opens a stream to the leader if it was told, else to the next address, with `hello` as its first message.
    pub(super) async fn connect(
        &mut self,
        hello: ProxyMessage,
    ) -> Option<Result<Connection, ConnectError>> {
        if self.addresses() > 0
            && let Some(leader) = self.leader.take()
        {
            return Some(self.open(leader, hello).await);
        }
        let index = self.next.checked_rem(self.addresses())?;
        let address = self.settings.addresses.get(index)?.clone();
        self.next = index + 1;
        Some(self.open(address, hello).await)
    }

    async fn open(
        &self,
        address: Address,
        hello: ProxyMessage,
    ) -> Result<Connection, ConnectError> {
        let token = self.token().await?;
        let connected = self.endpoint(&address).await?.connect().await;
        let channel = connected.map_err(|source| ConnectError::Connect {
            address: address.clone(),
            source,
        })?;
        let (answers, outgoing) = mpsc::channel(ANSWERS);
        // There is room: the channel is new.
        let _: Result<(), _> = answers.try_send(hello);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        match timeout(ANSWER_TIME, client(channel).stream(request)).await {
            Ok(Ok(response)) => Ok(Connection {
                address,
                messages: response.into_inner(),
                answers,
            }),
            Ok(Err(status)) => Err(ConnectError::Refused {
                address,
                source: status.into(),
            }),
            Err(_) => Err(ConnectError::Silent { address }),
        }
    }

    async fn endpoint(&self, address: &Address) -> Result<Endpoint, ConnectError> {
        let mut endpoint = Endpoint::from(address.uri().clone())
            .connect_timeout(CONNECT_TIME)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIME)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW);
        if let (true, Some(path)) = (address.is_https(), &self.settings.ca_file) {
            let ca = read("the CA file", path).await?;
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
            if let Some(name) = &self.settings.server_name {
                tls = tls.domain_name(name);
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|source| ConnectError::Connect {
                    address: address.clone(),
                    source,
                })?;
        }
        Ok(endpoint)
    }

    async fn token(&self) -> Result<Option<MetadataValue<Ascii>>, ConnectError> {
        let Some(path) = &self.settings.token_file else {
            return Ok(None);
        };
        let text = read("the token file", path).await?;
        let token = String::from_utf8(text).unwrap_or_default();
        let token = token.trim();
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        match value {
            Ok(mut value) if !token.is_empty() => {
                value.set_sensitive(true);
                Ok(Some(value))
            }
            _ => Err(ConnectError::Token { path: path.clone() }),
        }
    }
}

fn client(channel: Channel) -> DistributionServiceClient<Channel> {
    DistributionServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}

async fn read(what: &'static str, path: &PathBuf) -> Result<Vec<u8>, ConnectError> {
    fs::read(path).await.map_err(|source| ConnectError::File {
        what,
        path: path.clone(),
        source,
    })
}

/// tonic's own message says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const CONNECT_TIME: Duration = Duration::from_secs(3);

/// From the hello to the first answer, which a server gives before any transfer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A control plane that is gone without a word is noticed after the sum of these two.
const PING_EVERY: Duration = Duration::from_secs(3);
const PING_TIME: Duration = Duration::from_secs(3);

/// A chunk is 1 MiB or one larger resource.
const MAX_MESSAGE: usize = 4 << 20;

const STREAM_WINDOW: u32 = 2 << 20;

/// Redirects that are followed at once, one after the other.
const REDIRECTS: u32 = 3;

/// Answers that wait to be sent.
const ANSWERS: usize = 4;
