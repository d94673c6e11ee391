//! Secrets at an API server that keeps them as the real one does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::Client;
use kube::client::Body as Sent;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::store::{Collection, Draft, Secrets, Store, StoreError};

/// The server's namespace `own`.
#[derive(Clone, Default)]
struct Server(Arc<watch::Sender<Kept>>);

#[derive(Default)]
struct Kept {
    secrets: BTreeMap<String, Value>,
    version: u64,
    /// Every answer is this.
    failure: Option<(u16, &'static str)>,
}

impl Server {
    fn store(&self, namespace: Option<&str>) -> Secrets {
        let server = self.clone();
        let service = service_fn(move |request: Request<Sent>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (code, answer) = server.answer(&head.method, &head.uri.to_string(), body);
                let answer = Full::new(Bytes::from(answer.to_string()));
                let answer = Response::builder().status(code).body(answer).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        let client = Client::new(service, "own");
        Secrets::new(
            client,
            namespace.map(ToOwned::to_owned),
            Collection::LastGood,
        )
    }

    fn kept<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        let mut answer = None;
        self.0.send_modify(|kept| answer = Some(f(kept)));
        answer.unwrap()
    }

    fn answer(&self, method: &Method, address: &str, mut body: Value) -> (u16, Value) {
        self.kept(|kept| {
            if let Some((code, reason)) = kept.failure {
                return status(code, reason);
            }
            let (path, query) = address.split_once('?').unwrap_or((address, ""));
            let Some(rest) = path.strip_prefix("/api/v1/namespaces/own/secrets") else {
                return status(404, "NotFound");
            };
            let name = match rest.strip_prefix('/') {
                Some(name) => name.to_owned(),
                None => body["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            };
            let held = kept.secrets.get(&name).cloned();
            let version = |secret: &Value| secret["metadata"]["resourceVersion"].clone();
            match (method, held) {
                (&Method::GET, _) if rest.is_empty() => kept.list(query),
                (&Method::GET, Some(held)) => (200, held),
                (&Method::POST, Some(_)) => status(409, "AlreadyExists"),
                (&Method::PUT, Some(held)) if version(&held) != version(&body) => {
                    status(409, "Conflict")
                }
                (&Method::POST, None) | (&Method::PUT, Some(_)) => {
                    kept.version += 1;
                    body["metadata"]["resourceVersion"] = json!(kept.version.to_string());
                    kept.secrets.insert(name, body.clone());
                    (201, body)
                }
                (&Method::DELETE, Some(held)) => {
                    if body["preconditions"]["resourceVersion"] != version(&held) {
                        return status(409, "Conflict");
                    }
                    kept.secrets.remove(&name);
                    (200, held)
                }
                _ => status(404, "NotFound"),
            }
        })
    }
}

impl Kept {
    /// A page holds one, so that there are pages.
    fn list(&self, query: &str) -> (u16, Value) {
        assert!(
            query.contains("labelSelector=roadstead.dev%2Frecovery%3Dlast-good"),
            "{query}"
        );
        let from = query
            .split('&')
            .find_map(|part| part.strip_prefix("continue=")?.parse().ok())
            .unwrap_or(0);
        let page: Vec<&Value> = self.secrets.values().skip(from).take(1).collect();
        let more = if from + 1 < self.secrets.len() {
            (from + 1).to_string()
        } else {
            String::new()
        };
        let list = json!({
            "apiVersion": "v1", "kind": "SecretList", "metadata": {"continue": more}, "items": page,
        });
        (200, list)
    }
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": format!("as told: {reason}"), "reason": reason, "code": code,
    });
    (code, status)
}

fn draft<'a>(name: &'a str, bytes: &str) -> Draft<'a> {
    Draft {
        name,
        about: "Ingress default/apple".into(),
        bytes: bytes.into(),
    }
}

