//! One kind watched at an API server that answers as it is told.

mod by_name;
mod server;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use self::server::Server;
use super::kind::KindWatch;
use super::*;
use crate::observe::Seen;

/// A watch of Ingresses, the server that it asks and what it sends.
struct Setting {
    server: Server,
    seen: mpsc::Receiver<Observation>,
    relist: watch::Sender<u64>,
    _running: JoinSet<()>,
}

fn begin(namespaces: &[&str]) -> Setting {
    begin_with(namespaces, |_, kind| kind)
}

/// The same, of what `change` makes of the watch.
fn begin_with(
    namespaces: &[&str],
    change: impl FnOnce(&Client, KindWatch<Ingress>) -> KindWatch<Ingress>,
) -> Setting {
    let (server, service) = Server::new();
    let client = Client::new(service, "default");
    let (inbox, seen) = mpsc::channel(16);
    let (relist, relisted) = watch::channel(0);
    let scope = Scope {
        namespaces: namespaces.iter().map(ToString::to_string).collect(),
        label_selector: None,
        watch_seconds: WATCH_SECONDS,
        secrets: Secrets::Off,
    };
    let kind = KindWatch::<Ingress> {
        apis: apis(&client, &scope),
        config: watcher::Config::default()
            .timeout(WATCH_SECONDS)
            .page_size(2),
        inbox,
        relist: relisted,
        sightings: None,
        only: None,
        metrics: WatchMetrics::new(&opentelemetry::global::meter("test")),
    };
    let mut running = JoinSet::new();
    running.spawn(follow(change(&client, kind)));
    Setting {
        server,
        seen,
        relist,
        _running: running,
    }
}

impl Setting {
    async fn next(&mut self) -> String {
        show(self.seen.recv().await.unwrap())
    }
}

fn show(observation: Observation) -> String {
    let one = |seen: Seen| match seen.spec {
        Ok(_) => seen.key.to_string(),
        Err(refusal) => format!("{} refused {}", seen.key, refusal.reason.as_str()),
    };
    match observation {
        Observation::Listed { objects, .. } => {
            let objects: Vec<String> = objects.into_iter().map(one).collect();
            format!("listed: {}", objects.join(", "))
        }
        Observation::Unlistable { message, .. } => format!("unlistable: {message}"),
        Observation::Changed(seen) => format!("changed: {}", one(seen)),
        Observation::Deleted(key) => format!("deleted: {key}"),
        Observation::Configured(_)
        | Observation::Recovered { .. }
        | Observation::Vanished { .. }
        | Observation::Unconfigured { .. }
        | Observation::Confirmed(_)
        | Observation::Proxy(_) => panic!("no API server says that"),
    }
}

fn ingress(name: &str, version: u64) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "default", "name": name, "resourceVersion": version.to_string()},
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    })
}

fn broken(name: &str, version: u64) -> Value {
    let mut ingress = ingress(name, version);
    ingress["spec"] = json!("not a specification");
    ingress["metadata"]["generation"] = json!("not a number");
    ingress
}

