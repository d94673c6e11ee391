//! Of a kind only what is in use. (What Ingresses show here, Secrets are for.)

use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use tokio::time::{Instant, sleep};

use super::*;
use crate::event::Seq;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::watch::guard::Guarded;
use crate::watch::only::{InUse, Only};

fn keys(names: &[&str]) -> InUse {
    keys_since(names, 1)
}

fn keys_since(names: &[&str], since: u64) -> InUse {
    let key = |name: &&str| ObjectKey {
        origin: Origin::Kubernetes,
        kind: Kind::Ingress,
        namespace: "default".into(),
        name: (*name).into(),
    };
    let folder = ObjectKey {
        origin: Origin::Folder,
        ..key(&"of-a-folder")
    };
    let keys = names.iter().map(key).chain([folder]);
    let keys: OrdMap<ObjectKey, Seq> = keys.map(|key| (key, Seq(since))).collect();
    Some(keys)
}

/// A watch of what is in use; without lists all of it is asked for by name.
fn begin_only(lists: bool) -> (Setting, watch::Sender<InUse>) {
    let (uses, in_use) = watch::channel(None);
    let setting = begin_with(&[], |client, mut kind| {
        let client = client.clone();
        let ask = move |key: &ObjectKey| {
            let objects: Api<Guarded<Ingress>> = Api::namespaced(client.clone(), &key.namespace);
            let name = key.name.clone();
            Box::pin(async move { objects.get_opt(&name).await }) as _
        };
        // Those with a class stand for those that the watch selects.
        let watched = |object: &Guarded<Ingress>| {
            let spec = object
                .0
                .as_ref()
                .ok()
                .and_then(|object| object.spec.as_ref());
            spec.is_some_and(|spec| spec.ingress_class_name.is_some())
        };
        let watched = if lists { watched } else { |_: &_| false };
        if !lists {
            kind.apis.clear();
        }
        kind.only(Only::new(in_use, Arc::new(ask), watched))
    });
    (setting, uses)
}

fn watched(name: &str, version: u64) -> Value {
    let mut ingress = ingress(name, version);
    ingress["spec"]["ingressClassName"] = json!("watched");
    ingress
}

impl Setting {
    async fn has(&mut self, name: &str, object: Value) {
        let address = format!("ingresses/{name}");
        self.server.answer(&address, 200, &object.to_string()).await;
    }

    async fn has_not(&mut self, name: &str) {
        let address = format!("ingresses/{name}");
        self.server.fail(&address, 404, "NotFound").await;
    }

