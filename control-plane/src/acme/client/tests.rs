use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::acme::transport;
use server::{Reply, Server};

mod server;

/// A client of the scripted CA whose account is known.
async fn client(server: &Server) -> Client {
    opened(server, Some("https://127.0.0.1/account"))
        .await
        .unwrap()
}

async fn opened(server: &Server, known: Option<&str>) -> Result<Client, Failure> {
    Client::open(&server.ca(), &Key::generate().unwrap(), known).await
}

async fn place(server: &Server) -> Result<Placed, Failure> {
    let names = ["a.test".to_owned()];
    client(server).await.place(&names, None, None).await
}

/// What an order meets with whose answer is this.
async fn placed(reply: Reply) -> Result<Placed, Failure> {
    let server = Server::start().await;
    server.on("/new-order", reply);
    place(&server).await
}

async fn refused(reply: Reply) -> Failure {
    placed(reply).await.unwrap_err()
}

fn problem(status: &str, kind: &str, headers: &str) -> Reply {
    let body =
        format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "not\u001b[1m so"}}"#);
    Reply::new(status, headers, &body)
}

const ORDER: &str = r#"{"status": "pending", "expires": "2026-01-02T03:04:05Z",
    "identifiers": [], "authorizations": [], "finalize": "https://ca.test/finalize"}"#;
const LOCATION: &str = "Location: https://ca.test/order/1\r\n";

#[tokio::test]
async fn a_placed_order_has_its_url_and_its_end() {
    let placed = placed(Reply::new("201 Created", LOCATION, ORDER))
        .await
        .unwrap();
    assert_eq!(placed.url, "https://ca.test/order/1");
    assert_eq!(
        placed.expires.unwrap().to_string(),
        "2026-01-02T03:04:05.000Z"
    );
}