#[tokio::test(start_paused = true)]
async fn a_list_is_sent_when_it_is_complete_and_then_every_change() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[ingress("a", 1), ingress("b", 2)], 5, "more")
        .await;
    watch
        .server
        .page("continue=more", &[ingress("a", 4)], 5, "")
        .await;
    assert_eq!(
        watch.next().await,
        "listed: Ingress default/a, Ingress default/b"
    );
    let events = watch.server.watch("resourceVersion=5").await;
    events.send("ADDED", ingress("c", 6)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/c");
    events.send("DELETED", ingress("a", 7)).await;
    assert_eq!(watch.next().await, "deleted: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_begun_anew_and_sent_once() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[ingress("a", 1), ingress("b", 2)], 5, "more")
        .await;
    watch.server.fail("continue=more", 410, "Expired").await;
    watch.server.fail("limit=2", 500, "InternalError").await;
    watch
        .server
        .page("limit=2", &[ingress("c", 3)], 9, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/c");
}

#[tokio::test(start_paused = true)]
async fn one_malformed_object_ends_nothing() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[broken("a", 1), ingress("b", 2)], 5, "")
        .await;
    assert_eq!(
        watch.next().await,
        "listed: Ingress default/a refused Malformed, Ingress default/b"
    );
    let events = watch.server.watch("resourceVersion=5").await;
    events.send("MODIFIED", broken("b", 6)).await;
    assert_eq!(
        watch.next().await,
        "changed: Ingress default/b refused Malformed"
    );
    events.send("MODIFIED", ingress("b", 7)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/b");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let mut watch = begin(&[]);
    watch.server.page("limit=2", &[], 5, "").await;
    assert_eq!(watch.next().await, "listed: ");
    let events = watch.server.watch("resourceVersion=5").await;
    events.send("ADDED", ingress("a", 6)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    events.bookmark(8).await;
    drop(events);
    let events = watch.server.watch("resourceVersion=8").await;
    // The stream is cut in the middle of a line.
    events.raw("{\"type\":\"MODI").await;
    events.cut().await;
    let events = watch.server.watch("resourceVersion=8").await;
    events.send("MODIFIED", ingress("a", 9)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_given_up() {
    let mut watch = begin(&[]);
    watch.server.page("limit=2", &[], 5, "").await;
    assert_eq!(watch.next().await, "listed: ");
    let begun = tokio::time::Instant::now();
    let silent = watch.server.watch("resourceVersion=5").await;
    let events = watch.server.watch("resourceVersion=5").await;
    assert!(begun.elapsed().as_secs() <= u64::from(WATCH_SECONDS) + 10);
    events.send("ADDED", ingress("a", 6)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_the_watch_was_too_old_is_not_in_the_next_list() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[ingress("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
    let events = watch.server.watch("resourceVersion=5").await;
    events.gone().await;
    watch.server.page("limit=2", &[], 90, "").await;
    assert_eq!(watch.next().await, "listed: ");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_as_too_old_begins_with_a_list() {
    let mut watch = begin(&[]);
    watch.server.page("limit=2", &[], 5, "").await;
    assert_eq!(watch.next().await, "listed: ");
    watch.server.fail("resourceVersion=5", 410, "Expired").await;
    watch
        .server
        .page("limit=2", &[ingress("a", 7)], 9, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_go_on_begins_with_a_list() {
    let mut watch = begin(&[]);
    watch.server.page("limit=2", &[], 5000, "").await;
    assert_eq!(watch.next().await, "listed: ");
    for _ in 0..5 {
        watch
            .server
            .fail("resourceVersion=5000", 504, "Timeout")
            .await;
    }
    watch
        .server
        .page("limit=2", &[ingress("a", 7)], 9, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_that_of_all_namespaces() {
    let mut watch = begin(&["one", "two"]);
    let of = |namespace: &str, name: &str, version| {
        let mut ingress = ingress(name, version);
        ingress["metadata"]["namespace"] = json!(namespace);
        ingress
    };
    let one = [of("one", "a", 1), of("one", "b", 2)];
    watch.server.page("namespaces/one/", &one, 5, "").await;
    let _one = watch.server.watch("namespaces/one/").await;
    watch
        .server
        .page("namespaces/two/", &[of("two", "a", 1)], 7, "")
        .await;
    let expected = "listed: Ingress one/a, Ingress one/b, Ingress two/a";
    assert_eq!(watch.next().await, expected);
    let two = watch.server.watch("namespaces/two/").await;
    two.gone().await;
    for namespace in ["one", "two"] {
        let address = format!("namespaces/{namespace}/");
        let list = [of(namespace, "z", 20)];
        watch.server.page(&address, &list, 30, "").await;
    }
    assert_eq!(watch.next().await, "listed: Ingress one/z, Ingress two/z");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_listed_is_said_once_with_its_mend_and_the_rest_is_served() {
    let mut watch = begin(&["one", "two"]);
    watch
        .server
        .page("namespaces/two/", &[ingress("a", 1)], 5, "")
        .await;
    let _two = watch.server.watch("namespaces/two/").await;
    for _ in 0..3 {
        watch.server.fail("namespaces/one/", 403, "Forbidden").await;
    }
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    let unlistable = watch.next().await;
    for part in ["namespace one", "networking.k8s.io", "ingresses", "watch"] {
        assert!(unlistable.contains(part), "{unlistable}");
    }
    for _ in 0..3 {
        watch.server.fail("namespaces/one/", 403, "Forbidden").await;
    }
    // Once it may be listed, everything is.
    watch.server.page("namespaces/one/", &[], 9, "").await;
    watch.server.page("namespaces/one/", &[], 9, "").await;
    watch.server.page("namespaces/two/", &[], 9, "").await;
    assert_eq!(watch.next().await, "listed: ");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_cluster_does_not_know_is_empty_and_looked_for_again() {
    let mut watch = begin(&[]);
    for _ in 0..3 {
        watch.server.fail("limit=2", 404, "NotFound").await;
    }
    // Asked what it has of the group, it says: all but this.
    let offered = json!({
        "kind": "APIResourceList", "groupVersion": "networking.k8s.io/v1",
        "resources": [{
            "name": "networkpolicies", "singularName": "", "namespaced": true,
            "kind": "NetworkPolicy", "verbs": ["list"],
        }],
    });
    let offered = offered.to_string();
    watch
        .server
        .answer("networking.k8s.io/v1", 200, &offered)
        .await;
    assert_eq!(watch.next().await, "listed: ");
    watch
        .server
        .page("limit=2", &[ingress("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_yet_what_it_has_is_asked_again() {
    let mut watch = begin(&[]);
    for _ in 0..3 {
        watch.server.fail("limit=2", 404, "NotFound").await;
    }
    watch
        .server
        .fail("networking.k8s.io/v1", 503, "ServiceUnavailable")
        .await;
    watch
        .server
        .page("limit=2", &[ingress("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_answers_404_says_nothing_about_the_cluster() {
    let mut watch = begin(&[]);
    for _ in 0..5 {
        watch
            .server
            .answer("limit=2", 404, "<html>no such page</html>")
            .await;
    }
    watch
        .server
        .page("limit=2", &[ingress("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_asked_for() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[ingress("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
    let _events = watch.server.watch("resourceVersion=5").await;
    watch.relist.send_modify(|count| *count += 1);
    watch.server.page("limit=2", &[], 6, "").await;
    assert_eq!(watch.next().await, "listed: ");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_older_than_what_is_known_is_left_out() {
    let mut watch = begin(&[]);
    watch
        .server
        .page("limit=2", &[ingress("a", 50)], 60, "")
        .await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
    let events = watch.server.watch("resourceVersion=60").await;
    events.send("MODIFIED", ingress("a", 40)).await;
    events.send("MODIFIED", ingress("a", 61)).await;
    events.send("ADDED", ingress("b", 62)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    assert_eq!(watch.next().await, "changed: Ingress default/b");
}

const WATCH_SECONDS: u32 = 60;
