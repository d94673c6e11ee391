//! Transfers: whole, by what changed, one at a time.

use std::time::Duration;

use tonic::Code;

use crate::serve::Patience;
use crate::serve::listen::Security;
use crate::serve::tests::proxy::{Held, Proxy};
use crate::serve::tests::world::World;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_proxy_that_holds_nothing_is_sent_everything_in_chunks() {
    let mut world = World::start().await;
    let sizes = [
        ("a", 400_000),
        ("b", 400_000),
        ("c", 400_000),
        ("d", 2 * MIB),
        ("e", 1),
    ];
    let routes = sizes.map(|(name, size)| (name, Some(size)));
    world.set(&routes);
    let mut proxy = Proxy::join(&world, "p").await;
    let whole = proxy.follow().await;
    assert_eq!(whole.buckets, (0..256).collect::<Vec<_>>());
    assert_eq!(whole.names().0, ["a", "b", "c", "d", "e"]);
    // a and b; c; d alone, which is larger than a chunk; e.
    assert_eq!(whole.chunks.len(), 4);
    let over = whole.chunks.iter().filter(|bytes| **bytes > MIB);
    assert_eq!(over.count(), 1);
}

#[tokio::test]
async fn nothing_is_sent_before_something_is_published() {
    let mut world = World::start().await;
    let mut proxy = Proxy::join(&world, "p").await;
    world.until(|presence| presence.len() == 1).await;
    world.begin();
    let first = proxy.follow().await;
    assert_eq!(first.names().0, ["http"]);
}

#[tokio::test]
async fn after_an_acknowledgement_only_changes_are_sent() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1)), ("b", Some(1)), ("c", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.follow().await;
    world.set(&[("a", Some(2)), ("b", None), ("d", Some(1))]);
    let delta = proxy.follow().await;
    assert!(delta.buckets.is_empty());
    assert_eq!(delta.names(), (vec!["a", "d"], vec!["b"]));
}

#[tokio::test]
async fn what_changes_while_a_transfer_is_on_its_way_is_one_transfer_more() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.follow().await;
    world.set(&[("a", Some(2))]);
    let first = proxy.take().await;
    for size in 3..6 {
        world.set(&[("a", Some(size)), ("b", Some(size))]);
    }
    proxy.ack(&[]).await;
    let second = proxy.take().await;
    assert_eq!(first.names().0, ["a"]);
    assert_eq!(second.names().0, ["a", "b"]);
    assert_eq!(second.seq(), world.publication().snapshot().version().seq.0);
}

#[tokio::test]
async fn every_proxy_is_sent_every_version_in_the_end() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut proxies = Vec::new();
    for name in ["p", "q", "r"] {
        proxies.push(Proxy::join(&world, name).await);
    }
    for proxy in &mut proxies {
        proxy.follow().await;
    }
    world.set(&[("a", Some(2))]);
    for proxy in &mut proxies {
        assert_eq!(proxy.follow().await.names().0, ["a"]);
    }
    let newest = world.publication().snapshot().version();
    let presence = world
        .until(|presence| {
            let acknowledged = |proxy: &crate::presence::Proxy| proxy.acknowledged;
            presence
                .proxies()
                .filter_map(acknowledged)
                .all(|a| a.version == newest)
        })
        .await;
    assert_eq!(presence.len(), 3);
    let mut live = Vec::new();
    while let Ok(transition) = world.transitions.try_recv() {
        live.push(transition);
    }
    assert!(
        live.contains(&format!("version {newest} is live on all 3 proxies")),
        "{live:?}"
    );
}

#[tokio::test]
async fn few_large_transfers_are_on_their_way_at_once() {
    let mut world = World::start().await;
    world.set(&[("a", Some(MIB)), ("b", Some(MIB))]);
    let mut proxies = Vec::new();
    for number in 0..8 {
        let mut proxy = Proxy::join(&world, &format!("p{number}")).await;
        proxy.take().await;
        proxies.push(proxy);
    }
    let mut ninth = Proxy::join(&world, "ninth").await;
    world.until(|presence| presence.len() == 9).await;
    // One that needs only a little is not held up, and has gone the whole way meanwhile.
    let mut tenth = Proxy::join_with(&world, "tenth", "boot-1", proxies[0].held.clone()).await;
    tenth.follow().await;
    world.set(&[("c", Some(1))]);
    proxies[0].ack(&[]).await;
    // Had it been sent before, it would have been sent the version before.
    assert_eq!(ninth.follow().await.names().0, ["a", "b", "c"]);
}

#[tokio::test]
async fn who_says_nothing_in_time_is_let_go() {
    let short = Duration::from_millis(50);
    let for_hello = Patience {
        hello: short,
        ..Patience::default()
    };
    let world = World::with(for_hello, Security::Plaintext).await;
    let mut silent = Proxy::open(&world, Held::default()).await;
    assert_eq!(silent.end().await.code(), Code::DeadlineExceeded);

    let for_answer = Patience {
        answer: short,
        ..Patience::default()
    };
    let mut world = World::with(for_answer, Security::Plaintext).await;
    world.set(&[("a", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.take().await;
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("answer to a transfer"),
        "{status}"
    );
    world.until(crate::presence::Presence::is_empty).await;
}

#[tokio::test]
async fn a_stop_ends_streams_and_reports_them() {
    let mut world = World::start().await;
    world.set(&[("a", Some(1))]);
    let mut proxy = Proxy::join(&world, "p").await;
    proxy.follow().await;
    world.until(|presence| presence.len() == 1).await;
    let (ended, status) = tokio::join!(world.stop(), proxy.end());
    ended.unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    world.until(crate::presence::Presence::is_empty).await;
}
