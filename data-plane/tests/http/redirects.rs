//! Requests that come unencrypted and are to come by HTTPS.

use std::net::SocketAddr;

use roadstead_data_plane::{aside::Aside, limits::Limits};

use super::support::{Algorithm, Offers, Origin, Proxy, Shows, plain, shows};

fn certificate() -> Shows {
    shows("secret/a/b", "a.example", Algorithm::Ecdsa)
}

fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn whoever_comes_by_http_is_sent_to_https_and_asks_there_for_the_same() {
    let origin = Origin::new(|_| plain("routed"));
    let mut proxy = Proxy::new(&origin.backends());
    proxy.publish_with(&origin.backends(), &[certificate()]);
    proxy.publish_redirecting(&origin.backends(), 443);
    for (host, target, location) in [
        ("a.example", "/", "https://a.example/"),
        (
            "A.Example.:8080",
            "/b/../c?d=/../e",
            "https://a.example/c?d=/../e",
        ),
        ("a.example", "/%61?%20&=\"", "https://a.example/a?%20&=\""),
    ] {
        let answer = proxy.ask(&get(host, target));
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(answer.field("location"), Some(location));
        assert_eq!(answer.reason(), Some("redirect-to-https"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
    proxy.publish_redirecting(&origin.backends(), 8443);
    let answer = proxy.ask(&get("a.example", "/x"));
    assert_eq!(answer.field("location"), Some("https://a.example:8443/x"));
}

#[test]
fn a_body_that_is_on_its_way_is_not_taken_for_the_next_request() {
    let origin = Origin::new(|_| plain("routed"));
    let mut proxy = Proxy::new(&origin.backends());
    proxy.publish_with(&origin.backends(), &[certificate()]);
    proxy.publish_redirecting(&origin.backends(), 443);
    let mut client = proxy.client();
    client.send("POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (308, Some("close"))
    );
    assert!(client.is_closed());
    // Without one it goes on.
    let mut client = proxy.client();
    client.send("HEAD /form HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let answer = client.answer_to_head();
    assert_eq!((answer.status, answer.text()), (308, ""));
    client.send(&get("a.example", "/"));
    assert_eq!(client.answer().status, 308);
}

#[test]
fn before_there_is_a_certificate_and_after_it_is_gone_http_is_served() {
    let origin = Origin::new(|_| plain("routed"));
    let mut proxy = Proxy::new(&origin.backends());
    proxy.publish_redirecting(&origin.backends(), 443);
    let status = |proxy: &Proxy| proxy.ask(&get("a.example", "/")).status;
    assert_eq!(status(&proxy), 200);
    proxy.publish_with(&origin.backends(), &[certificate()]);
    assert_eq!(status(&proxy), 308);
    // One of another host is of no use here.
    let other = shows("secret/a/b", "b.example", Algorithm::Ecdsa);
    proxy.publish_with(&origin.backends(), &[other]);
    assert_eq!(status(&proxy), 200);
}

#[test]
fn whoever_came_by_https_is_served() {
    let origin = Origin::new(|_| plain("routed"));
    let aside = Aside::start(1, 4).unwrap();
    let limits = Limits::default();
    let mut proxy = Proxy::secure(&origin.backends(), limits, &[certificate()], aside);
    proxy.publish_redirecting(&origin.backends(), 443);
    let address: SocketAddr = proxy.address;
    let mut client = Offers::new().connect(address, "a.example").unwrap();
    client.send(&get("a.example", "/"));
    assert_eq!(client.answer().text(), "routed");
}
