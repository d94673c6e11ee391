//! A control plane that does what the test says.

use std::{collections::BTreeMap, net::SocketAddr, pin::Pin, sync::Arc};

use futures::Stream;
use roadstead_proto::{
    digest::Digest,
    v1::{
        self,
        challenge_service_server::{ChallengeService, ChallengeServiceServer},
        distribution_service_server::{DistributionService, DistributionServiceServer},
        secret_service_server::{SecretService, SecretServiceServer},
        transfer_message::Message,
    },
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::wire::Content;

pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    streams: mpsc::Receiver<Incoming>,
    sender: mpsc::Sender<Incoming>,
    running: JoinSet<()>,
    stop: Option<oneshot::Sender<()>>,
    identity: Option<Identity>,
    secrets: Arc<Secrets>,
}

/// Bundles by name, and who asked for them.
#[derive(Default)]
pub(crate) struct Secrets {
    held: watch::Sender<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// How many names were asked for, call by call.
    pub(crate) calls: watch::Sender<Vec<usize>>,
    tokens: watch::Sender<Vec<Option<String>>>,
}

/// What whoever asks for this token is given. Of others there is nothing, and of `silent` not even
/// that.
struct Challenges;

#[tonic::async_trait]
impl ChallengeService for Challenges {
    async fn get_challenge(
        &self,
        request: Request<v1::GetChallengeRequest>,
    ) -> Result<Response<v1::GetChallengeResponse>, Status> {
        let token = request.metadata().get("authorization").cloned();
        assert_eq!(token.unwrap(), "Bearer a token");
        let v1::GetChallengeRequest {
            hostname, token, ..
        } = request.into_inner();
        let key_authorization = match (&*hostname, &*token) {
            ("a.example", "known") => "known.thumbprint".to_owned(),
            ("a.example", "mistaken") => "other.thumbprint".to_owned(),
            ("a.example", "silent") => std::future::pending().await,
            _ => return Err(Status::not_found("no such challenge")),
        };
        Ok(Response::new(v1::GetChallengeResponse {
            key_authorization,
        }))
    }
}

/// A proxy's stream, after its hello.
pub(crate) struct ProxyStream {
    pub(crate) hello: v1::Hello,
    pub(crate) token: Option<String>,
    pub(crate) lineage: String,
    answers: Streaming<v1::ProxyMessage>,
    messages: mpsc::Sender<Result<v1::TransferMessage, Status>>,
}

struct Incoming {
    token: Option<String>,
    answers: Streaming<v1::ProxyMessage>,
    messages: mpsc::Sender<Result<v1::TransferMessage, Status>>,
}

struct Service(mpsc::Sender<Incoming>);

#[tonic::async_trait]
impl DistributionService for Service {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::TransferMessage, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        let (messages, outgoing) = mpsc::channel(64);
        let incoming = Incoming {
            token,
            answers: request.into_inner(),
            messages,
        };
        self.0.send(incoming).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

struct OfSecrets(Arc<Secrets>);

#[tonic::async_trait]
impl SecretService for OfSecrets {
    type FetchSecretsStream = ReceiverStream<Result<v1::Secret, Status>>;

    async fn fetch_secrets(
        &self,
        request: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<Self::FetchSecretsStream>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        self.0.tokens.send_modify(|tokens| tokens.push(token));
        let names = request.into_inner().names;
        let held = self.0.held.borrow().clone();
        self.0.calls.send_modify(|calls| calls.push(names.len()));
        let (answers, stream) = mpsc::channel(names.len().max(1));
        for name in names {
            let body = held.get(&name).cloned().unwrap_or_default();
            let body = body.into();
            answers.try_send(Ok(v1::Secret { name, body })).unwrap();
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_as(None).await
    }

    /// With a certificate, by TLS.
    pub(crate) async fn start_as(identity: Option<Identity>) -> Self {
        let (sender, streams) = mpsc::channel(4);
        let mut plane = Self {
            address: ([127, 0, 0, 1], 0).into(),
            streams,
            sender,
            running: JoinSet::new(),
            stop: None,
            identity,
            secrets: Arc::default(),
        };
        plane.resume().await;
        plane
    }

    /// Serves again, at the same address.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let service = DistributionServiceServer::new(Service(self.sender.clone()));
        let secrets = SecretServiceServer::new(OfSecrets(Arc::clone(&self.secrets)));
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        let mut server = Server::builder();
        if let Some(identity) = self.identity.clone() {
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).unwrap();
        }
        self.running.spawn(async move {
            let serving = server.add_service(service).add_service(secrets);
            let serving = serving.add_service(ChallengeServiceServer::new(Challenges));
            let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
            tokio::select! {
                result = serving => result.unwrap(),
                _ = stopped => {}
            }
        });
    }

