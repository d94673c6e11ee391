mod ingress;
mod left;
mod nodes;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use k8s_openapi::api::events::v1::Event;
use kube::client::Body;
use serde_json::json;
use tokio::time::Instant;
use tower::service_fn;

use super::*;
use crate::model::key::Kind;
use crate::model::refusal::{Reason, Refusal};
use crate::project::standing::Standing;

fn change(name: &str, before: Option<bool>, after: Option<bool>) -> StandingChange {
    let standing = |good| Standing {
        uid: "u".into(),
        served: good,
        refusal: (!good).then(|| Refusal::new(Reason::InvalidHost, "spec", "is bad")),
        lost: vec![],
        missing: vec![],
        lacking: Vec::new(),
        obtained: Vec::new(),
        ignored: vec![],
    };
    StandingChange {
        key: ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Ingress,
            namespace: "default".into(),
            name: name.into(),
        },
        before: before.map(standing),
        after: after.map(standing),
    }
}

/// An API server that keeps what it is told, and answers each of these codes first.
fn server(refusing: &'static [u16]) -> (Client, mpsc::Receiver<Event>) {
    let (told, events) = mpsc::channel();
    let mut refusals = refusing.iter().copied();
    let service = service_fn(move |request: Request<Body>| {
        let told = told.clone();
        let refusal = refusals.next();
        async move {
            assert_eq!(
                request.uri().path(),
                "/apis/events.k8s.io/v1/namespaces/default/events"
            );
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let (code, answer) = match refusal {
                Some(code) => {
                    let status = json!({
                        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                        "message": "told to fail", "reason": "InternalError", "code": code,
                    });
                    (code, Bytes::from(status.to_string()))
                }
                None => {
                    told.send(serde_json::from_slice(&body).unwrap()).unwrap();
                    (StatusCode::CREATED.as_u16(), body)
                }
            };
            let response = Response::builder().status(code).body(Full::new(answer));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    (Client::new(service, "default"), events)
}

/// Each object that an Event is about, with the reasons of its Events in order.
fn reasons(events: &mpsc::Receiver<Event>) -> BTreeMap<String, Vec<String>> {
    let mut reasons = BTreeMap::<_, Vec<_>>::new();
    for event in events.try_iter() {
        let name = event.regarding.unwrap().name.unwrap();
        reasons.entry(name).or_default().push(event.reason.unwrap());
    }
    reasons
}

/// A line that is first logged where nobody listens may stay unheard where somebody has just
/// begun to: these tests run one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is logged meanwhile, a line each.
fn logged(program: impl FnOnce()) -> Vec<String> {
    let (guard, lines) = listen();
    program();
    drop(guard);
    lines()
}

/// What is logged on this thread until the guard is dropped, a line each.
fn listen() -> (
    tracing::subscriber::DefaultGuard,
    impl FnOnce() -> Vec<String>,
) {
    #[derive(Clone)]
    struct Lines(mpsc::Sender<Vec<u8>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, bytes) = mpsc::channel();
    let writer = move || Lines(sender.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(writer)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let lines = move || {
        let bytes: Vec<u8> = bytes.try_iter().flatten().collect();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    (guard, lines)
}

#[tokio::test(start_paused = true)]
async fn each_of_many_refusals_is_told_however_many_objects_are_well() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let lines = logged(|| {
        for number in 0..5_200 {
            let good = number % 26 != 0;
            teller.tell(change(&format!("i{number}"), None, Some(good)));
        }
    });
    let warnings = lines.iter().filter(|line| line.contains("WARN"));
    assert_eq!(warnings.count(), 200);
    drop(teller);
    status.run(Some(client), None).await;
    let reasons = reasons(&events);
    let refused = |name: &str| reasons.get(name).cloned();
    for number in (0..5_200).step_by(26) {
        assert_eq!(
            refused(&format!("i{number}")),
            Some(vec!["InvalidHost".to_owned()]),
            "i{number}"
        );
    }
    // The news that there was room for, and no storm of it.
    assert!(reasons.len() < 300, "{}", reasons.len());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_server_cannot_take_now_is_written_later() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[500, 503, 429, 429]);
    let (teller, status) = Status::new(&BTreeMap::new());
    teller.tell(change("a", None, Some(false)));
    drop(teller);
    let began = Instant::now();
    status.run(Some(client), None).await;
    assert_eq!(reasons(&events)["a"], ["InvalidHost"]);
    // 0.1, 0.2, 0.4 and 0.8 s at least.
    assert!(began.elapsed().as_millis() >= 1500, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_for_good_keeps_no_other_from_being_written() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[403]);
    let (teller, status) = Status::new(&BTreeMap::new());
    teller.tell(change("forbidden", None, Some(false)));
    teller.tell(change("b", None, Some(false)));
    drop(teller);
    status.run(Some(client), None).await;
    let reasons: Vec<String> = reasons(&events).into_keys().collect();
    assert_eq!(reasons, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_it_waits_is_told_once_as_it_is_then() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    // Refused, and well again before anyone was told.
    teller.tell(change("mended", Some(true), Some(false)));
    teller.tell(change("mended", Some(false), Some(true)));
    teller.tell(change("gone", None, Some(false)));
    teller.tell(change("gone", Some(false), None));
    teller.tell(change("broken", None, Some(true)));
    teller.tell(change("broken", Some(true), Some(false)));
    drop(teller);
    status.run(Some(client), None).await;
    let expected = BTreeMap::from([("broken".to_owned(), vec!["InvalidHost".to_owned()])]);
    assert_eq!(reasons(&events), expected);
}

#[tokio::test(start_paused = true)]
async fn in_silence_nothing_is_written_and_what_it_swallowed_stays_untold() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    teller.tell(change("before", None, Some(false)));
    let lines = logged(|| {
        teller.silence(true);
        teller.silence(true);
        teller.tell(change("meanwhile", None, Some(false)));
        teller.silence(false);
    });
    let told = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(told("beside.controllers"), 1, "{lines:?}");
    // The log tells in any case.
    assert_eq!(told("meanwhile"), 1, "{lines:?}");
    teller.tell(change("after", None, Some(false)));
    drop(teller);
    status.run(Some(client), None).await;
    let reasons: Vec<String> = reasons(&events).into_keys().collect();
    assert_eq!(reasons, ["after"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_tried_again_ends_with_the_silence_that_begins() {
    let _alone = ALONE.lock().await;
    let (client, events) = server(&[429; 100]);
    let (teller, status) = Status::new(&BTreeMap::new());
    teller.tell(change("a", None, Some(false)));
    let running = status.run(Some(client), None);
    let silencing = async {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        teller.silence(true);
        drop(teller);
    };
    let began = Instant::now();
    tokio::join!(running, silencing);
    // The longest pause between two attempts is half a minute.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert!(reasons(&events).is_empty());
}
