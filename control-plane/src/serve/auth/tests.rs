use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tonic::Code;

use super::*;
use crate::clock;
use crate::model::time::Timestamp;
use crate::pki::rotation::Stored;
use crate::review::Account;
use crate::serve::listen::Shown;

/// Knows tokens that are names of accounts: jane may list, `away` cannot be asked about.
#[derive(Debug)]
struct Fake;

impl Review for Fake {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        let answer = match token {
            "jane" | "john" => Ok(Account {
                name: token.to_owned(),
                ..Account::default()
            }),
            "away" => Err(ReviewError::Unavailable("it is not reached".to_owned())),
            _ => Err(ReviewError::NotAuthentic("it has ended".to_owned())),
        };
        ready(answer).boxed()
    }

    fn allows<'a>(
        &'a self,
        account: &'a Account,
        right: Right,
    ) -> BoxFuture<'a, Result<bool, ReviewError>> {
        let allowed = account.name == "jane" && right.verb == "list";
        ready(Ok(allowed)).boxed()
    }
}

fn authenticate(tokens: Option<Tokens>, in_a_cluster: bool) -> Authenticate {
    let reviewer: Arc<dyn Review> = Arc::new(Fake);
    let access = Access {
        tokens,
        operators: in_a_cluster.then(|| (reviewer, "roadstead".to_owned())),
    };
    let meter = SdkMeterProvider::default().meter("test");
    let (_, presence) = watch::channel(crate::presence::Presence::default());
    let newest = watch::channel(Arc::default()).1;
    Authenticate::new(
        Arc::new(access),
        StreamMetrics::new(&meter, presence, newest),
    )
}

fn headers(token: Option<&str>) -> HeaderMap {
    let value = token.map(|token| format!("Bearer {token}").parse().unwrap());
    value
        .map(|value| (AUTHORIZATION, value))
        .into_iter()
        .collect()
}

/// Who shows a certificate of this subject and age, if any.
fn peer(subject: Option<Subject>, days: i64) -> Peer {
    let now = clock::now();
    let authority = Arc::new(Stored::first(now).unwrap().authorities().unwrap());
    let issued = Timestamp(now.0 - days * 24 * 3_600_000);
    let shown = subject.map(|subject| {
        let (certificate, _) = authority.signing().issue_client(&subject, issued).unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let known = watch::channel(Some(Arc::clone(&authority))).1;
        Shown::read(certificate, known, now).unwrap()
    });
    Peer::new(None, shown)
}

/// How a call ends: `None` if it is let through.
async fn outcome(
    authenticate: &Authenticate,
    call: Call,
    token: Option<&str>,
    peer: &Peer,
) -> Option<Status> {
    let refusal = match authenticate.check(call, &headers(token), Some(peer)) {
        Checked::Known | Checked::ByCertificate | Checked::Proves => return None,
        Checked::Refused(refusal) => refusal,
        Checked::ToReview(reviewer, token, right) => {
            let reviewed = authenticate.review(&*reviewer, &token, right).await;
            reviewed.err()?
        }
    };
    Some(authenticate.told(&refusal))
}

const STREAM: &str = "/roadstead.v1.DistributionService/Stream";
const REPLICA: &str = "/roadstead.v1.ReplicationService/Follow";
const CHALLENGE: &str = "/roadstead.v1.ChallengeService/GetChallenge";
const LIST: &str = "/roadstead.v1.ProxyService/ListProxies";
const GET: &str = "/roadstead.v1.SnapshotService/GetSnapshot";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn a_certificate_opens_the_calls_of_its_role_while_it_lasts() {
    let authenticate = authenticate(None, true);
    let proxy = || Subject::proxy("node-1");
    let replica = || Subject::replica("roadstead-0");
    for (path, subject, days, open) in [
        (STREAM, proxy(), 0, true),
        (STREAM, proxy(), 8, false),
        (STREAM, replica(), 0, false),
        (STREAM, None, 0, false),
        (CHALLENGE, proxy(), 0, true),
        (CHALLENGE, proxy(), 8, false),
        (CHALLENGE, replica(), 0, false),
        (CHALLENGE, None, 0, false),
        (REPLICA, replica(), 0, true),
        (REPLICA, replica(), 8, false),
        (REPLICA, proxy(), 0, false),
        (REPLICA, None, 0, false),
        (LIST, proxy(), 0, false),
        (LIST, replica(), 0, false),
        (REFLECT, proxy(), 0, false),
    ] {
        let peer = peer(subject, days);
        let status = outcome(&authenticate, Call::of(path), None, &peer).await;
        assert_eq!(status.is_none(), open, "{path} {peer:?}: {status:?}");
        let code = status.map_or(Code::Unauthenticated, |status| status.code());
        assert_eq!(code, Code::Unauthenticated, "{path} {peer:?}");
    }
}