    /// Stops serving. Streams must have been dropped.
    pub(crate) async fn stop(&mut self) {
        self.stop = None;
        self.running.join_next().await.unwrap().unwrap();
    }

    /// Gives this bundle to who asks for it.
    pub(crate) fn give(&self, name: &[u8], body: &[u8]) {
        let (name, body) = (name.to_vec(), body.to_vec());
        self.secrets
            .held
            .send_modify(|held| drop(held.insert(name, body)));
    }

    /// How many names were asked for, call by call.
    pub(crate) fn calls(&self) -> watch::Receiver<Vec<usize>> {
        self.secrets.calls.subscribe()
    }

    /// What those who asked for bundles proved themselves by.
    pub(crate) fn tokens(&self) -> Vec<Option<String>> {
        self.secrets.tokens.borrow().clone()
    }

    /// The next stream of a proxy.
    pub(crate) async fn accept(&mut self) -> ProxyStream {
        let Incoming {
            token,
            mut answers,
            messages,
        } = self.streams.recv().await.unwrap();
        let first = answers.message().await.unwrap().unwrap();
        let Some(v1::proxy_message::Message::Hello(hello)) = first.message else {
            panic!("not a hello: {first:?}");
        };
        ProxyStream {
            hello,
            token,
            lineage: "lineage".to_owned(),
            answers,
            messages,
        }
    }
}

impl ProxyStream {
    pub(crate) async fn send_whole(&self, seq: u64, content: &Content) {
        let all: Vec<u32> = (0..256).collect();
        self.begin(seq, all.clone()).await;
        self.send(Message::Chunk(content.in_buckets(&all))).await;
        self.commit(seq, content.digest()).await;
    }

    pub(crate) async fn send_delta(&self, seq: u64, delta: v1::Chunk, content: &Content) {
        self.send_without_commit(seq, delta).await;
        self.commit(seq, content.digest()).await;
    }

    pub(crate) async fn send_without_commit(&self, seq: u64, delta: v1::Chunk) {
        self.begin(seq, vec![]).await;
        self.send(Message::Chunk(delta)).await;
    }

    /// Sends the buckets that differ from what the proxy holds.
    pub(crate) async fn send_repair(&self, seq: u64, held: &v1::Digest, content: &Content) {
        let held = Digest::from_proto(held).unwrap();
        let digest = content.digest();
        let buckets: Vec<_> = digest.differing(&held).map(u32::from).collect();
        self.begin(seq, buckets.clone()).await;
        self.send(Message::Chunk(content.in_buckets(&buckets)))
            .await;
        self.commit(seq, digest).await;
    }

    pub(crate) async fn answer(&mut self) -> v1::ProxyMessage {
        self.answers.message().await.unwrap().unwrap()
    }

    /// Whether the proxy has nothing more to say.
    pub(crate) async fn has_ended(&mut self) -> bool {
        !matches!(self.answers.message().await, Ok(Some(_)))
    }

    async fn begin(&self, seq: u64, replaced_buckets: Vec<u32>) {
        let version = Some(self.version(seq));
        self.send(Message::Begin(v1::Begin {
            version,
            replaced_buckets,
            trace_parent: String::new(),
        }))
        .await;
    }

    async fn commit(&self, seq: u64, digest: Digest) {
        let version = Some(self.version(seq));
        self.send(Message::Commit(v1::Commit {
            version,
            endpoints_revision: seq,
            digest: Some(digest.to_proto()),
        }))
        .await;
    }

    async fn send(&self, message: Message) {
        let message = v1::TransferMessage {
            message: Some(message),
        };
        self.messages.send(Ok(message)).await.unwrap();
    }

    fn version(&self, seq: u64) -> v1::Version {
        v1::Version {
            lineage: self.lineage.clone(),
            epoch: 1,
            seq,
        }
    }
}
