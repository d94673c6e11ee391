//! Who is given private keys, and which.

use std::collections::BTreeMap;

use roadstead_proto::v1::secret_service_client::SecretServiceClient;
use roadstead_proto::v1::{self, FetchSecretsRequest};
use tonic::Code;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::clock::now;
use crate::follow::bundles;
use crate::follow::dial::{Dialer, Peer};
use crate::model::bundle::{Bundle, BundleName};
use crate::pki::Subject;
use crate::serve::tests::world::{World, bearer};
use crate::snapshot::{Change, ResourceId};
use crate::tokens::Role;

/// A bundle with this key.
fn bundle(key: &str) -> Bundle {
    Bundle::new(vec![b"chain".to_vec()], key.as_bytes().to_vec())
}

/// Publishes that exactly these certificates are shown, of those of these names.
fn publish(world: &mut World, certificates: &[(&str, Option<&Bundle>)]) {
    use prost::Message as _;
    let changes = certificates.iter().map(|(name, bundle)| {
        let body = bundle.map(|bundle| {
            let certificate = v1::Certificate {
                bundle: bundle.name().as_bytes().to_vec(),
                ..v1::Certificate::default()
            };
            (certificate.encode_to_vec(), ["tls"].as_slice())
        });
        let id = ResourceId::new(v1::ResourceType::Certificate, *name);
        Change { id, body }
    });
    world.change(changes.collect());
}

/// What is given of these.
async fn fetch(
    channel: Channel,
    names: &[BundleName],
) -> Result<BTreeMap<BundleName, Option<Bundle>>, Status> {
    let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut client = SecretServiceClient::new(channel);
    let mut secrets = client
        .fetch_secrets(FetchSecretsRequest { names })
        .await?
        .into_inner();
    let mut given = BTreeMap::new();
    while let Some(v1::Secret { name, body }) = secrets.message().await? {
        let name = BundleName::from_bytes(&name).unwrap();
        let bundle = (!body.is_empty()).then(|| Bundle::checked(name, body).unwrap());
        assert_eq!(given.insert(name, bundle), None, "given twice");
    }
    Ok(given)
}

fn tls(world: &World, identity: Option<Identity>) -> ClientTlsConfig {
    let ca = Certificate::from_pem(world.authorities().bundle());
    let tls = ClientTlsConfig::new().ca_certificate(ca);
    match identity {
        Some(identity) => tls.identity(identity),
        None => tls,
    }
}

async fn proxy(world: &World, node: &str) -> Channel {
    let subject = Subject::proxy(node).unwrap();
    let signing = world.authorities().signing();
    let (certificate, key) = signing.issue_client(&subject, now()).unwrap();
    let identity = Identity::from_pem(certificate, key);
    world.connect(tls(world, Some(identity))).await
}

#[tokio::test]
async fn proxies_and_replicas_are_given_what_is_published_and_nothing_else() {
    let mut world = World::guarded().await;
    let (used, idle, absent) = (bundle("used"), bundle("idle"), bundle("absent"));
    world.keys.put(used.clone());
    world.keys.put(idle.clone());
    let certificates = [
        ("secret/a/used", Some(&used)),
        ("secret/a/absent", Some(&absent)),
    ];
    publish(&mut world, &certificates);
    let names = [used.name(), idle.name(), absent.name(), used.name()];
    let expected: BTreeMap<_, _> = [
        (used.name(), Some(used.clone())),
        (idle.name(), None),
        (absent.name(), None),
    ]
    .into();
    for channel in [proxy(&world, "node-1").await, world.replica().await] {
        assert_eq!(fetch(channel, &names).await.unwrap(), expected);
    }
    // A proxy that is behind may still need what was published a moment ago.
    publish(&mut world, &[("secret/a/used", Some(&idle))]);
    let given = fetch(proxy(&world, "node-1").await, &names).await.unwrap();
    assert_eq!(given.get(&idle.name()), Some(&Some(idle)));
    assert_eq!(given.get(&used.name()), Some(&Some(used)));
}

