use futures::FutureExt as _;
use futures::future::BoxFuture;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::sync::watch;
use tonic::Code;

use super::*;
use crate::model::time::Timestamp;
use crate::review::Account;

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
        std::future::ready(answer).boxed()
    }

    fn allows<'a>(
        &'a self,
        account: &'a Account,
        right: Right,
    ) -> BoxFuture<'a, Result<bool, ReviewError>> {
        let allowed = account.name == "jane" && right.verb == "list";
        std::future::ready(Ok(allowed)).boxed()
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

fn peer(subject: Option<Subject>, expires: i64) -> Peer {
    let credential = subject.map(|subject| Credential {
        subject,
        proven: Timestamp(0),
        expires: Timestamp(expires),
    });
    Peer::new(None, credential)
}

/// How a call ends: `None` if it is let through.
async fn outcome(
    authenticate: &Authenticate,
    call: Call,
    token: Option<&str>,
    peer: &Peer,
) -> Option<Status> {
    let refusal = match authenticate.check(call, &headers(token), Some(peer)) {
        Checked::Known | Checked::Proves => return None,
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
const LIST: &str = "/roadstead.v1.ProxyService/ListProxies";
const GET: &str = "/roadstead.v1.SnapshotService/GetSnapshot";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn a_certificate_opens_the_calls_of_its_role_while_it_lasts() {
    let authenticate = authenticate(None, true);
    let proxy = || Subject::proxy("node-1");
    let replica = || Subject::replica("roadstead-0");
    for (path, subject, expires, open) in [
        (STREAM, proxy(), i64::MAX, true),
        (STREAM, proxy(), 0, false),
        (STREAM, replica(), i64::MAX, false),
        (STREAM, None, 0, false),
        (REPLICA, replica(), i64::MAX, true),
        (REPLICA, replica(), 0, false),
        (REPLICA, proxy(), i64::MAX, false),
        (REPLICA, None, 0, false),
        (LIST, proxy(), i64::MAX, false),
        (LIST, replica(), i64::MAX, false),
        (REFLECT, proxy(), i64::MAX, false),
    ] {
        let peer = peer(subject, expires);
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

#[tokio::test]
async fn a_service_is_told_whose_reviewed_token_a_call_bears() {
    let service = tower::service_fn(|request: Request<()>| {
        let account = request.extensions().get::<Account>();
        let name = account.map_or("nobody", |account| &account.name);
        let answer = Response::builder().header("x-account", name);
        std::future::ready(answer.body(Body::empty()))
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
        bearer(&headers).map(str::to_owned)
    };
    assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
    assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
    let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
    for wrong in [
        &[][..],
        &["abc"],
        &["Basic abc"],
        &[&long],
        &["Bearer a", "Bearer b"],
    ] {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
}
