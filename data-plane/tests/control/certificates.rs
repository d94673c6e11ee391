//! Certificates: shown once their bundles have come, which a version waits for only so long.

use roadstead_data_plane::snapshot::BundleName;

use crate::{
    plane::{Plane, ProxyStream},
    proxy::{Proxy, local},
    wire::{Content, ack, certificate, route, server_name},
};

fn name(bundle: &[u8]) -> Vec<u8> {
    BundleName::of(bundle).as_bytes().to_vec()
}

fn give(plane: &Plane, bundle: &[u8]) {
    plane.give(&name(bundle), bundle);
}

fn shown(bundle: &[u8]) -> Option<(String, Vec<u8>)> {
    Some(("secret/a".to_owned(), bundle.to_vec()))
}

/// A version whose one certificate has this bundle.
async fn tell(stream: &mut ProxyStream, seq: u64, bundle: &[u8]) -> (u64, Vec<(String, String)>) {
    let mut content = Content::default();
    content.put(certificate("a", &name(bundle)));
    content.put(server_name("a"));
    content.put(route("a", "/"));
    stream.send_whole(seq, &content).await;
    ack(stream.answer().await)
}

fn not_fetched() -> Vec<(String, String)> {
    vec![("secret/a".to_owned(), "SecretNotFetched".to_owned())]
}

#[tokio::test]
async fn a_version_is_served_with_the_certificates_that_it_brings() {
    local(async {
        let mut plane = Plane::start().await;
        give(&plane, b"one");
        let proxy = Proxy::start(&plane, None).await;
        let mut stream = plane.accept().await;
        assert_eq!(tell(&mut stream, 1, b"one").await, (1, vec![]));
        assert_eq!(proxy.shows("a"), shown(b"one"));
        assert_eq!(proxy.report().certificates, 1);
        assert_eq!(plane.tokens(), [Some("Bearer a token".to_owned())]);
        // What is held is not asked for again.
        assert_eq!(tell(&mut stream, 2, b"one").await, (2, vec![]));
        assert_eq!(*plane.calls().borrow(), [1]);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_not_given_stops_nothing_and_is_asked_for_again() {
    local(async {
        let mut plane = Plane::start().await;
        give(&plane, b"one");
        let proxy = Proxy::start(&plane, None).await;
        let mut stream = plane.accept().await;
        tell(&mut stream, 1, b"one").await;

        assert_eq!(tell(&mut stream, 2, b"two").await, (2, not_fetched()));
        assert_eq!(proxy.shows("a"), shown(b"one"), "the one before");
        assert!(proxy.serves("a").await.unwrap().starts_with("1.2 "));

        // What is not what its name says is as if it had not been given.
        plane.give(&name(b"two"), b"three");
        let mut calls = plane.calls();
        calls.wait_for(|calls| calls.len() >= 4).await.unwrap();
        assert_eq!(proxy.shows("a"), shown(b"one"));
        give(&plane, b"two");
        let answer = stream.answer().await;
        assert_eq!(ack(answer), (2, vec![]), "said by itself, and once");
        assert_eq!(proxy.shows("a"), shown(b"two"));
    })
    .await;
}

#[tokio::test]
async fn what_was_kept_is_shown_without_a_control_plane_and_the_rest_once_there_is_one() {
    local(async {
        let folder = tempfile::tempdir().unwrap();
        let mut plane = Plane::start().await;
        give(&plane, b"one");
        let proxy = Proxy::start(&plane, Some(folder.path())).await;
        let mut stream = plane.accept().await;
        tell(&mut stream, 1, b"one").await;
        drop(stream);
        plane.stop().await;
        proxy.stop().await;

        let proxy = Proxy::start(&plane, Some(folder.path())).await;
        assert_eq!(proxy.shows("a"), shown(b"one"));
        proxy.stop().await;

        // As after a reboot of the node.
        std::fs::remove_dir_all(folder.path().join("keys")).unwrap();
        let proxy = Proxy::start(&plane, Some(folder.path())).await;
        assert_eq!(proxy.shows("a"), None);
        assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));
        assert_eq!(proxy.report().faults.len(), 1);
        plane.resume().await;
        let stream = plane.accept().await;
        proxy.reports(|report| report.faults.is_empty()).await;
        assert_eq!(proxy.shows("a"), shown(b"one"));
        drop(stream);
    })
    .await;
}