#[tokio::test]
async fn secrets_are_made_replaced_listed_and_removed() {
    let server = Server::default();
    let store = server.store(None);
    assert_eq!(store.all().await.unwrap(), []);
    let first = store.put(draft("a", "one"), None).await.unwrap();
    store.put(draft("b", "one"), None).await.unwrap();
    let second = store.put(draft("a", "two"), Some(&first)).await.unwrap();
    let all = store.all().await.unwrap();
    let shown: Vec<_> = all.iter().map(|body| (&*body.name, &*body.bytes)).collect();
    assert_eq!(shown, [("a", &b"two"[..]), ("b", b"one")]);
    assert_eq!(store.one("a").await.unwrap(), Some(all[0].clone()));
    assert_eq!(all[0].revision, second);
    store.remove("a", &second).await.unwrap();
    store.remove("a", &second).await.unwrap();
    assert_eq!(store.one("a").await.unwrap(), None);

    let secret = server.kept(|kept| kept.secrets["roadstead-b"].clone());
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "roadstead.dev/recovery",
        "metadata": {
            "name": "roadstead-b", "namespace": "own", "resourceVersion": "2",
            "labels": {
                "app.kubernetes.io/managed-by": "roadstead",
                "roadstead.dev/recovery": "last-good",
            },
            "annotations": {"roadstead.dev/object": "Ingress default/apple"},
        },
        "data": {"record": "b25l"},
    });
    assert_eq!(secret, expected);
}

#[tokio::test]
async fn nothing_is_overwritten_or_removed_unseen() {
    let server = Server::default();
    let (store, other) = (server.store(None), server.store(None));
    let mine = store.put(draft("a", "mine"), None).await.unwrap();
    let theirs = other.put(draft("a", "theirs"), Some(&mine)).await.unwrap();
    for outcome in [
        store.put(draft("a", "mine"), Some(&mine)).await,
        store.put(draft("a", "mine"), None).await,
        store.remove("a", &mine).await.map(|()| Box::default()),
    ] {
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    other.remove("a", &theirs).await.unwrap();
    let gone = store.put(draft("a", "mine"), Some(&theirs)).await;
    assert!(matches!(gone, Err(StoreError::Conflict)), "{gone:?}");
}

#[tokio::test]
async fn what_the_api_server_says_is_told_with_its_remedy() {
    let server = Server::default();
    let store = server.store(None);
    for (failure, cause, words) in [
        (
            (403, "Forbidden"),
            "forbidden",
            &[
                "as told",
                "a Role in the namespace own",
                "secrets",
                "update, delete",
            ][..],
        ),
        (
            (422, "Invalid"),
            "refused",
            &["does not take it", "as told"],
        ),
        ((413, "RequestEntityTooLarge"), "refused", &["as told"]),
        ((500, "InternalError"), "unavailable", &["500", "as told"]),
        ((429, "TooManyRequests"), "unavailable", &["429", "as told"]),
    ] {
        server.kept(|kept| kept.failure = Some(failure));
        let error = store.put(draft("a", "one"), None).await.unwrap_err();
        assert_eq!(error.cause(), cause);
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(store.all().await.unwrap_err().cause(), cause);
    }
    server.kept(|kept| kept.failure = None);
    let elsewhere = server.store(Some("elsewhere"));
    let error = elsewhere.put(draft("a", "one"), None).await.unwrap_err();
    assert!(error.to_string().contains("ownNamespace"), "{error}");
    assert_eq!(elsewhere.place("a"), "Secret elsewhere/roadstead-a");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_bears_our_label_and_holds_nothing_ends_nothing() {
    let server = Server::default();
    let store = server.store(None);
    let strange = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "somebody-elses", "namespace": "own", "resourceVersion": "7"},
    });
    server.kept(|kept| {
        kept.secrets
            .insert("somebody-elses".into(), strange.clone())
    });
    let body = &store.all().await.unwrap()[0];
    assert_eq!((&*body.name, &*body.bytes), ("somebody-elses", &b""[..]));

    let (send, mut inbox) = mpsc::channel(4);
    let (tell, _listable) = oneshot::channel();
    let (_wants, wanted) = watch::channel(Wanted::default());
    let metrics = RecoveryMetrics::new(&opentelemetry::global::meter("test"));
    let tenure = Tenure {
        lineage: "ours".into(),
        epoch: Epoch(1),
    };
    let keeper = Keeper::new(store, tenure, wanted, metrics);
    let mut running = JoinSet::new();
    running.spawn(keeper.run(send, tell));
    let told = inbox.recv().await.unwrap();
    assert!(matches!(told, Observation::Recovered { records, .. } if records.is_empty()));
    assert_eq!(
        server.kept(|kept| kept.secrets["somebody-elses"].clone()),
        strange
    );
}
