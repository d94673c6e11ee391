//! The control side against a control plane in the same process that the test drives: what
//! a proxy serves by, what it answers, and what it does when there is no one to ask.

#![cfg(test)]
#![expect(clippy::large_futures, reason = "tests need not be small")]

mod certificates;
mod challenges;
mod collector;
mod plane;
mod program;
mod proxy;
mod tls;
mod wire;

use roadstead_data_plane::snapshot::{CAPABILITIES, Reason};
use roadstead_proto::v1::ResourceType;
use tokio::time::Duration;

use crate::{
    plane::Plane,
    proxy::{Proxy, local, serving},
    wire::{Content, ack, counted, listener, nack, route},
};

#[tokio::test]
async fn a_proxy_that_holds_nothing_is_given_all_and_then_what_changes() {
    local(async {
        let mut plane = Plane::start().await;
        let proxy = Proxy::start(&plane, None).await;
        let mut stream = plane.accept().await;
        assert_eq!(stream.hello.proxy, "node-1");
        assert_eq!(stream.hello.held, None);
        assert_eq!(stream.hello.capabilities, CAPABILITIES);
        assert_eq!(stream.token.as_deref(), Some("Bearer a token"));

        let mut content = Content::default();
        content.put(route("a", "/"));
        stream.send_whole(1, &content).await;
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));

        let delta = content.change(vec![route("b", "/")], &["route/a"]);
        stream.send_delta(2, delta, &content).await;
        assert_eq!(ack(stream.answer().await), (2, vec![]));
        assert_eq!(proxy.serves("a").await, None);
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_resource_that_cannot_be_used_keeps_its_last_good_form_and_stops_no_other() {
    local(async {
        let resources = [route("a", "/")];
        let (_plane, proxy, mut stream, mut content) = serving(resources).await;

        let bad = route("a", "no path");
        let delta = content.change(vec![bad, route("b", "/")], &[]);
        stream.send_delta(2, delta, &content).await;
        let fault = ("route/a".to_owned(), "InvalidField".to_owned());
        assert_eq!(ack(stream.answer().await), (2, vec![fault.clone()]));
        assert_eq!(proxy.serves("a").await, Some("1.2 route/a".to_owned()));
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));

        let delta = content.change(vec![route("c", "/")], &[]);
        stream.send_delta(3, delta, &content).await;
        let (seq, faults) = ack(stream.answer().await);
        assert_eq!((seq, faults), (3, vec![fault]), "the full list each time");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_digest_is_answered_by_what_is_held_and_repaired_by_buckets() {
    local(async {
        let resources = [route("a", "/"), route("b", "/")];
        let (_plane, proxy, mut stream, mut content) = serving(resources).await;

        // A delta that forgets to say that one route is gone.
        let mut torn = content.change(vec![route("c", "/")], &["route/b"]);
        torn.removed.clear();
        stream.send_delta(2, torn, &content).await;
        let (seq, reason, held) = nack(stream.answer().await);
        assert_eq!((seq, reason.as_str()), (2, "DigestMismatch"));
        assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));
        assert_eq!(proxy.serves("c").await, None, "nothing of it is in use");

        stream.send_repair(2, &held, &content).await;
        assert_eq!(ack(stream.answer().await), (2, vec![]));
        assert_eq!(proxy.serves("b").await, None);
        assert_eq!(proxy.serves("c").await, Some("1.2 route/c".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn now_and_then_a_proxy_says_by_itself_what_it_holds() {
    local(async {
        let mut plane = Plane::start().await;
        let _proxy = Proxy::start_counting(&plane, Duration::from_millis(20)).await;
        let mut stream = plane.accept().await;
        let mut content = Content::default();
        content.put(route("a", "/"));
        stream.send_whole(1, &content).await;
        assert_eq!(counted(stream.answer().await), None, "that is the answer");
        let digest = content.digest().to_proto();
        for _ in 0..2 {
            assert_eq!(counted(stream.answer().await), Some(digest.clone()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_lower_version_and_another_lineage_are_refused_and_the_stream_is_left() {
    local(async {
        let mut plane = Plane::start().await;
        let proxy = Proxy::start(&plane, None).await;
        let mut stream = plane.accept().await;
        let mut content = Content::default();
        content.put(route("a", "/"));
        stream.send_whole(7, &content).await;
        stream.answer().await;

        let delta = content.change(vec![route("b", "/")], &[]);
        stream.send_delta(6, delta, &content).await;
        let (seq, reason, _) = nack(stream.answer().await);
        assert_eq!((seq, reason.as_str()), (6, "LowerVersion"));
        assert!(stream.has_ended().await);

        let mut stream = plane.accept().await;
        assert_eq!(stream.hello.held.as_ref().map(|v| v.seq), Some(7));
        stream.lineage = "another".to_owned();
        stream.send_whole(99, &content).await;
        let (seq, reason, _) = nack(stream.answer().await);
        assert_eq!((seq, reason.as_str()), (99, "OtherLineage"));
        assert!(stream.has_ended().await);
        assert_eq!(proxy.serves("a").await, Some("1.7 route/a".to_owned()));
        assert_eq!(proxy.serves("b").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_torn_transfer_changes_nothing_and_the_next_stream_begins_anew() {
    local(async {
        let resources = [route("a", "/")];
        let (mut plane, proxy, stream, mut content) = serving(resources).await;

        let delta = content.change(vec![route("b", "/")], &["route/a"]);
        stream.send_without_commit(2, delta).await;
        drop(stream);
        let mut stream = plane.accept().await;
        assert_eq!(stream.hello.held.as_ref().map(|v| v.seq), Some(1));
        assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));
        assert_eq!(proxy.serves("b").await, None);

        let held = stream.hello.digest.clone().unwrap();
        stream.send_repair(2, &held, &content).await;
        assert_eq!(ack(stream.answer().await), (2, vec![]));
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_is_a_fault_until_it_can() {
    local(async {
        let mut plane = Plane::start().await;
        let proxy = Proxy::start(&plane, None).await;
        proxy.set_closed(Some(Reason::AddressInUse));
        let mut stream = plane.accept().await;
        let mut content = Content::default();
        content.put(listener("web", 80));
        content.put(route("a", "/"));
        stream.send_whole(1, &content).await;
        let fault = ("web".to_owned(), "AddressInUse".to_owned());
        assert_eq!(ack(stream.answer().await), (1, vec![fault]));
        assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));

        proxy.has_tried(3).await;
        proxy.set_closed(None);
        let answer = stream.answer().await;
        assert_eq!(ack(answer), (1, vec![]), "said by itself, and once");
        assert_eq!(proxy.report().listeners, 1);
    })
    .await;
}

#[tokio::test]
async fn without_a_control_plane_the_last_version_is_served_and_kept() {
    local(async {
        let folder = tempfile::tempdir().unwrap();
        let mut plane = Plane::start().await;
        let proxy = Proxy::start(&plane, Some(folder.path())).await;
        let mut stream = plane.accept().await;
        let mut content = Content::default();
        content.put(route("a", "/"));
        content.put(route("bad", "/"));
        content.put(listener("web", 80));
        stream.send_whole(1, &content).await;
        stream.answer().await;
        let delta = content.change(vec![route("b", "/"), route("bad", "no path")], &["route/a"]);
        stream.send_delta(2, delta, &content).await;
        stream.answer().await;
        drop(stream);
        plane.stop().await;
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));
        let report = proxy.report();
        proxy.stop().await;

        let proxy = Proxy::start(&plane, Some(folder.path())).await;
        assert_eq!(proxy.serves("a").await, None);
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));
        assert_eq!(proxy.serves("bad").await, Some("1.2 route/bad".to_owned()));
        let restored = proxy.report();
        assert_eq!(restored.version, report.version);
        assert_eq!(restored.digest, report.digest);
        assert_eq!(restored.faults, report.faults);
        assert_eq!(restored.listeners, 1);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_comes_back_by_itself_and_says_what_it_holds() {
    local(async {
        let resources = [route("a", "/")];
        let (mut plane, proxy, stream, mut content) = serving(resources).await;
        let boot_id = stream.hello.boot_id.clone();
        drop(stream);
        plane.stop().await;
        plane.resume().await;

        let mut stream = plane.accept().await;
        assert_eq!(stream.hello.boot_id, boot_id);
        assert_eq!(stream.hello.digest, Some(content.digest().to_proto()));
        let delta = content.change(vec![route("b", "/")], &[]);
        stream.send_delta(2, delta, &content).await;
        assert_eq!(ack(stream.answer().await), (2, vec![]));
        assert_eq!(proxy.serves("b").await, Some("1.2 route/b".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_type_of_a_later_release_is_a_fault_and_counts_in_the_digest() {
    local(async {
        let mut plane = Plane::start().await;
        let _proxy = Proxy::start(&plane, None).await;
        let mut stream = plane.accept().await;
        let mut content = Content::default();
        let mut later = route("a", "/");
        later.r#type = i32::from(ResourceType::Endpoints) + 40;
        content.put(later);
        stream.send_whole(1, &content).await;
        let fault = ("route/a".to_owned(), "UnknownType".to_owned());
        assert_eq!(ack(stream.answer().await), (1, vec![fault]));
    })
    .await;
}
