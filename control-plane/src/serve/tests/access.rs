//! Who may call what, and how.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use roadstead_proto::v1::distribution_service_client::DistributionServiceClient;
use roadstead_proto::v1::proxy_service_client::ProxyServiceClient;
use roadstead_proto::v1::snapshot_service_client::SnapshotServiceClient;
use roadstead_proto::v1::{GetSnapshotRequest, ListProxiesRequest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::model::time::Timestamp;
use crate::pki::server::ServerCertificate;
use crate::pki::{Authority, CERTIFICATE};
use crate::serve::Patience;
use crate::serve::listen::Security;
use crate::serve::tests::world::{World, bearer};
use crate::tokens::Role;

async fn plain(world: &World) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", world.address)).unwrap();
    endpoint.connect().await.unwrap()
}

async fn list_proxies(world: &World, token: &str) -> Status {
    let channel = InterceptedService::new(plain(world).await, bearer(token));
    let mut client = ProxyServiceClient::new(channel);
    client
        .list_proxies(ListProxiesRequest {})
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_call_without_its_token_is_told_where_the_token_is() {
    let world = World::begun().await;
    let mut anonymous = SnapshotServiceClient::new(plain(&world).await);
    let status = anonymous.get_snapshot(GetSnapshotRequest::default()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("operator.token"), "{status}");

    let status = list_proxies(&world, &"0".repeat(64)).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(!status.message().contains("0000"), "{status}");
}

#[tokio::test]
async fn a_token_opens_only_the_calls_of_its_role() {
    let world = World::begun().await;
    let status = list_proxies(&world, &world.token(Role::Proxy)).await;
    assert_eq!(status.code(), Code::PermissionDenied);

    let channel = world.channel(Role::Operator).await;
    let mut stream = DistributionServiceClient::new(channel);
    let status = stream.stream(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("proxy.token"), "{status}");
}

#[tokio::test]
async fn reflection_lists_every_service_to_operators_only() {
    let world = World::begun().await;
    let ask = || {
        tokio_stream::once(ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        })
    };
    let mut anonymous = ServerReflectionClient::new(plain(&world).await);
    let status = anonymous.server_reflection_info(ask()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    let mut client = ServerReflectionClient::new(world.channel(Role::Operator).await);
    let answers = client.server_reflection_info(ask()).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for service in ["Distribution", "Event", "Host", "Proxy", "Snapshot"] {
        let service = format!("roadstead.v1.{service}Service");
        assert!(
            names.contains(&service.as_str()),
            "{service} is not in {names:?}"
        );
    }
}

#[tokio::test]
async fn with_tls_only_who_trusts_the_authority_connects() {
    let keys = tempfile::tempdir().unwrap();
    let now = || Timestamp(1_760_000_000_000);
    let authority = Authority::open(keys.path(), now()).unwrap();
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    // The client looks at the real clock.
    let server =
        ServerCertificate::new(authority.alone().unwrap(), names, crate::clock::now).unwrap();
    let world = World::with(Patience::default(), Security::Tls(server.tls())).await;
    let connect = |tls| {
        let endpoint = Endpoint::from_shared(format!("https://{}", world.address)).unwrap();
        async move { endpoint.tls_config(tls).unwrap().connect().await }
    };
    let ca = std::fs::read(keys.path().join(CERTIFICATE)).unwrap();
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let channel = connect(trusting).await.unwrap();
    let token = bearer(&world.token(Role::Operator));
    let mut client = ProxyServiceClient::new(InterceptedService::new(channel, token));
    client.list_proxies(ListProxiesRequest {}).await.unwrap();

    let other = tempfile::tempdir().unwrap();
    Authority::open(other.path(), now()).unwrap();
    let ca = std::fs::read(other.path().join(CERTIFICATE)).unwrap();
    let stranger = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let error = connect(stranger).await.unwrap_err();
    let error = Arc::<dyn std::error::Error>::from(Box::<dyn std::error::Error>::from(error));
    let mut cause: &dyn std::error::Error = &*error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    assert!(cause.to_string().contains("certificate"), "{cause}");

    let plaintext = Endpoint::from_shared(format!("http://{}", world.address)).unwrap();
    let mut client = ProxyServiceClient::new(plaintext.connect_lazy());
    client
        .list_proxies(ListProxiesRequest {})
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_connection_that_shows_no_token_is_closed() {
    let world = World::begun().await;
    let known = world.channel(Role::Operator).await;
    let mut known = ProxyServiceClient::new(known);
    known.list_proxies(ListProxiesRequest {}).await.unwrap();
    // It speaks HTTP/2, answers pings, and calls nothing.
    let stream = TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let client = http2::Builder::new(TokioExecutor::new());
    let handshake = client.handshake::<_, Empty<Bytes>>(stream).await;
    let (_caller, connection) = handshake.unwrap();
    // Time passes by itself while nothing else happens.
    tokio::time::pause();
    let closed = timeout(Duration::from_secs(120), connection).await;
    tokio::time::resume();
    assert!(closed.is_ok(), "it is still open");
    // The other connection is as old, and goes on.
    known.list_proxies(ListProxiesRequest {}).await.unwrap();
}
