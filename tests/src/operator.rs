//! An operator: asks a control plane what it serves, what was, and by whom.
//!
//! By the services' own messages, so that a test compares values and not text; that the same
//! can be asked by grpcurl is the quickstart's test.

mod snapshot;

use std::net::SocketAddr;

use anyhow::{Context, bail};
use roadstead_proto::v1::{
    ConfirmDeletionsRequest, GetCertificateRequest, GetCertificateResponse, GetSnapshotRequest,
    Hold, ListCertificatesRequest, ListEventsRequest, ListHoldsRequest, ListHostsRequest,
    ListHostsResponse, ListProxiesRequest, LoggedEvent, Proxy, RenewCertificateRequest,
    RevocationReason, RevokeCertificateRequest, StreamSnapshotRequest, TlsCertificate, Version,
    event_service_client::EventServiceClient, guard_service_client::GuardServiceClient,
    host_service_client::HostServiceClient, proxy_service_client::ProxyServiceClient,
    snapshot_service_client::SnapshotServiceClient,
    tls_certificate_service_client::TlsCertificateServiceClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

pub use snapshot::Snapshot;

use crate::{planes::SOON, wait};

/// A connection that comes back when the control plane does.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: InterceptedService<Channel, Token>,
}

#[derive(Clone, Debug)]
struct Token(AsciiMetadataValue);

impl Operator {
    /// Whoever has this token.
    pub fn new(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
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
            snapshot.add(resource);
        }
        Ok(snapshot)
    }

    /// The version that is served now; none before the first.
    pub async fn version(&self) -> anyhow::Result<Option<Version>> {
        let mut client = SnapshotServiceClient::new(self.channel.clone());
        let snapshot = client.get_snapshot(GetSnapshotRequest::default()).await?;
        Ok(snapshot.into_inner().version)
    }

    /// All events of the log.
    pub async fn events(&self) -> anyhow::Result<Vec<LoggedEvent>> {
        let mut events = Vec::new();
        self.each_event(|event| events.push(event)).await?;
        Ok(events)
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

    /// What becomes of each host; of few, which one answer can hold.
    pub async fn hosts(&self, only_with_findings: bool) -> anyhow::Result<ListHostsResponse> {
        let mut client = HostServiceClient::new(self.channel.clone());
        let request = ListHostsRequest {
            only_with_findings,
            ..ListHostsRequest::default()
        };
        Ok(client.list_hosts(request).await?.into_inner())
    }

    /// All certificates, if they are few, which one answer can hold.
    pub async fn certificates(&self) -> anyhow::Result<Vec<TlsCertificate>> {
        let mut client = TlsCertificateServiceClient::new(self.channel.clone());
        let request = ListCertificatesRequest::default();
        let answer = client.list_certificates(request).await?;
        Ok(answer.into_inner().certificates)
    }

    /// The certificate of this name, and the newest of what the log tells of it.
    pub async fn certificate(&self, name: &str) -> anyhow::Result<GetCertificateResponse> {
        let mut client = TlsCertificateServiceClient::new(self.channel.clone());
        let request = GetCertificateRequest {
            name: name.to_owned(),
            ..GetCertificateRequest::default()
        };
        Ok(client.get_certificate(request).await?.into_inner())
    }

    /// Demands that a certificate is renewed.
    pub async fn renew(&self, name: &str, reason: &str) -> Result<(), Status> {
        let mut client = TlsCertificateServiceClient::new(self.channel.clone());
        let request = RenewCertificateRequest {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        client.renew_certificate(request).await.map(drop)
    }

    /// Demands that a certificate is revoked.
    pub async fn revoke(
        &self,
        (name, serial): (&str, &str),
        reason: &str,
        because: RevocationReason,
    ) -> Result<(), Status> {
        let mut client = TlsCertificateServiceClient::new(self.channel.clone());
        let request = RevokeCertificateRequest {
            name: name.to_owned(),
            reason: reason.to_owned(),
            because: because.into(),
            serial: serial.to_owned(),
        };
        client.revoke_certificate(request).await.map(drop)
    }

    /// The connected proxies.
    pub async fn proxies(&self) -> anyhow::Result<Vec<Proxy>> {
        let mut client = ProxyServiceClient::new(self.channel.clone());
        let answer = client.list_proxies(ListProxiesRequest {}).await?;
        Ok(answer.into_inner().proxies)
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

    /// Waits until a proxy is connected and this holds of it.
    pub async fn proxy(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Proxy) -> bool,
    ) -> anyhow::Result<Proxy> {
        let what = format!("proxy {name}: {what}");
        wait::until_ok(&what, SOON, async || {
            let mut proxies = self.proxies().await?.into_iter();
            let proxy = proxies.find(|proxy| proxy.name == name);
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
