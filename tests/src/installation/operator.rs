//! An operator: asks a control plane what it serves, and to whom.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::Context;
use roadstead_proto::digest::Digest;
use roadstead_proto::v1::{
    ConfirmDeletionsRequest, DecodedResource, Hold, ListEventsRequest, ListHoldsRequest,
    ListProxiesRequest, LoggedEvent, Proxy, ResourceType, StreamSnapshotRequest,
    decoded_resource::Body, event_service_client::EventServiceClient,
    guard_service_client::GuardServiceClient, proxy_service_client::ProxyServiceClient,
    snapshot_service_client::SnapshotServiceClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// A connection that comes back when the control plane does.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: InterceptedService<Channel, Token>,
}

#[derive(Clone, Debug)]
struct Token(AsciiMetadataValue);

/// What is served now, by type and name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    resources: BTreeMap<(&'static str, String), DecodedResource>,
}

impl Operator {
    pub(super) fn new(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::try_from(format!("http://{address}"))?.connect_lazy();
        let token = Token(format!("Bearer {token}").parse().context("a token")?);
        Ok(Self {
            channel: InterceptedService::new(channel, token),
        })
    }

    /// All that is served now, endpoints included.
    pub async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut client = SnapshotServiceClient::new(self.channel.clone());
        let asked = client.stream_snapshot(StreamSnapshotRequest::default());
        let mut stream = asked.await?.into_inner();
        let mut snapshot = Snapshot::default();
        while let Some(resource) = stream.message().await? {
            let id = (type_of(&resource), resource.name.clone());
            snapshot.resources.insert(id, resource);
        }
        Ok(snapshot)
    }

    /// How many events of this kind the log holds.
    pub async fn count_events(&self, kind: &str) -> anyhow::Result<usize> {
        let mut count = 0;
        self.each_event(|event| count += usize::from(event.kind == kind))
            .await?;
        Ok(count)
    }

    async fn each_event(&self, mut each: impl FnMut(LoggedEvent)) -> anyhow::Result<()> {
        let mut client = EventServiceClient::new(self.channel.clone());
        let mut asked = ListEventsRequest {
            from_seq: 0,
            page_size: 1000,
        };
        loop {
            let page = client.list_events(asked).await?.into_inner();
            page.events.into_iter().for_each(&mut each);
            if page.next_seq == 0 {
                return Ok(());
            }
            asked.from_seq = page.next_seq;
        }
    }

    /// All that the log holds: of each event its number, its term and what it says.
    pub async fn history(&self) -> anyhow::Result<Vec<(u64, u64, String)>> {
        let mut history = Vec::new();
        self.each_event(|event| history.push((event.seq, event.epoch, event.json)))
            .await?;
        Ok(history)
    }

    /// What the guard against mass deletion holds.
    pub async fn holds(&self) -> anyhow::Result<Vec<Hold>> {
        let mut client = GuardServiceClient::new(self.channel.clone());
        let answer = client.list_holds(ListHoldsRequest {}).await?;
        Ok(answer.into_inner().holds)
    }

    /// Says that what these hold shall be gone, and waits until it is.
    pub async fn confirm(&self, holds: &[Hold]) -> anyhow::Result<()> {
        let mut client = GuardServiceClient::new(self.channel.clone());
        let request = ConfirmDeletionsRequest {
            holds: holds.iter().map(|hold| hold.id.clone()).collect(),
            reason: "a test".into(),
        };
        client.confirm_deletions(request).await?;
        Ok(())
    }

    /// The connected proxies.
    pub async fn proxies(&self) -> anyhow::Result<Vec<Proxy>> {
        let mut client = ProxyServiceClient::new(self.channel.clone());
        let answer = client.list_proxies(ListProxiesRequest {}).await?;
        Ok(answer.into_inner().proxies)
    }
}

impl Snapshot {
    /// The resource of this type and name.
    pub fn get(&self, kind: &'static str, name: &str) -> Option<&DecodedResource> {
        self.resources.get(&(kind, name.to_owned()))
    }

    /// Type, name and hash of every resource.
    pub fn hashes(&self) -> BTreeMap<(&'static str, String), String> {
        let resources = self.resources.iter();
        resources
            .map(|(id, resource)| (id.clone(), resource.hash.clone()))
            .collect()
    }

    /// The digest over all resources, as proxies name it.
    pub fn digest(&self) -> anyhow::Result<String> {
        let mut digest = Digest::new();
        for ((kind, name), resource) in &self.resources {
            let kind =
                ResourceType::from_str_name(&format!("RESOURCE_TYPE_{}", kind.to_uppercase()));
            let kind = kind.with_context(|| format!("the type of {name}"))?;
            digest.insert(kind, name, &bytes_of(&resource.hash)?);
        }
        Ok(digest.fingerprint())
    }

    /// The names of all resources of this type.
    pub fn names(&self, kind: &str) -> Vec<&str> {
        let resources = self.resources.keys();
        resources
            .filter(|(of, _)| *of == kind)
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

fn bytes_of(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?))
        .collect()
}

fn type_of(resource: &DecodedResource) -> &'static str {
    match &resource.body {
        Some(Body::Listener(_)) => "listener",
        Some(Body::Route(_)) => "route",
        Some(Body::Upstream(_)) => "upstream",
        Some(Body::Endpoints(_)) => "endpoints",
        None => "unknown",
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        headers.insert("authorization", self.0.clone());
        Ok(request)
    }
}
