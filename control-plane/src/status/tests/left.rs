//! Statuses that cannot be as they should be: how often they are tried, and that no other waits.

use std::time::Duration;

use super::ingress::{LONG, publishing, run, seen, server};
use super::*;
use crate::project::standing::StandingChange;

/// Ingresses of these names are served, and have no status yet.
fn served(names: impl IntoIterator<Item = String>) -> (Teller, Status) {
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    for name in names {
        let served: StandingChange = change(&name, None, Some(true));
        teller.tell(served);
        see(seen(&name, 1, &[], false, None));
    }
    teller.complete();
    (teller, status)
}

fn names() -> impl Iterator<Item = String> {
    let others = (0..100).map(|number| format!("i{number}"));
    std::iter::once("a".to_owned()).chain(others)
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_keeps_no_other_waiting_and_is_not_tried_for_ever() {
    let _alone = ALONE.lock().await;
    // The codes of an API server, and how often an hour what it refuses so may be tried.
    for (code, tries) in [
        (422, 1..2),
        (404, 1..2),
        (409, 1..2),
        (403, 8..20),
        (500, 60..200),
    ] {
        let (client, writes) = server(move |name| (name == "a").then_some(code), |_| {});
        let (_teller, status) = served(names());
        let began = Instant::now();
        run(status, client, publishing(&["192.0.2.1"])).await;
        let (refused, others): (Vec<_>, Vec<_>) =
            writes.try_iter().partition(|(name, ..)| name == "a");
        assert!(tries.contains(&refused.len()), "{code}: {}", refused.len());
        assert_eq!(others.len(), 100, "{code}");
        let took = others.last().unwrap().2 - began;
        assert!(took < Duration::from_secs(4), "{code}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_what_fails_and_what_failed_is_tried_when_it_changes() {
    let _alone = ALONE.lock().await;
    let refuse = |name: &str| match name {
        "failing" => Some(500),
        "refused" => Some(422),
        _ => None,
    };
    let (client, writes) = server(refuse, |_| {});
    let (teller, status) = served(["failing".to_owned(), "refused".to_owned()]);
    let see = status.sightings(false);
    let changing = async {
        tokio::time::sleep(LONG / 2).await;
        teller.tell(change("new", None, Some(true)));
        see(seen("refused", 2, &[], false, None));
        see(seen("new", 1, &[], false, None));
        Instant::now()
    };
    let (came, ()) = tokio::join!(changing, run(status, client, publishing(&["192.0.2.1"])));
    let writes: Vec<_> = writes.try_iter().collect();
    for (name, times) in [("new", 1), ("refused", 2)] {
        let of = writes.iter().filter(|(of, ..)| of == name);
        let at: Vec<Instant> = of.map(|(.., at)| *at).collect();
        assert_eq!(at.len(), times, "{name}");
        let waited = at[times - 1] - came;
        assert!(waited < Duration::from_secs(1), "{name}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_makes_something_else_of_it_is_not_answered_for_ever() {
    let _alone = ALONE.lock().await;
    let alter = |patch: &mut serde_json::Value| {
        if patch.get("status").is_some() {
            patch["status"]["loadBalancer"]["ingress"] = json!([{"ip": "198.51.100.7"}]);
        }
    };
    let (client, writes) = server(|_| None, alter);
    let (teller, status) = served(["a".to_owned()]);
    let see = status.sightings(false);
    let (guard, lines) = listen();
    let seeing = async {
        tokio::time::sleep(LONG / 4).await;
        // Another field of it was changed.
        see(seen("a", 5_000, &["198.51.100.7"], true, None));
        tokio::time::sleep(LONG / 4).await;
        // Somebody took away what the webhook had made.
        see(seen("a", 5_001, &["203.0.113.1"], true, None));
    };
    tokio::join!(seeing, run(status, client, publishing(&["192.0.2.1"])));
    drop((guard, teller));
    assert_eq!(writes.try_iter().count(), 2);
    let told = lines()
        .into_iter()
        .filter(|line| line.contains("a webhook"));
    assert_eq!(told.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn that_another_has_a_status_is_said_once() {
    let _alone = ALONE.lock().await;
    let (client, writes) = server(|_| None, |_| {});
    let (teller, status) = served([]);
    teller.tell(change("a", None, Some(true)));
    let see = status.sightings(false);
    let (guard, lines) = listen();
    let seeing = async {
        for version in 1..100 {
            see(seen("a", version, &["192.0.2.9"], false, Some("nginx")));
            tokio::time::sleep(LONG / 200).await;
        }
        see(seen("a", 100, &["192.0.2.9"], false, Some("traefik")));
    };
    tokio::join!(seeing, run(status, client, publishing(&["192.0.2.1"])));
    drop((guard, teller));
    assert_eq!(writes.try_iter().count(), 0);
    let told: Vec<String> = lines()
        .into_iter()
        .filter(|line| line.contains("takeOver"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("nginx") && told[1].contains("traefik"),
        "{told:?}"
    );
}
