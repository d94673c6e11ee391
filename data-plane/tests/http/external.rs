//! External upstreams: by the addresses that were found, and never where they may not lead.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use roadstead_data_plane::{active::Endpoint, limits::Limits, resolve::Resolved};

use super::support::{Backends, Origin, PATIENCE, Proxy, done, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn resolved(proxy: &Proxy, addresses: &[SocketAddr]) -> Arc<Resolved> {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: *address,
        uid: "".into(),
    };
    let endpoints = addresses.iter().map(endpoint).collect();
    Arc::new([(proxy.upstream(), endpoints)].into_iter().collect())
}

#[test]
fn a_name_leads_where_it_was_found_to_lead() {
    let origins = ["old", "new"].map(|text| Origin::new(move |_| plain(text)));
    let proxy = Proxy::new(&Backends::External("b.example", 80, true));
    for origin in &origins {
        done(proxy.worker().resolved(resolved(&proxy, &[origin.address])));
        let text = proxy.ask(GET).text().to_owned();
        // The upstream is told the host that the client named.
        assert_eq!(origin.seen().field("host"), Some("a.example"));
        assert!(["old", "new"].contains(&&*text));
    }
    proxy.until("the old one closed", |totals| totals.upstream_open == 1);
}

#[test]
fn a_request_waits_for_the_first_answer_and_not_for_long() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&Backends::External("b.example", 80, true));
    let mut client = proxy.client();
    client.send(GET);
    done(proxy.worker().resolved(resolved(&proxy, &[origin.address])));
    assert_eq!(client.answer().status, 200);

    let mut limits = Limits::default();
    limits.upstream.resolve = Duration::from_millis(200);
    let proxy = Proxy::with(&Backends::External("b.example", 80, true), limits);
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.reason()), (503, Some("unresolved")));
}

#[test]
fn a_name_that_does_not_exist_keeps_nobody_waiting() {
    let mut limits = Limits::default();
    limits.upstream.resolve = PATIENCE * 2;
    let proxy = Proxy::with(&Backends::External("b.example", 80, true), limits);
    done(proxy.worker().resolved(resolved(&proxy, &[])));
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.reason()), (503, Some("unresolved")));
}

#[test]
fn a_name_that_leads_to_this_machine_is_refused_unless_that_is_allowed() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&Backends::External("b.example", 80, false));
    let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
    done(
        proxy
            .worker()
            .resolved(resolved(&proxy, &[origin.address, metadata])),
    );
    for _ in 0..2 {
        let answer = proxy.ask(GET);
        assert_eq!(
            (answer.status, answer.reason()),
            (502, Some("forbidden-address"))
        );
    }
    assert_eq!(origin.connections(), 0);
}