    async fn forbids(&mut self, name: &str) {
        let address = format!("ingresses/{name}");
        self.server.fail(&address, 403, "Forbidden").await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_in_use_is_told_and_what_no_list_has_is_asked_for() {
    let (mut watch, uses) = begin_only(true);
    sleep(Duration::from_secs(60)).await;
    assert!(
        watch.server.is_left_alone(""),
        "before it is known what is in use"
    );
    uses.send_replace(keys(&["a", "other", "none"]));
    let page = [watched("a", 1), watched("b", 2)];
    watch.server.page("limit=2", &page, 5, "").await;
    watch.has_not("none").await;
    watch.has("other", ingress("other", 3)).await;
    let listed = "listed: Ingress default/a, Ingress default/other";
    assert_eq!(watch.next().await, listed);
    let events = watch.server.watch("resourceVersion=5").await;
    events.send("MODIFIED", watched("b", 6)).await;
    events.send("MODIFIED", watched("a", 7)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn what_comes_into_use_is_asked_for_at_once_and_then_watched() {
    let (mut watch, uses) = begin_only(true);
    uses.send_replace(keys(&[]));
    watch
        .server
        .page("limit=2", &[watched("a", 1)], 5, "")
        .await;
    assert_eq!(watch.next().await, "listed: ");
    let events = watch.server.watch("resourceVersion=5").await;
    let begun = Instant::now();
    uses.send_replace(keys(&["a"]));
    watch.has("a", watched("a", 8)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // What the watch has not told yet is older than what was found.
    events.send("MODIFIED", watched("a", 7)).await;
    events.send("DELETED", watched("a", 9)).await;
    assert_eq!(watch.next().await, "deleted: Ingress default/a");
    // Another may come that the watch does not select.
    watch.has_not("a").await;
    events.send("ADDED", watched("a", 10)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    sleep(Duration::from_secs(45)).await;
    assert!(watch.server.is_left_alone("ingresses/a"), "it is watched");
    // It was out of use for a moment, and what was known of it is forgotten.
    uses.send_replace(keys_since(&["a"], 2));
    watch.has("a", watched("a", 10)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    uses.send_replace(keys(&["b"]));
    watch.has_not("b").await;
    events.send("MODIFIED", watched("a", 11)).await;
    events.send("ADDED", watched("b", 12)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/b");
}

#[tokio::test(start_paused = true)]
async fn what_the_watch_does_not_select_is_looked_at_again_and_again() {
    let (mut watch, uses) = begin_only(true);
    uses.send_replace(keys(&["a"]));
    watch.server.page("limit=2", &[], 5, "").await;
    watch.has("a", ingress("a", 1)).await;
    assert_eq!(watch.next().await, "listed: Ingress default/a");
    let _events = watch.server.watch("resourceVersion=5").await;
    // The same is not told again.
    watch.has("a", ingress("a", 1)).await;
    watch.has("a", ingress("a", 6)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    watch.has_not("a").await;
    assert_eq!(watch.next().await, "deleted: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn by_name_alone_a_list_is_complete_when_all_was_answered() {
    let (mut watch, uses) = begin_only(false);
    uses.send_replace(keys(&["a", "b", "c"]));
    watch.has("a", watched("a", 1)).await;
    watch.server.fail("ingresses/b", 500, "InternalError").await;
    watch.has_not("c").await;
    watch.has("b", watched("b", 2)).await;
    let listed = "listed: Ingress default/a, Ingress default/b";
    assert_eq!(watch.next().await, listed);
    watch.has("a", watched("a", 3)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    assert!(watch.server.is_left_alone("limit"), "a list was asked for");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_asked_for_is_told_with_its_mend_and_found_when_it_may() {
    let (mut watch, uses) = begin_only(false);
    uses.send_replace(keys(&["a", "b"]));
    watch.forbids("b").await;
    watch.has("a", watched("a", 1)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    let unlistable = watch.next().await;
    for part in ["namespace default", "ingresses", "verbs: [get]}"] {
        assert!(unlistable.contains(part), "{unlistable}");
    }
    watch.forbids("b").await;
    watch.has("b", watched("b", 2)).await;
    // All is asked for anew, and is a list.
    watch.has("b", watched("b", 2)).await;
    watch.has("a", watched("a", 1)).await;
    let listed = "listed: Ingress default/a, Ingress default/b";
    assert_eq!(watch.next().await, listed);
    // It is taken away again.
    watch.forbids("a").await;
    watch.forbids("a").await;
    watch.has("b", watched("b", 2)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/b");
    assert!(watch.next().await.starts_with("unlistable"));
}

#[tokio::test(start_paused = true)]
async fn where_no_list_is_to_be_had_what_a_watch_would_show_is_asked_for_on_and_on() {
    let (mut watch, uses) = begin_only(true);
    uses.send_replace(keys(&["a"]));
    for _ in 0..3 {
        watch.server.fail("limit=2", 403, "Forbidden").await;
    }
    watch.has("a", watched("a", 1)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    assert!(watch.next().await.starts_with("unlistable"));
    watch.has("a", watched("a", 2)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/a");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_had_keeps_others_waiting_for_a_while_only() {
    let (mut watch, uses) = begin_only(false);
    uses.send_replace(keys(&["a", "b"]));
    watch.has("a", watched("a", 1)).await;
    for _ in 0..5 {
        watch.server.fail("ingresses/b", 500, "InternalError").await;
    }
    assert_eq!(watch.next().await, "changed: Ingress default/a");
    let unlistable = watch.next().await;
    assert!(unlistable.contains("Ingress default/b"), "{unlistable}");
    watch.has("b", watched("b", 2)).await;
    assert_eq!(watch.next().await, "changed: Ingress default/b");
}
