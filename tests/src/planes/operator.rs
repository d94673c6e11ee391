//! An operator: asks the control plane what is served, what was, and by whom.
//!
//! By the services' own messages, so that a test compares values and not text; that the same
//! can be asked by grpcurl is the quickstart's test.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use roadstead_proto::v1::{
    ConfirmDeletionsRequest, GetSnapshotRequest, GetSnapshotResponse, Hold, ListEventsRequest,
    ListHoldsRequest, ListProxiesRequest, ListProxiesResponse, LoggedEvent, Proxy,
    event_service_client::EventServiceClient, guard_service_client::GuardServiceClient,
    proxy_service_client::ProxyServiceClient, snapshot_service_client::SnapshotServiceClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{planes::SOON, wait};

/// A connection that comes back when the control plane does.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: InterceptedService<Channel, Token>,
}

#[derive(Clone, Debug)]
struct Token(AsciiMetadataValue);

impl Operator {
    pub(super) fn new(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::try_from(format!("http://{address}"))?.connect_lazy();
        let token = Token(format!("Bearer {token}").parse().context("a token")?);
        Ok(Self {
            channel: InterceptedService::new(channel, token),
        })
    }

    /// The snapshot that is served now: its first hundred resources.
    pub async fn snapshot(&self) -> anyhow::Result<GetSnapshotResponse> {
        let mut client = SnapshotServiceClient::new(self.channel.clone());
        let snapshot = client.get_snapshot(GetSnapshotRequest::default()).await?;
        Ok(snapshot.into_inner())
    }

    /// The first thousand events of the log.
    pub async fn events(&self) -> anyhow::Result<Vec<LoggedEvent>> {
        let mut client = EventServiceClient::new(self.channel.clone());
        let request = ListEventsRequest {
            from_seq: 0,
            page_size: 1000,
        };
        Ok(client.list_events(request).await?.into_inner().events)
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

    /// Waits for an event of this kind about this object (empty: about none), and returns the
    /// newest.
    pub async fn event(&self, kind: &str, object: &str) -> anyhow::Result<LoggedEvent> {
        let what = format!("an event {kind} {object}");
        wait::until_ok(&what, SOON, async || {
            let mut events = self.events().await?.into_iter();
            let newest = events.rfind(|event| event.kind == kind && event.object == object);
            newest.context("there is none")
        })
        .await
    }

    /// Who is connected, and what is served.
    pub async fn proxies(&self) -> anyhow::Result<ListProxiesResponse> {
        let mut client = ProxyServiceClient::new(self.channel.clone());
        Ok(client
            .list_proxies(ListProxiesRequest {})
            .await?
            .into_inner())
    }

    /// Waits until a proxy is connected and this holds of it.
    pub async fn proxy(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Proxy) -> bool,
    ) -> anyhow::Result<Proxy> {
        let what = format!("proxy {name}: {what}");
        wait::until_ok(&what, SOON, async || {
            let proxies = self.proxies().await?.proxies;
            let proxy = proxies.into_iter().find(|proxy| proxy.name == name);
            let proxy = proxy.context("it is not connected")?;
            if !holds(&proxy) {
                bail!("{proxy:?}");
            }
            Ok(proxy)
        })
        .await
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        headers.insert("authorization", self.0.clone());
        Ok(request)
    }
}
