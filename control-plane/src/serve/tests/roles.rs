//! Replicas that lead, and replicas that do not.

use roadstead_proto::LEADER;
use roadstead_proto::v1::ListProxiesRequest;
use roadstead_proto::v1::proxy_service_client::ProxyServiceClient;
use roadstead_proto::v1::replication_service_client::ReplicationServiceClient;
use tonic::Code;

use crate::serve::Role as Duty;
use crate::serve::tests::proxy::{Held, Proxy};
use crate::serve::tests::world::{SILENT, World};
use crate::tokens::Role;

fn following(leader: Option<&str>) -> Duty {
    Duty::Following {
        leader: leader.map(Into::into),
    }
}

#[tokio::test]
async fn a_replica_that_does_not_lead_says_where_the_leader_is() {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=s"]);
    world
        .duty
        .send_replace(following(Some("https://leader:8443")));
    let status = Proxy::open(&world, Held::default()).await.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    let leader = status.metadata().get(LEADER).unwrap();
    assert_eq!(leader.to_str().unwrap(), "https://leader:8443");
}

#[tokio::test]
async fn operators_hear_of_the_leaders_proxies_from_any_replica() {
    let world = World::begun().await;
    let mut operator = ProxyServiceClient::new(world.channel(Role::Operator).await);
    world
        .duty
        .send_replace(following(Some("https://leader:8443")));
    let answer = operator.list_proxies(ListProxiesRequest {}).await.unwrap();
    let answer = answer.into_inner();
    let names: Vec<&str> = answer.proxies.iter().map(|proxy| &*proxy.name).collect();
    assert_eq!(names, ["https://leader:8443"]);

    world.duty.send_replace(following(Some(SILENT)));
    let status = operator.list_proxies(ListProxiesRequest {}).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(SILENT), "{status}");
    assert!(status.message().contains("not there"), "{status}");

    world.duty.send_replace(following(None));
    let status = operator.list_proxies(ListProxiesRequest {}).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("nobody else does"), "{status}");
}

#[tokio::test]
async fn a_replica_hears_of_proxies_from_whoever_leads_and_from_no_other() {
    let world = World::guarded().await;
    let mut replica = ReplicationServiceClient::new(world.replica().await);
    let answer = replica.list_proxies(ListProxiesRequest {}).await.unwrap();
    assert!(answer.into_inner().version.is_some());
    // Not by way of another, which might believe that this one leads.
    world
        .duty
        .send_replace(following(Some("https://leader:8443")));
    let status = replica.list_proxies(ListProxiesRequest {}).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("https://leader:8443"), "{status}");
}

#[tokio::test]
async fn while_nobody_leads_a_replica_serves_what_it_has_until_somebody_does() {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=s"]);
    world.duty.send_replace(following(None));
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.take().await;
    assert!(!proxy.held.resources.is_empty());
    assert!(world.presence.borrow().is_empty(), "nobody hears of it");
    world
        .duty
        .send_replace(following(Some("https://leader:8443")));
    let status = proxy.end().await;
    assert!(status.metadata().get(LEADER).is_some(), "{status}");
}

#[tokio::test]
async fn streams_of_a_leader_end_with_its_term() {
    let mut world = World::begun().await;
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.take().await;
    world.until(|presence| presence.len() == 1).await;
    world.duty.send_replace(following(None));
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.metadata().get(LEADER).is_none(), "{status}");
    world.until(|presence| presence.is_empty()).await;
}