#[tokio::test]
async fn a_reviewed_token_opens_what_its_account_may_do() {
    let authenticate = authenticate(None, true);
    let nobody = peer(None, 0);
    for (path, token, code, word) in [
        (LIST, "jane", None, ""),
        (REFLECT, "john", None, ""),
        (
            GET,
            "jane",
            Some(Code::PermissionDenied),
            "jane may not get snapshots.roadstead.dev",
        ),
        (LIST, "john", Some(Code::PermissionDenied), "--user=john"),
        (
            LIST,
            "ended",
            Some(Code::Unauthenticated),
            "kubectl create token",
        ),
        (
            REFLECT,
            "ended",
            Some(Code::Unauthenticated),
            "--audience roadstead",
        ),
        (LIST, "away", Some(Code::Unavailable), "it is not reached"),
        // Tokens open no streams here, whosever they are.
        (
            STREAM,
            "jane",
            Some(Code::Unauthenticated),
            "CertificateService",
        ),
        (REPLICA, "jane", Some(Code::Unauthenticated), "replicas"),
    ] {
        let status = outcome(&authenticate, Call::of(path), Some(token), &nobody).await;
        assert_eq!(status.as_ref().map(Status::code), code, "{path} {token}");
        let message = status.map_or_else(String::new, |status| status.message().to_owned());
        assert!(message.contains(word), "{path} {token}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_token_opened_ends_when_its_account_may_no_longer() {
    let authenticate = authenticate(None, true);
    let right = |verb| {
        Some(Right {
            verb,
            resource: "events",
        })
    };
    for (token, verb, expected) in [
        ("jane", "list", None),
        ("jane", "watch", Some(Code::PermissionDenied)),
        ("ended", "list", Some(Code::Unauthenticated)),
        // Nothing is known against them.
        ("away", "list", None),
    ] {
        let gone = authenticate.gone(&Fake, token, right(verb));
        let gone = tokio::time::timeout(3 * REVIEW_EVERY, gone).await.ok();
        assert_eq!(gone.map(|status| status.code()), expected, "{token} {verb}");
    }
}

/// Knows everybody, and allows everything until it does not.
#[derive(Debug)]
struct Fickle(AtomicBool);

impl Review for Fickle {
    fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        ready(Ok(Account::default())).boxed()
    }

    fn allows<'a>(&'a self, _: &'a Account, _: Right) -> BoxFuture<'a, Result<bool, ReviewError>> {
        ready(Ok(self.0.load(Ordering::Relaxed))).boxed()
    }
}

/// Answers without end.
#[derive(Clone)]
struct Endless;

impl Service<Request<()>> for Endless {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let nothing = tokio_stream::pending::<Result<Frame<Bytes>, Status>>();
        ready(Ok(Response::new(Body::new(StreamBody::new(nothing)))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_is_looked_at_again() {
    let fickle = Arc::new(Fickle(AtomicBool::new(true)));
    let mut authenticate = authenticate(None, true);
    authenticate.access = Arc::new(Access {
        tokens: None,
        operators: Some((fickle.clone(), "roadstead".to_owned())),
    });
    let mut service = authenticate.layer(Endless);
    let mut request = Request::new(());
    *request.uri_mut() = "/roadstead.v1.EventService/WatchEvents".parse().unwrap();
    *request.headers_mut() = headers(Some("token"));
    let mut answer = service.call(request).await.unwrap().into_body();
    let next = tokio::time::timeout(3 * REVIEW_EVERY, answer.frame());
    assert!(next.await.is_err(), "it goes on");
    fickle.0.store(false, Ordering::Relaxed);
    let next = tokio::time::timeout(2 * REVIEW_EVERY, answer.frame()).await;
    let trailers = next.unwrap().unwrap().unwrap().into_trailers().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

#[tokio::test]
async fn a_service_is_told_whose_reviewed_token_a_call_bears() {
    let service = tower::service_fn(|request: Request<()>| {
        let account = request.extensions().get::<Account>();
        let name = account.map_or("nobody", |account| &account.name);
        let answer = Response::builder().header("x-account", name);
        ready(answer.body(Body::empty()))
    });
    let mut service = authenticate(None, true).layer(service);
    let request = Request::builder()
        .uri(LIST)
        .header(AUTHORIZATION, "Bearer jane");
    let answer = service.call(request.body(()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["x-account"], "jane");
}

#[tokio::test]
async fn tokens_from_files_open_calls_beside_reviewed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(folder.path()).unwrap();
    let of = |role: Role| {
        let text = std::fs::read_to_string(folder.path().join(role.file_name())).unwrap();
        text.trim().to_owned()
    };
    let (operator, proxy) = (of(Role::Operator), of(Role::Proxy));
    let authenticate = authenticate(Some(tokens), true);
    let nobody = peer(None, 0);
    for (path, token, code) in [
        (STREAM, &*proxy, None),
        (STREAM, &operator, Some(Code::PermissionDenied)),
        (STREAM, "jane", Some(Code::Unauthenticated)),
        (GET, &operator, None),
        (GET, &proxy, Some(Code::PermissionDenied)),
        (LIST, "jane", None),
        (REPLICA, &operator, Some(Code::Unauthenticated)),
    ] {
        let status = outcome(&authenticate, Call::of(path), Some(token), &nobody).await;
        assert_eq!(status.map(|status| status.code()), code, "{path}");
    }
}

#[test]
fn a_bearer_token_is_read_from_one_header_of_one_shape() {
    let read = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned))
    };
    assert_eq!(read(&[]), Ok(None));
    for good in ["Bearer abc", "bearer  abc "] {
        assert_eq!(read(&[good]), Ok(Some("abc".to_owned())));
    }
    let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
    for wrong in [
        &["abc"][..],
        &["Bearer "],
        &["Basic abc"],
        &[&long],
        &["Bearer a", "Bearer b"],
    ] {
        assert_eq!(read(wrong), Err(Malformed), "{wrong:?}");
    }
}
