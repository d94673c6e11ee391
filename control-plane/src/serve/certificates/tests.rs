use futures::FutureExt as _;
use futures::future::BoxFuture;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::sync::watch;
use tonic::Code;

use super::*;
use crate::presence::Presence;
use crate::review::{Account, ReviewError, Right};

/// Never answers.
#[derive(Debug)]
struct Silent;

impl Review for Silent {
    fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        std::future::pending().boxed()
    }

    fn allows<'a>(&'a self, _: &'a Account, _: Right) -> BoxFuture<'a, Result<bool, ReviewError>> {
        std::future::pending().boxed()
    }
}

/// A call on a connection of its own.
fn asked(address: &str, authorization: Option<&str>) -> Request<v1::IssueRequest> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = CertificateParams::default().serialize_request(&key);
    let mut request = Request::new(v1::IssueRequest {
        certification_request: request.unwrap().der().to_vec(),
    });
    let address = address.parse().unwrap();
    request
        .extensions_mut()
        .insert(Peer::new(Some(address), None));
    if let Some(value) = authorization {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn who_waits_for_the_review_of_many_tokens_takes_no_others_place() {
    let issuing = Issuing {
        authorities: watch::channel(None).1,
        reviewer: Arc::new(Silent),
        users: Vec::new(),
        life: 3_600_000,
    };
    let meter = SdkMeterProvider::default().meter("test");
    let presence = watch::channel(Presence::default()).1;
    let metrics = StreamMetrics::new(&meter, presence, watch::channel(Arc::default()).1);
    let certificates = Certificates::new(Some(issuing), metrics);
    let ask = |address, token| certificates.issue(asked(address, token)).now_or_never();
    let mut waiting: Vec<_> = (1..=OF_AN_ADDRESS)
        .map(|_| certificates.issue(asked("10.0.0.1:1000", Some("Bearer a"))))
        .collect();
    for call in &mut waiting {
        assert!(call.now_or_never().is_none(), "it waits");
    }
    for (authorization, code) in [
        (Some("Bearer a"), Code::ResourceExhausted),
        // What is seen at once to be none takes no place.
        (None, Code::Unauthenticated),
        (Some("Bearer"), Code::Unauthenticated),
    ] {
        let status = ask("10.0.0.1:2000", authorization).unwrap().unwrap_err();
        assert_eq!(status.code(), code, "{authorization:?} {status}");
    }
    assert!(
        ask("10.0.0.2:1000", Some("Bearer a")).is_none(),
        "it waits, too"
    );
    drop(waiting);
    assert!(
        ask("10.0.0.1:3000", Some("Bearer a")).is_none(),
        "there is place"
    );
}
