//! Connections by certificates, over TLS.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use roadstead_proto::causes;
use roadstead_proto::v1::certificate_service_client::CertificateServiceClient;
use roadstead_proto::v1::distribution_service_client::DistributionServiceClient;
use roadstead_proto::v1::replication_service_client::ReplicationServiceClient;
use roadstead_proto::v1::{self, IssueRequest, proxy_message::Message};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};
use tower::{Service as _, ServiceExt as _};

use crate::clock::now;
use crate::pki::rotation::Stored;
use crate::pki::{Authorities, Request, Subject};
use crate::serve::tests::world::{World, bearer};
use crate::tokens::Role;

/// A client of this identity.
fn client(authorities: &Authorities, identity: Option<Identity>) -> ClientTlsConfig {
    let ca = Certificate::from_pem(authorities.bundle());
    let tls = ClientTlsConfig::new().ca_certificate(ca);
    match identity {
        Some(identity) => tls.identity(identity),
        None => tls,
    }
}

fn proxy(authorities: &Authorities, node: &str) -> Identity {
    let subject = Subject::proxy(node).unwrap();
    let (certificate, key) = authorities.signing().issue_client(&subject, now()).unwrap();
    Identity::from_pem(certificate, key)
}

/// Says hello under this name and nothing more, and does not end.
fn hello(name: &str) -> impl Stream<Item = v1::ProxyMessage> + use<> {
    let hello = Message::Hello(v1::Hello {
        proxy: name.to_owned(),
        boot_id: "boot".to_owned(),
        binary_version: "test".to_owned(),
        ..v1::Hello::default()
    });
    let hello = v1::ProxyMessage {
        message: Some(hello),
    };
    tokio_stream::once(hello).chain(tokio_stream::pending())
}

/// A stream that says hello.
async fn open(channel: Channel, name: &str) -> Result<Streaming<v1::TransferMessage>, Status> {
    let mut client = DistributionServiceClient::new(channel);
    Ok(client.stream(hello(name)).await?.into_inner())
}

/// The first answer to a stream of this name.
async fn stream(channel: Channel, name: &str) -> Result<v1::TransferMessage, Status> {
    let answer = open(channel, name).await?.message().await?;
    answer.ok_or_else(|| Status::ok("it ended"))
}

/// How a stream ends.
async fn end<T>(stream: &mut Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a word"),
            Err(status) => return status,
        }
    }
}

/// A certificate that is asked for by nothing but the connection.
async fn issue(channel: Channel) -> Result<v1::IssueResponse, Status> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = CertificateParams::default().serialize_request(&key);
    let request = IssueRequest {
        certification_request: request.unwrap().der().to_vec(),
    };
    let given = CertificateServiceClient::new(channel)
        .issue(request)
        .await?;
    Ok(given.into_inner())
}

/// The status of an empty call.
async fn call(mut channel: Channel, path: &str) -> Code {
    let request = http::Request::post(format!("https://roadstead{path}"))
        .header("content-type", "application/grpc")
        .body(Body::empty());
    let channel = channel.ready().await.unwrap();
    let response = channel.call(request.unwrap()).await.unwrap();
    Status::from_header_map(response.headers()).unwrap().code()
}

#[tokio::test]
async fn a_certificate_streams_under_its_own_name_without_a_token() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let connect = || {
        let identity = proxy(authorities, "node-1");
        world.connect(client(authorities, Some(identity)))
    };
    stream(connect().await, "node-1").await.unwrap();
    stream(connect().await, "node-1/pod-a").await.unwrap();
    let status = stream(connect().await, "node-2").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("proxy/node-1"), "{status}");
}