#[tokio::test]
async fn nobody_else_is_given_anything() {
    let mut world = World::guarded().await;
    let secret = bundle("secret");
    world.keys.put(secret.clone());
    publish(&mut world, &[("secret/a/b", Some(&secret))]);
    let names = [secret.name()];
    let anonymous = world.connect(tls(&world, None)).await;
    let status = fetch(anonymous.clone(), &names).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let asked = || FetchSecretsRequest {
        names: vec![secret.name().as_bytes().to_vec()],
    };
    for (token, code) in [
        (world.token(Role::Operator), Code::PermissionDenied),
        ("0".repeat(64), Code::Unauthenticated),
    ] {
        let mut client = SecretServiceClient::with_interceptor(anonymous.clone(), bearer(&token));
        let status = client.fetch_secrets(asked()).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
    let known = proxy(&world, "node-1").await;
    fetch(known.clone(), &names).await.unwrap();
    // Its authority is no longer believed.
    world.forget();
    let status = fetch(known, &names).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

#[tokio::test]
async fn without_tokens_in_files_no_token_opens_it() {
    let world = World::without_tokens().await;
    let anonymous = world.connect(tls(&world, None)).await;
    let asked = FetchSecretsRequest::default;
    let mut client = SecretServiceClient::new(anonymous.clone());
    let status = client.fetch_secrets(asked()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let mut client = SecretServiceClient::with_interceptor(anonymous, bearer("an-operator's"));
    let status = client.fetch_secrets(asked()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

#[tokio::test]
async fn with_tokens_in_files_that_of_proxies_opens_it() {
    let mut world = World::begun().await;
    let secret = bundle("secret");
    world.keys.put(secret.clone());
    publish(&mut world, &[("secret/a/b", Some(&secret))]);
    let asked = FetchSecretsRequest {
        names: vec![secret.name().as_bytes().to_vec()],
    };
    let mut client = SecretServiceClient::new(world.channel(Role::Proxy).await);
    let mut given = client
        .fetch_secrets(asked.clone())
        .await
        .unwrap()
        .into_inner();
    let given = given.message().await.unwrap().unwrap();
    assert_eq!(given.body, *secret.bytes());
    let mut client = SecretServiceClient::new(world.channel(Role::Operator).await);
    let status = client.fetch_secrets(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

#[tokio::test]
async fn a_call_asks_for_so_many_and_a_node_calls_so_often_at_once() {
    let mut world = World::guarded().await;
    let secret = Bundle::new(vec![vec![0; 200 * 1024]], b"secret".to_vec());
    world.keys.put(secret.clone());
    publish(&mut world, &[("secret/a/b", Some(&secret))]);
    let channel = proxy(&world, "node-1").await;
    let many: Vec<BundleName> = (0..257_u32)
        .map(|number| BundleName::of(&number.to_be_bytes()))
        .collect();
    assert_eq!(fetch(channel.clone(), &many[1..]).await.unwrap().len(), 256);
    let status = fetch(channel.clone(), &many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let mut client = SecretServiceClient::new(channel);
    let short = FetchSecretsRequest {
        names: vec![vec![0; 31]],
    };
    let status = client.fetch_secrets(short).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    // Answers that are not read: more than a connection's window holds, and one more is asked for.
    let names = [vec![secret.name().as_bytes().to_vec()], many_names(&many)].concat();
    let asked = FetchSecretsRequest { names };
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(client.fetch_secrets(asked.clone()).await.unwrap());
    }
    let status = client.fetch_secrets(asked.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // Others are others, and who ends a call has its place again.
    let mut other = SecretServiceClient::new(proxy(&world, "node-2").await);
    other.fetch_secrets(asked.clone()).await.unwrap();
    drop(unread);
    while client.fetch_secrets(asked.clone()).await.is_err() {}
}

fn many_names(names: &[BundleName]) -> Vec<Vec<u8>> {
    let names = names.iter().take(250);
    names.map(|name| name.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn a_follower_fetches_what_it_lacks_from_its_leader() {
    let mut leader = World::guarded().await;
    let mut follower = World::begun().await;
    let all: Vec<Bundle> = (0..300).map(|number| bundle(&number.to_string())).collect();
    let named: Vec<(String, &Bundle)> = all
        .iter()
        .map(|bundle| (format!("secret/a/{}", bundle.name()), bundle))
        .collect();
    let certificates: Vec<_> = named
        .iter()
        .map(|(name, bundle)| (&**name, Some(*bundle)))
        .collect();
    let (last, first) = all.split_last().unwrap();
    first
        .iter()
        .for_each(|bundle| leader.keys.put(bundle.clone()));
    publish(&mut leader, &certificates);
    publish(&mut follower, &certificates);
    let peer = Peer {
        address: format!("https://{}", leader.address).into(),
        name: None,
    };
    let config = leader
        .authorities()
        .replica_tls("roadstead-1", now())
        .unwrap();
    let dialer = Dialer::new(move || {
        let config = config.clone();
        Box::pin(async move { Some(config) })
    });
    let keys = follower.keys.clone();
    let mut missing = keys.missing();
    follower.follow_keys();
    let mut running = tokio::task::JoinSet::new();
    let others = move || std::future::ready(vec![peer.clone()]);
    running.spawn(bundles::run(dialer, others, keys.clone()));
    while missing.now() != [last.name()].into() {
        assert!(missing.changed().await);
    }
    // What the leader comes to hold later is had then.
    leader.keys.put(last.clone());
    while !missing.now().is_empty() {
        assert!(missing.changed().await);
    }
    for bundle in &all {
        assert_eq!(keys.served(bundle.name()).as_ref(), Some(bundle));
    }
}
