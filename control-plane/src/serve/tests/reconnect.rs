//! What a proxy is sent that holds something already, or could not use what it was sent.

use std::collections::BTreeSet;

use roadstead_proto::digest::bucket_of;
use roadstead_proto::v1::{self, ResourceType, proxy_message::Message};
use tonic::Code;

use crate::serve::tests::proxy::{Held, Proxy};
use crate::serve::tests::world::World;

/// A proxy that held everything and lost its connection.
async fn was_connected(world: &World) -> Held {
    let mut proxy = Proxy::join(world, "p").await;
    proxy.follow().await;
    proxy.held
}

fn bucket(name: &str) -> u32 {
    bucket_of(ResourceType::Route, name).into()
}

#[tokio::test]
async fn one_that_holds_all_is_sent_an_empty_transfer_to_acknowledge() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1)), ("b", Some(1))]);
    let held = was_connected(&world).await;
    let mut proxy = Proxy::join_with(&world, "p", "boot-1", held).await;
    let empty = proxy.follow().await;
    assert!(empty.buckets.is_empty() && empty.changed.is_empty() && empty.removed.is_empty());
    world
        .until(|presence| presence.proxies().any(|proxy| proxy.acknowledged.is_some()))
        .await;
}

#[tokio::test]
async fn one_that_missed_changes_is_sent_the_buckets_that_differ() {
    let mut world = World::start().await;
    world.set(&[
        ("a", Some(1)),
        ("b", Some(1)),
        ("c", Some(1)),
        ("d", Some(1)),
    ]);
    let held = was_connected(&world).await;
    world.set(&[("a", Some(2)), ("b", None), ("e", Some(1))]);
    let mut proxy = Proxy::join_with(&world, "p", "boot-2", held).await;
    let transfer = proxy.follow().await;
    let expected: BTreeSet<u32> = ["a", "b", "e"].map(bucket).into();
    assert_eq!(
        transfer.buckets.iter().copied().collect::<BTreeSet<_>>(),
        expected
    );
    assert_eq!(transfer.names(), (vec!["a", "e"], vec![]));
    // From here on by changes again.
    world.set(&[("c", Some(2))]);
    assert_eq!(proxy.follow().await.names().0, ["c"]);
}

#[tokio::test]
async fn one_that_holds_what_was_found_in_the_log_is_left_alone_until_all_is_listed() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let held = was_connected(&world).await;
    world.restore();
    let mut holds = Proxy::join_with(&world, "holds", "boot-1", held).await;
    let mut lacks = Proxy::join(&world, "lacks").await;
    assert_eq!(lacks.follow().await.names().0, ["a"]);
    world
        .until(|presence| {
            presence
                .proxies()
                .any(|proxy| &*proxy.hello.proxy == "holds")
        })
        .await;
    world.set(&[("b", Some(2))]);
    assert_eq!(lacks.follow().await.names().0, ["b"]);
    // Had it been told what was restored, this would be its second transfer.
    assert_eq!(holds.follow().await.names().0, ["b"]);
}

#[tokio::test]
async fn one_of_another_installation_is_sent_ours_and_decides() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut held = was_connected(&world).await;
    held.version.as_mut().unwrap().lineage = "another".into();
    let mut proxy = Proxy::join_with(&world, "p", "boot-2", held).await;
    let transfer = proxy.receive().await.unwrap();
    assert!(transfer.changed.is_empty());
    assert_ne!(transfer.commit.version.unwrap().lineage, "another");
}

#[tokio::test]
async fn one_that_holds_a_higher_version_is_sent_ours_and_decides() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut held = was_connected(&world).await;
    held.version.as_mut().unwrap().epoch = 9;
    let mut proxy = Proxy::join_with(&world, "p", "boot-2", held).await;
    let transfer = proxy.receive().await.unwrap();
    assert_eq!(transfer.commit.version.unwrap().epoch, 1);
}

#[tokio::test]
async fn after_a_nack_the_buckets_of_its_digest_are_sent() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1)), ("b", Some(1)), ("c", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.follow().await;
    // It lost b, unknown to us.
    proxy.held.resources.retain(|(_, name), _| name != "b");
    world.set(&[("a", Some(2))]);
    let refused = proxy.receive().await.unwrap();
    assert_eq!(refused.names().0, ["a"]);
    proxy.nack(refused.commit.version).await;
    let again = proxy.follow().await;
    assert_eq!(again.names().0, ["a", "b"]);
    assert_eq!(again.buckets.len(), 2);
    world.set(&[("c", Some(2))]);
    assert_eq!(proxy.follow().await.names().0, ["c"]);
}

#[tokio::test]
async fn one_that_refuses_over_and_over_is_let_go() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    for _ in 0..3 {
        let refused = proxy.receive().await.unwrap();
        proxy.nack(refused.commit.version).await;
    }
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("DigestMismatch"), "{status}");
    world.until(crate::presence::Presence::is_empty).await;
}

#[tokio::test]
async fn a_newer_stream_of_the_same_name_takes_its_place() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut first = Proxy::join_with(&world, "p", "boot-1", Held::default()).await;
    first.follow().await;
    let mut second = Proxy::join_with(&world, "p", "boot-2", Held::default()).await;
    second.follow().await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    let presence = world
        .until(|presence| presence.proxies().any(|proxy| proxy.acknowledged.is_some()))
        .await;
    let boots: Vec<_> = presence
        .proxies()
        .map(|proxy| &*proxy.hello.boot_id)
        .collect();
    assert_eq!(boots, ["boot-2"]);
    world.set(&[("a", Some(2))]);
    assert_eq!(second.follow().await.names().0, ["a"]);
}

#[tokio::test]
async fn messages_out_of_order_end_the_stream() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut early = Proxy::open(&world, Held::default()).await;
    early.ack(&[]).await;
    assert_eq!(early.end().await.code(), Code::InvalidArgument);

    let mut nameless = Proxy::join(&world, "").await;
    let status = nameless.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("proxy must have"), "{status}");

    let mut twice = Proxy::join(&world, "p").await;
    twice.follow().await;
    twice.say(Message::Hello(v1::Hello::default())).await;
    assert_eq!(twice.end().await.code(), Code::InvalidArgument);

    let mut wrong = Proxy::join(&world, "p").await;
    wrong.take().await;
    wrong.held.version.as_mut().unwrap().seq += 1;
    wrong.ack(&[]).await;
    assert_eq!(wrong.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn who_is_found_to_hold_something_else_is_sent_what_differs_though_nothing_changes() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1)), ("b", Some(1)), ("c", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.follow().await;
    // Right the first time: nothing is sent, as the transfer of the second tells.
    proxy.count().await;
    proxy.held.resources.retain(|(_, name), _| name != "b");
    proxy.count().await;
    let repair = proxy.follow().await;
    assert_eq!(repair.names(), (vec!["b"], vec![]));
    assert_eq!(repair.buckets.len(), 1);
    // And it goes on from there.
    world.set(&[("a", Some(2))]);
    assert_eq!(proxy.follow().await.names(), (vec!["a"], vec![]));
}