#[tokio::test]
async fn an_order_of_which_only_the_head_came_is_placed() {
    for reply in [
        Reply::new("201 Created", LOCATION, "garbage"),
        Reply::cut(&format!(
            "HTTP/1.1 201 Created\r\n{LOCATION}Content-Length: 99\r\n\r\n{{"
        )),
        Reply::endless(&format!("HTTP/1.1 201 Created\r\n{LOCATION}\r\n")),
    ] {
        let placed = placed(reply).await.unwrap();
        assert_eq!(placed.url, "https://ca.test/order/1");
    }
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_unknown() {
    for reply in [
        Reply::cut(""),
        Reply::cut("HTTP/1.1 201 Cre"),
        Reply::endless("HTTP/1.1 201 Created\r\nX: "),
        Reply::endless("HTTP/1.1 201 Created\r\n\r\n"),
        Reply::new("201 Created", "", ORDER),
        Reply::new("201 Created", "Location: http://ca.test/plain\r\n", ORDER),
        Reply::new("502 Bad Gateway", "", "<html>"),
    ] {
        assert_eq!(refused(reply).await.kind, FailureKind::Unknown);
    }
}

#[tokio::test]
async fn an_order_is_not_unknown_if_it_was_not_asked_for() {
    let server = Server::start().await;
    let client = client(&server).await;
    let names = ["a.test".to_owned()];
    for reply in [Reply::cut(""), Reply::new("500 Oops", "", "")] {
        server.on("/new-nonce", reply);
        let failure = client.place(&names, None, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
    }
    server.stop().await;
    let failure = client.place(&names, None, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("refused"), "{failure}");
    assert_eq!(server.asked("/new-order"), 0);
}

#[tokio::test]
async fn too_much_is_said_with_how_long_to_wait() {
    let date =
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n";
    for reply in [
        problem("429 Slow", "rateLimited", "Retry-After: 60\r\n"),
        problem("403 Slow", "rateLimited", date),
        Reply::new("429 Slow", "Retry-After: 60\r\n", "<html>"),
        Reply::endless("HTTP/1.1 429 Slow\r\nRetry-After: 60\r\n\r\n"),
        Reply::new("503 Busy", date, ""),
    ] {
        let failure = refused(reply).await;
        assert_eq!(failure.kind, FailureKind::RateLimited, "{failure}");
        assert_eq!(failure.retry_after, Some(Duration::from_secs(60)));
    }
}

#[tokio::test]
async fn problems_are_told_apart() {
    let rejected = FailureKind::Refused {
        problem: Some("urn:ietf:params:acme:error:rejectedIdentifier".to_owned()),
    };
    for (status, kind, expected) in [
        ("400 No", "rejectedIdentifier", rejected),
        ("409 No", "alreadyReplaced", FailureKind::AlreadyReplaced),
        ("400 No", "accountDoesNotExist", FailureKind::UnknownAccount),
        ("404 No", "malformed", FailureKind::Gone),
        ("500 No", "serverInternal", FailureKind::Unavailable),
        ("503 No", "serverInternal", FailureKind::Unavailable),
    ] {
        assert_eq!(refused(problem(status, kind, "")).await.kind, expected);
    }
    let refusal = FailureKind::Refused { problem: None };
    let elsewhere = "Location: https://127.0.0.1/elsewhere\r\n";
    assert_eq!(
        refused(Reply::new("302 Found", elsewhere, "")).await.kind,
        refusal
    );
    assert_eq!(refused(Reply::new("400 Bad", "", "")).await.kind, refusal);
}

#[tokio::test]
async fn what_a_ca_writes_is_fit_to_be_shown() {
    let failure = refused(problem("400 No", "malformed", "")).await;
    let message = "not [1m so (urn:ietf:params:acme:error:malformed)";
    assert_eq!(failure.to_string(), message);
    let long = format!(r#"{{"detail": "{}"}}"#, "x".repeat(60_000));
    let failure = refused(Reply::new("400 No", "", &long)).await;
    assert_eq!(failure.message.len(), 512);
}

#[tokio::test]
async fn a_bad_nonce_is_replaced_and_not_for_ever() {
    let server = Server::start().await;
    let bad = || problem("400 No", "badNonce", "Replay-Nonce: next\r\n");
    server.once("/new-order", bad());
    server.once("/new-order", bad());
    server.on("/new-order", Reply::new("201 Created", LOCATION, ORDER));
    assert!(place(&server).await.is_ok());
    assert_eq!(
        (server.asked("/new-order"), server.asked("/new-nonce")),
        (3, 1)
    );

    server.on("/new-order", bad());
    let failure = place(&server).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadNonce);
    assert_eq!(server.asked("/new-order"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_does_not_answer_is_not_waited_for_longer_than_half_a_minute() {
    let server = Server::start().await;
    let client = client(&server).await;
    for reply in [
        Reply::silence(""),
        Reply::silence("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    ] {
        server.on("/new-order", reply);
        let begun = Instant::now();
        let names = ["a.test".to_owned()];
        let failure = client.place(&names, None, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unknown);
        assert!(failure.message.contains("30 s"), "{failure}");
        assert!(begun.elapsed() < transport::LONGEST + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_endless_answer_to_a_question_is_not_taken_in() {
    let server = Server::start().await;
    let client = client(&server).await;
    for (endless, why) in [
        ("HTTP/1.1 200 OK\r\n\r\n{", "length limit exceeded"),
        ("HTTP/1.1 200 OK\r\nX: ", "head is too large"),
    ] {
        server.on("/order", Reply::endless(endless));
        let seen = client.order(&server.url("/order")).await;
        let chain = client.certificate(&server.url("/order")).await;
        for failure in [seen.unwrap_err(), chain.unwrap_err()] {
            assert_eq!(failure.kind, FailureKind::Unavailable);
            assert!(failure.message.contains(why), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_chain_may_be_longer_than_other_answers() {
    let server = Server::start().await;
    let client = client(&server).await;
    let url = server.url("/order");
    let valid = format!(
        r#"{{"status": "valid", "authorizations": [], "finalize": "https://ca.test/finalize",
            "certificate": "{}"}}"#,
        server.url("/chain")
    );
    let (chain, long) = (server.pem(), "\n".repeat(100 * 1024));
    server.on("/order", Reply::new("200 OK", "", &valid));
    server.on("/chain", Reply::new("200 OK", "", &(chain.clone() + &long)));
    let taken = client.certificate(&url).await.unwrap().unwrap();
    assert_eq!(taken.trim_end(), chain.trim_end());
    for unfit in [chain + &long + &long, "no PEM".to_owned()] {
        server.on("/chain", Reply::new("200 OK", "", &unfit));
        let failure = client.certificate(&url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
    }
    server.on("/order", Reply::new("200 OK", "", &(valid + &long)));
    assert!(client.order(&url).await.is_err());
}

#[tokio::test]
async fn a_token_that_cannot_be_a_path_is_not_taken_in() {
    let server = Server::start().await;
    let order = ORDER.replace(
        r#""authorizations": []"#,
        &format!(r#""authorizations": ["{}"]"#, server.url("/authorization")),
    );
    server.on("/order", Reply::new("200 OK", "", &order));
    let authorization = |token: &str| {
        let body = format!(
            r#"{{"identifier": {{"type": "dns", "value": "a.test"}}, "status": "pending",
                "challenges": [{{"type": "http-01", "url": "https://ca.test/challenge",
                "token": "{token}", "status": "pending"}}]}}"#
        );
        Reply::new("200 OK", "", &body)
    };
    let client = client(&server).await;
    let url = server.url("/order");
    server.on("/authorization", authorization("fit-_0"));
    let (order, seen) = client.authorizations(&url).await.unwrap();
    let challenge = &seen[0].challenges[0];
    assert_eq!(order.authorizations, [seen[0].url.as_str()]);
    assert_eq!(
        (seen[0].name.as_str(), challenge.token.as_str()),
        ("a.test", "fit-_0")
    );
    assert!(challenge.key_authorization.starts_with("fit-_0."));
    for token in ["../x", "a b", "", &"x".repeat(257)] {
        server.on("/authorization", authorization(token));
        let failure = client.authorizations(&url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{token:?}");
    }
}

#[tokio::test]
async fn a_window_of_renewal_is_bounded_and_asked_for_again_in_time() {
    let server = Server::start().await;
    let client = client(&server).await;
    let window = |start: &str, end: &str, headers: &str| {
        let body = format!(
            r#"{{"suggestedWindow": {{"start": "{start}", "end": "{end}"}},
                "explanationURL": "https://ca.test/why"}}"#
        );
        Reply::new("200 OK", headers, &body)
    };
    let (start, end) = ("2026-01-02T03:04:05Z", "2026-01-03T03:04:05.5Z");
    for (headers, poll_after) in [
        ("Retry-After: 7200\r\n", 7200),
        ("Retry-After: 1\r\n", 60),
        ("Retry-After: 9999999\r\n", 24 * 3600),
        ("", 6 * 3600),
    ] {
        server.on("/renewal-info/aa.bb", window(start, end, headers));
        let seen = client.renewal_info("aa.bb").await.unwrap();
        assert_eq!(seen.start.to_string(), "2026-01-02T03:04:05.000Z");
        assert_eq!(seen.end.to_string(), "2026-01-03T03:04:05.500Z");
        assert_eq!(seen.poll_after, Duration::from_secs(poll_after));
        assert_eq!(seen.explanation.as_deref(), Some("https://ca.test/why"));
    }
    for reply in [window(end, start, ""), Reply::new("200 OK", "", "[]")] {
        server.on("/renewal-info/aa.bb", reply);
        let failure = client.renewal_info("aa.bb").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
    }
    let failure = client.renewal_info("unknown").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Gone);
}

#[tokio::test]
async fn a_directory_that_is_none_is_said_to_be_none() {
    let server = Server::start().await;
    server.on("/directory", Reply::new("200 OK", "", "<html>"));
    let failure = opened(&server, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("check the URL"), "{failure}");

    server.on(
        "/directory",
        Reply::new("503 Busy", "Retry-After: 7\r\n", ""),
    );
    let failure = opened(&server, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));

    let plain = Ca {
        directory: "http://127.0.0.1/directory".to_owned(),
        ..server.ca()
    };
    let failure = Client::open(&plain, &Key::generate().unwrap(), None).await;
    assert!(failure.unwrap_err().message.contains("https://"));
}

#[tokio::test]
async fn a_ca_that_is_not_believed_is_told_nothing() {
    let server = Server::start().await;
    for roots in [None, Some(vec![]), Server::start().await.ca().roots] {
        let ca = Ca {
            roots,
            ..server.ca()
        };
        let failure = Client::open(&ca, &Key::generate().unwrap(), None).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("certificate"), "{failure}");
    }
    assert_eq!(server.asked("/directory"), 0);
}

#[tokio::test]
async fn every_request_says_who_asks() {
    let server = Server::start().await;
    server.on("/new-order", Reply::new("201 Created", LOCATION, ORDER));
    place(&server).await.unwrap();
    let agent = format!("user-agent: roadstead/{}\r\n", env!("CARGO_PKG_VERSION"));
    let heads = server.heads();
    assert_eq!(heads.len(), 3);
    assert!(
        heads
            .iter()
            .all(|head| head.to_lowercase().contains(&agent))
    );
}

#[tokio::test]
async fn a_client_does_not_show_its_key() {
    let shown = format!("{:?}", client(&Server::start().await).await);
    assert!(
        shown.ends_with(r#"account: "https://127.0.0.1/account", .. }"#),
        "{shown}"
    );
}