#[tokio::test]
async fn a_token_streams_under_no_name_of_who_has_a_certificate() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let identity = proxy(authorities, "node-1");
    let channel = world.connect(client(authorities, Some(identity))).await;
    let mut node = open(channel, "node-1").await.unwrap();
    node.message().await.unwrap().unwrap();
    let channel = world.connect(client(authorities, None)).await;
    let token = bearer(&world.token(Role::Proxy));
    let mut by_token = DistributionServiceClient::new(InterceptedService::new(channel, token));
    let refused = by_token.stream(hello("node-1")).await.unwrap();
    let status = end(&mut refused.into_inner()).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("set `proxy`"), "{status}");
    let let_in = by_token.stream(hello("elsewhere")).await.unwrap();
    let_in.into_inner().message().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_replica_is_known_by_the_certificate_that_it_makes_itself() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let replica = world.replica().await;
    let path = "/roadstead.v1.ReplicationService/Nothing";
    assert_eq!(call(replica, path).await, Code::Unimplemented);
    for identity in [Some(proxy(authorities, "node-1")), None] {
        let other = world.connect(client(authorities, identity)).await;
        assert_eq!(call(other, path).await, Code::Unauthenticated);
    }
    let error = authorities.replica_tls("Not a pod", now()).unwrap_err();
    assert!(error.to_string().contains("Not a pod"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let other = Stored::first(now()).unwrap().authorities().unwrap();
    let streams_by = async |signed_by: &Authorities| {
        let endpoint = Endpoint::from_shared(format!("https://{}", world.address)).unwrap();
        let tls = client(authorities, Some(proxy(signed_by, "node-1")));
        // It may be refused after what the client takes for the end of the handshake.
        let channel = endpoint.tls_config(tls).unwrap().connect().await;
        let channel = channel.map_err(|error| causes(&error))?;
        let answer = stream(channel, "node-1").await;
        answer.map(drop).map_err(|status| causes(&status))
    };
    streams_by(authorities).await.unwrap();
    let refused = streams_by(&other).await.unwrap_err();
    assert!(refused.contains("received fatal alert"), "{refused}");
}

#[tokio::test]
async fn what_a_certificate_opened_ends_when_its_authority_is_forgotten() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let identity = proxy(authorities, "node-1");
    let channel = world.connect(client(authorities, Some(identity))).await;
    let mut opened = open(channel.clone(), "node-1").await.unwrap();
    issue(channel.clone()).await.unwrap();
    let mut replica = ReplicationServiceClient::new(world.replica().await);
    let followed = replica.follow(v1::FollowRequest::default()).await;
    let mut followed = followed.unwrap().into_inner();
    followed.message().await.unwrap().unwrap();

    world.forget();
    // It begets no certificate of the authority that follows, either.
    let status = issue(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    for status in [end(&mut opened).await, end(&mut followed).await] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains("no longer believed"), "{status}");
    }
    let place = replica.get_place(v1::GetPlaceRequest {}).await;
    assert_eq!(place.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn sockets_that_say_nothing_keep_nobody_else_from_connecting() {
    let world = World::guarded().await;
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    // Most of them are closed at once: their address has what it may have.
    let mut byte = [0];
    let last = silent.last_mut().unwrap().read(&mut byte);
    let last = timeout(Duration::from_secs(3), last).await.unwrap();
    assert!(matches!(last, Ok(0) | Err(_)), "{last:?}");
    let endpoint = Endpoint::from_shared(format!("https://{}", world.address)).unwrap();
    let elsewhere = endpoint.local_address(Some([127, 0, 0, 2].into()));
    let authorities = world.authorities();
    let tls = client(authorities, Some(proxy(authorities, "node-1")));
    let elsewhere = elsewhere.tls_config(tls).unwrap();
    let channel = timeout(Duration::from_secs(3), Box::pin(elsewhere.connect())).await;
    stream(channel.unwrap().unwrap(), "node-1").await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_the_certificate_that_opened_it() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let request = Request::parse(request.der()).unwrap();
    let subject = Subject::proxy("node-1").unwrap();
    let signing = authorities.signing();
    let answer = signing.answer(&request, &subject, now(), now(), 3000);
    let identity = Identity::from_pem(answer.unwrap(), key.serialize_pem());
    let channel = world.connect(client(authorities, Some(identity))).await;
    let status = end(&mut open(channel, "node-1").await.unwrap()).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(status.message().contains("has ended"), "{status}");
}

#[tokio::test]
async fn a_request_that_cannot_be_used_is_refused_and_so_are_too_many() {
    let world = World::guarded().await;
    let authorities = world.authorities();
    let identity = proxy(authorities, "node-1");
    let channel = world.connect(client(authorities, Some(identity))).await;
    let mut client = CertificateServiceClient::new(channel);
    let request = |key: &KeyPair| CertificateParams::default().serialize_request(key);
    let good = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let good = request(&good).unwrap().der().to_vec();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let other = request(&other).unwrap().der().to_vec();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (bytes, word) in [
        (other, "P-256"),
        (forged, "signature"),
        (vec![], "cannot be read"),
        (vec![0x30; 5000], "longer than"),
    ] {
        let status = client.issue(IssueRequest {
            certification_request: bytes,
        });
        let status = status.await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(word), "{status}");
    }
    let mut given = 0;
    let status = loop {
        let asked = client.issue(IssueRequest {
            certification_request: good.clone(),
        });
        match asked.await {
            Ok(_) => given += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((given, status.code()), (12, Code::ResourceExhausted));
}
