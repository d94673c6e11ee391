//! What proxies cannot use, from their acknowledgements to operators.

use roadstead_proto::v1::ListProxiesRequest;
use roadstead_proto::v1::proxy_service_client::ProxyServiceClient;

use crate::serve::tests::proxy::Proxy;
use crate::serve::tests::world::{LINEAGE, World};
use crate::tokens::Role;

#[tokio::test]
async fn acknowledgements_reach_operators() {
    let mut world = World::begun().await;
    let mut proxy = Proxy::join(&world, "node-1").await;
    proxy.take().await;
    let mut operator = ProxyServiceClient::new(world.channel(Role::Operator).await);
    world.until(|presence| presence.len() == 1).await;
    let list = operator.list_proxies(ListProxiesRequest {}).await.unwrap();
    let list = list.into_inner();
    assert_eq!(list.proxies[0].acknowledged, None);
    assert!(!list.proxies[0].current);

    proxy.ack(&["http"]).await;
    world
        .until(|presence| presence.proxies().any(|proxy| proxy.acknowledged.is_some()))
        .await;
    let list = operator.list_proxies(ListProxiesRequest {}).await.unwrap();
    let list = list.into_inner();
    let [listed] = list.proxies.as_slice() else {
        panic!("{list:?}");
    };
    assert_eq!(listed.name, "node-1");
    assert_eq!(listed.boot_id, "boot-1");
    assert!(listed.peer.starts_with("127.0.0.1:"), "{}", listed.peer);
    assert!(listed.current);
    assert_eq!(listed.acknowledged, list.version);
    assert_eq!(list.version.unwrap().lineage, LINEAGE);
    let [fault] = listed.faults.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!(fault.reason, "AddressInUse");
    assert_eq!(fault.resource.as_ref().unwrap().name, "http");
}

#[tokio::test]
async fn a_fault_that_ends_is_told_without_a_transfer() {
    let mut world = World::begun().await;
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.take().await;
    proxy.ack(&["http"]).await;
    proxy.ack(&[]).await;
    let mut said = Vec::new();
    while said.len() < 4 {
        said.push(world.transitions.recv().await.unwrap());
    }
    assert_eq!(
        said,
        [
            "proxy p joined",
            "proxy p cannot use listener http: another process has the port",
            "version 1.2 is live on all 1 proxies, of which 1 cannot use all of it",
            "proxy p no longer finds fault with listener http",
        ]
    );
    // And the stream goes on.
    world.route("shop", &["a.example/=web"]);
    proxy.follow().await;
}
