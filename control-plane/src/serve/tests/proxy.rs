//! A proxy as the stream sees it: it keeps what it is sent, and answers as it is told to.

use std::collections::BTreeMap;

use roadstead_proto::digest::{Digest, bucket_of};
use roadstead_proto::v1::distribution_service_client::DistributionServiceClient;
use roadstead_proto::v1::transfer_message::Message as Sent;
use roadstead_proto::v1::{self, ResourceType, proxy_message::Message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::serve::tests::world::World;
use crate::tokens::Role;

/// What a proxy holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) resources: BTreeMap<(i32, String), Vec<u8>>,
    pub(super) version: Option<v1::Version>,
    pub(super) endpoints_revision: u64,
}

impl Held {
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Digest::new();
        for ((kind, name), hash) in &self.resources {
            digest.insert(ResourceType::try_from(*kind).unwrap(), name, hash);
        }
        digest
    }

    /// Takes a transfer in as a proxy does, and checks its digest.
    fn apply(&mut self, transfer: &Received) {
        let named = |key: &(i32, String)| {
            let is = |resource: &v1::Resource| (resource.r#type, &resource.name) == (key.0, &key.1);
            transfer.changed.iter().any(is)
        };
        self.resources.retain(|key, _| {
            let bucket = bucket_of(ResourceType::try_from(key.0).unwrap(), &key.1);
            let replaced = transfer.buckets.contains(&u32::from(bucket));
            let removed = transfer
                .removed
                .iter()
                .any(|id| (id.r#type, &id.name) == (key.0, &key.1));
            !removed && (!replaced || named(key))
        });
        for resource in &transfer.changed {
            let key = (resource.r#type, resource.name.clone());
            self.resources.insert(key, resource.hash.to_vec());
        }
        self.version = transfer.commit.version.clone();
        self.endpoints_revision = transfer.commit.endpoints_revision;
        let sent = Digest::from_proto(transfer.commit.digest.as_ref().unwrap()).unwrap();
        assert_eq!(
            self.digest(),
            sent,
            "what is held is what was meant to be held"
        );
    }
}

/// A whole transfer.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) buckets: Vec<u32>,
    pub(super) changed: Vec<v1::Resource>,
    pub(super) removed: Vec<v1::ResourceId>,
    /// Bytes of each chunk.
    pub(super) chunks: Vec<usize>,
    pub(super) commit: v1::Commit,
}

impl Received {
    /// The names of what it changes and removes.
    pub(super) fn names(&self) -> (Vec<&str>, Vec<&str>) {
        (
            self.changed.iter().map(|r| r.name.as_str()).collect(),
            self.removed.iter().map(|id| id.name.as_str()).collect(),
        )
    }

    pub(super) fn seq(&self) -> u64 {
        self.commit.version.as_ref().unwrap().seq
    }
}

/// A connected proxy.
pub(super) struct Proxy {
    pub(super) held: Held,
    outbound: mpsc::Sender<v1::ProxyMessage>,
    inbound: Streaming<v1::TransferMessage>,
}

impl Proxy {
    /// Says hello under this name.
    pub(super) async fn join(world: &World, name: &str) -> Self {
        Self::join_with(world, name, "boot-1", Held::default()).await
    }

    pub(super) async fn join_with(world: &World, name: &str, boot_id: &str, held: Held) -> Self {
        let proxy = Self::open(world, held).await;
        let hello = v1::Hello {
            proxy: name.into(),
            boot_id: boot_id.into(),
            held: proxy.held.version.clone(),
            digest: Some(proxy.held.digest().to_proto()),
            capabilities: Vec::new(),
            binary_version: "test".into(),
        };
        proxy.say(Message::Hello(hello)).await;
        proxy
    }

    /// Opens a stream and says nothing.
    pub(super) async fn open(world: &World, held: Held) -> Self {
        let channel = world.channel(Role::Proxy).await;
        let mut client = DistributionServiceClient::new(channel);
        let (outbound, messages) = mpsc::channel(4);
        let stream = client.stream(ReceiverStream::new(messages)).await.unwrap();
        Self {
            held,
            outbound,
            inbound: stream.into_inner(),
        }
    }

    pub(super) async fn say(&self, message: Message) {
        let message = Some(message);
        self.outbound
            .send(v1::ProxyMessage { message })
            .await
            .unwrap();
    }

    /// The next transfer, taken in and not answered.
    pub(super) async fn take(&mut self) -> Received {
        let received = self.receive().await.expect("the stream goes on");
        self.held.apply(&received);
        received
    }

    /// The next transfer, left aside.
    pub(super) async fn receive(&mut self) -> Result<Received, Status> {
        let Sent::Begin(begin) = self.next().await? else {
            panic!("a transfer begins with Begin");
        };
        let (mut changed, mut removed, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match self.next().await? {
                Sent::Begin(_) => panic!("a Begin within a transfer"),
                Sent::Chunk(chunk) => {
                    chunks.push(prost::Message::encoded_len(&chunk));
                    changed.extend(chunk.changed);
                    removed.extend(chunk.removed);
                }
                Sent::Commit(commit) => {
                    assert_eq!(begin.version, commit.version);
                    return Ok(Received {
                        buckets: begin.replaced_buckets,
                        changed,
                        removed,
                        chunks,
                        commit,
                    });
                }
            }
        }
    }

    /// Acknowledges what it holds, with faults of these listeners.
    pub(super) async fn ack(&self, faults: &[&str]) {
        let fault = |name: &&str| v1::Fault {
            resource: Some(v1::ResourceId {
                r#type: ResourceType::Listener.into(),
                name: str::to_owned(name),
            }),
            reason: "AddressInUse".into(),
            message: "another process has the port".into(),
        };
        let ack = v1::Ack {
            version: self.held.version.clone(),
            endpoints_revision: self.held.endpoints_revision,
            faults: faults.iter().map(fault).collect(),
            digest: None,
        };
        self.say(Message::Ack(ack)).await;
    }

    /// Says by itself what it holds.
    pub(super) async fn count(&self) {
        let ack = v1::Ack {
            version: self.held.version.clone(),
            endpoints_revision: self.held.endpoints_revision,
            faults: Vec::new(),
            digest: Some(self.held.digest().to_proto()),
        };
        self.say(Message::Ack(ack)).await;
    }

    /// The next transfer, taken in and acknowledged.
    pub(super) async fn follow(&mut self) -> Received {
        let received = self.take().await;
        self.ack(&[]).await;
        received
    }

    pub(super) async fn nack(&self, version: Option<v1::Version>) {
        let nack = v1::Nack {
            version,
            reason: "DigestMismatch".into(),
            digest: Some(self.held.digest().to_proto()),
        };
        self.say(Message::Nack(nack)).await;
    }

    /// How the stream ends, whatever comes before.
    pub(super) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    async fn next(&mut self) -> Result<Sent, Status> {
        match self.inbound.message().await? {
            Some(message) => Ok(message.message.expect("it is of a known kind")),
            None => Err(Status::ok("the stream ended")),
        }
    }
}
