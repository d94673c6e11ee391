//! What a CA asks of a host: answered before any route, or asked of the control plane, or nobody's
//! business.

use std::{thread, time::Duration};

use roadstead_data_plane::{
    aside::Aside,
    challenge::{self, Answer, Leader, Question},
    limits::Limits,
    snapshot::ChallengeType,
};
use tokio::{runtime::Builder, sync::watch, time::Instant};

use super::support::{Algorithm, Offers, Origin, Proxy, authorization, challenges, plain, shows};

fn asks(method: &str, host: &str, token: &str) -> String {
    format!(
        "{method} /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A proxy that knows one token of each of two hosts, of which only one is routed.
fn proxy(origin: &Origin) -> Proxy {
    let mut proxy = Proxy::new(&origin.backends());
    let known = challenges(
        ChallengeType::Http01,
        &[("a.example", "t-1"), ("b.example", "t_2")],
    );
    proxy.publish_answering(&origin.backends(), known);
    proxy
}

#[test]
fn a_known_token_of_its_host_is_answered_before_any_route() {
    let origin = Origin::new(|_| plain("routed"));
    let proxy = proxy(&origin);
    for (host, token) in [
        ("a.example", "t-1"),
        ("A.Example.", "t-1"),
        ("a.example:80", "t-1"),
        ("a.example:8080", "t-1"),
        ("b.example", "t_2"),
        ("a.example", "t-1?query"),
    ] {
        let answer = proxy.ask(&asks("GET", host, token));
        assert_eq!(answer.status, 200, "{host}");
        let token = token.split('?').next().unwrap();
        assert_eq!(answer.text(), &*authorization(token), "{host}");
        let kind = answer.field("content-type");
        assert_eq!(kind, Some("application/octet-stream"));
    }
    assert!(origin.is_quiet());
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let origin = Origin::new(|_| plain("routed"));
    let proxy = proxy(&origin);
    let mut client = proxy.client();
    client.send(&asks("HEAD", "a.example", "t-1"));
    let answer = client.answer_to_head();
    assert_eq!(answer.status, 200);
    let length = authorization("t-1").len().to_string();
    assert_eq!(answer.field("content-length"), Some(&*length));
    // The connection is as good as before.
    client.send(&asks("GET", "a.example", "t-1"));
    let answer = client.answer();
    assert_eq!(answer.text(), &*authorization("t-1"));
    assert_eq!(answer.field("content-length"), Some(&*length));
}

#[test]
fn a_ca_that_was_sent_on_to_https_is_answered_there() {
    let origin = Origin::new(|_| plain("routed"));
    let shown = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let aside = Aside::start(1, 4).unwrap();
    let mut proxy = Proxy::secure(&origin.backends(), Limits::default(), &shown, aside);
    proxy.publish_answering(
        &origin.backends(),
        challenges(ChallengeType::Http01, &[("a.example", "t-1")]),
    );
    let mut client = Offers::new().connect(proxy.address, "a.example").unwrap();
    client.send(&asks("GET", "a.example", "t-1"));
    assert_eq!(client.answer().text(), &*authorization("t-1"));
    client.send(&asks("HEAD", "a.example", "t-1"));
    assert_eq!(client.answer_to_head().status, 200);
}

#[test]
fn everything_else_is_routed() {
    let origin = Origin::new(|_| plain("routed"));
    let proxy = proxy(&origin);
    let longer = "x".repeat(257);
    for (method, host, token) in [
        ("POST", "a.example", "t-1"),
        ("OPTIONS", "a.example", "t-1"),
        ("GET", "a.example", "t_2"),
        ("GET", "a.example", "t-1/"),
        ("GET", "a.example", "t-1/x"),
        ("GET", "a.example", "t-1x"),
        ("GET", "a.example", "t-"),
        ("GET", "a.example", "t-1%20"),
        ("GET", "a.example", ""),
        ("GET", "a.example", "../../t-1"),
        ("GET", "a.example", longer.as_str()),
    ] {
        let answer = proxy.ask(&asks(method, host, token));
        assert_eq!(answer.text(), "routed", "{method} {token}");
        origin.seen();
    }
    let answer = proxy.ask(&asks("GET", "b.example", "t-1"));
    assert_eq!((answer.status, answer.reason()), (404, Some("no-route")));
}

#[test]
fn an_answer_is_seen_as_what_it_is() {
    let origin = Origin::new(|_| plain("routed"));
    let proxy = proxy(&origin);
    proxy.ask(&asks("GET", "a.example", "t-1"));
    let line = proxy.lines(1).remove(0);
    assert_eq!(line["route"], "acme-challenge");
    assert_eq!(line["status"], 200);
    assert_eq!(line["path"], "/.well-known/acme-challenge/t-1");
    assert!(line.get("upstream").is_none() && line.get("reason").is_none());
    assert!(line.get("version").is_some());
    assert_eq!(proxy.totals().challenges, 1);
    proxy.ask(&asks("GET", "a.example", "t-2"));
    assert_eq!(proxy.totals().challenges, 1);
}

/// A leader that notes what it is asked, and knows tokens that begin with `known`; of those that
/// begin with `silent` it says nothing.
#[derive(Clone, Default)]
struct Notes(watch::Sender<Vec<String>>);

impl Leader for Notes {
    async fn ask(&self, question: Question) -> Answer {
        let Question { host, token } = question;
        let token = token.unwrap();
        let asked = format!("{host} {}", &*token);
        self.0.send_modify(|all| all.push(asked));
        match &*token {
            known if known.starts_with("known") => Answer::Given(authorization(known)),
            silent if silent.starts_with("silent") => std::future::pending().await,
            _ => Answer::Missing,
        }
    }
}

impl Notes {
    /// A proxy that asks here by a control thread of its own.
    fn proxy(&self, origin: &Origin) -> Proxy {
        let (asking, asked) = challenge::asking();
        let leader = self.clone();
        // Ends with the proxy.
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(challenge::answer(leader, asked));
        });
        let mut proxy = Proxy::asking(&origin.backends(), asking);
        let known = challenges(ChallengeType::Http01, &[("b.example", "t_2")]);
        proxy.publish_answering(&origin.backends(), known);
        proxy
    }

    fn asked(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[test]
fn a_token_that_no_version_has_brought_is_asked_for_once_and_answered() {
    let (origin, notes) = (Origin::new(|_| plain("routed")), Notes::default());
    let proxy = notes.proxy(&origin);
    for method in ["GET", "GET"] {
        let answer = proxy.ask(&asks(method, "a.example:80", "known"));
        assert_eq!(answer.text(), &*authorization("known"));
    }
    // Of a host that no route names, and for which something is under way.
    let answer = proxy.ask(&asks("GET", "b.example", "known-2"));
    assert_eq!(answer.text(), &*authorization("known-2"));
    assert_eq!(notes.asked(), ["a.example known", "b.example known-2"]);
    assert!(origin.is_quiet());
}

#[test]
fn what_the_leader_does_not_know_is_routed_and_asked_for_once() {
    let (origin, notes) = (Origin::new(|_| plain("routed")), Notes::default());
    let proxy = notes.proxy(&origin);
    for _ in 0..3 {
        let answer = proxy.ask(&asks("GET", "a.example", "other"));
        assert_eq!(answer.text(), "routed");
    }
    assert_eq!(notes.asked(), ["a.example other"]);
}

#[test]
fn nothing_is_asked_for_other_hosts_and_of_what_is_no_token() {
    let (origin, notes) = (Origin::new(|_| plain("routed")), Notes::default());
    let proxy = notes.proxy(&origin);
    let longer = format!("known{}", "x".repeat(252));
    for (method, host, token) in [
        ("GET", "c.example", "known"),
        ("GET", "192.0.2.1", "known"),
        ("POST", "a.example", "known"),
        ("GET", "a.example", "known/x"),
        ("GET", "a.example", "known.x"),
        ("GET", "a.example", longer.as_str()),
    ] {
        let answer = proxy.ask(&asks(method, host, token));
        let routed = host == "a.example";
        assert_eq!(answer.status, if routed { 200 } else { 404 }, "{host}");
        assert!(!answer.text().contains("thumbprint"), "{token}");
    }
    assert!(notes.asked().is_empty());
}

#[test]
fn a_flood_asks_a_bounded_number_and_is_routed() {
    let (origin, notes) = (Origin::new(|_| plain("routed")), Notes::default());
    let proxy = notes.proxy(&origin);
    let mut client = proxy.client();
    let began = Instant::now();
    for number in 0..300 {
        client.send(&asks("GET", "a.example", &format!("other{number}")));
        assert_eq!(client.answer().text(), "routed");
    }
    // A burst of twenty, and ten for each second.
    let most = 21 + began.elapsed().as_millis() / 100;
    let asked = notes.asked().len() as u128;
    assert!((20..=most).contains(&asked), "{asked}, at most {most}");
}

#[test]
fn a_leader_that_is_silent_keeps_a_request_for_a_moment_and_then_it_is_routed() {
    let (origin, notes) = (Origin::new(|_| plain("routed")), Notes::default());
    let proxy = notes.proxy(&origin);
    let began = Instant::now();
    let answer = proxy.ask(&asks("GET", "a.example", "silent"));
    assert_eq!(answer.text(), "routed");
    assert!(began.elapsed() >= Duration::from_millis(250));
    assert_eq!(notes.asked(), ["a.example silent"]);
}
