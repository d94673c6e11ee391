//! Opens a stream to the control plane.
//!
//! Apart from what is said on it, and from the way there.

use std::{error::Error as _, sync::Arc, time::Duration};

use roadstead_proto::LEADER;
use roadstead_proto::v1::{
    ProxyMessage, TransferMessage, distribution_service_client::DistributionServiceClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use super::{
    calls::Calls,
    certificate::{Certificates, Held},
    dial::{self, DialError},
};
use crate::config::{Address, ControlPlane};

/// Knows where the control plane is.
#[derive(Debug)]
pub struct Connector {
    settings: ControlPlane,
    /// What the proxy proves itself by; a token, if it has none.
    certificates: Option<Certificates>,
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
    /// What it was opened by, if not by a token.
    pub(super) shown: Option<Arc<Held>>,
    pub(super) messages: Streaming<TransferMessage>,
    pub(super) answers: mpsc::Sender<ProxyMessage>,
    /// By what it is asked beside the stream.
    pub(super) calls: Calls,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("this proxy has no certificate yet")]
    NoCertificate,
    #[error("{address} refused the stream: {source}")]
    Refused {
        address: Address,
        source: Box<Status>,
    },
    #[error("{address} did not answer within {} s", ANSWER_TIME.as_secs())]
    Silent { address: Address },
}

impl Connector {
    pub fn new(settings: ControlPlane, certificates: Option<Certificates>) -> Self {
        Self {
            settings,
            certificates,
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
        let Some(certificates) = &self.certificates else {
            return self.open_by(address, hello, None).await;
        };
        let held = certificates.get().await;
        let held: Arc<Held> = held.ok_or(ConnectError::NoCertificate)?;
        let opened = self.open_by(address, hello, Some(&held)).await;
        if opened
            .as_ref()
            .is_err_and(ConnectError::may_be_of_certificate)
        {
            certificates.doubt(&held);
        }
        opened
    }

    /// A stream that was opened by this certificate ended so.
    pub(super) fn ended(&self, shown: &Arc<Held>, status: &Status) {
        if let Some(certificates) = &self.certificates
            && is_of_certificate(status.code())
        {
            certificates.doubt(shown);
        }
    }

    async fn open_by(
        &self,
        address: Address,
        hello: ProxyMessage,
        shown: Option<&Arc<Held>>,
    ) -> Result<Connection, ConnectError> {
        let token = match shown {
            Some(_) => None,
            None => dial::token(&self.settings).await?,
        };
        let held = shown.map(|held| &**held);
        let endpoint = dial::endpoint(&self.settings, &address, held).await?;
        // The endpoint's own limit is for TCP: a process that is stopped accepts, and says nothing.
        let connected = timeout(ANSWER_TIME, endpoint.connect()).await;
        let silent = |_| ConnectError::Silent {
            address: address.clone(),
        };
        let channel = connected.map_err(silent)?;
        let channel = channel.map_err(DialError::connect(&address))?;
        let (answers, outgoing) = mpsc::channel(ANSWERS);
        // There is room: the channel is new.
        let _: Result<(), _> = answers.try_send(hello);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        let calls = Calls::new(channel.clone(), token.clone());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        match timeout(ANSWER_TIME, client(channel).stream(request)).await {
            Ok(Ok(response)) => Ok(Connection {
                address,
                shown: shown.cloned(),
                messages: response.into_inner(),
                answers,
                calls,
            }),
            Ok(Err(status)) => Err(ConnectError::Refused {
                address,
                source: status.into(),
            }),
            Err(_) => Err(ConnectError::Silent { address }),
        }
    }
}

impl ConnectError {
    /// Whether another certificate might mend it. One that is not believed lets us connect, because
    /// by TLS 1.3 we have said all before the other end looks at it, and ends the connection with
    /// the first call. Who is not reached, or is not whom we want, says nothing of it.
    fn may_be_of_certificate(&self) -> bool {
        match self {
            Self::Refused { source, .. } => {
                is_of_certificate(source.code()) || source.source().is_some()
            }
            Self::Dial(
                DialError::Connect { .. } | DialError::File { .. } | DialError::Token { .. },
            )
            | Self::NoCertificate
            | Self::Silent { .. } => false,
        }
    }
}

/// Whether a status may be of who we are.
fn is_of_certificate(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied)
}

fn client(channel: Channel) -> DistributionServiceClient<Channel> {
    DistributionServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}

/// From the hello to the first answer, which a server gives before any transfer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A chunk is 1 MiB or one larger resource.
const MAX_MESSAGE: usize = 4 << 20;

/// Redirects that are followed at once, one after the other.
const REDIRECTS: u32 = 3;

/// Answers that wait to be sent.
const ANSWERS: usize = 4;
