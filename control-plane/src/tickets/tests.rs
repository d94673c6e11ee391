use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Tls};
use crate::store::Files;

static NOW: AtomicI64 = AtomicI64::new(0);

fn now() -> Timestamp {
    Timestamp(NOW.load(Ordering::Relaxed))
}

fn keeper(folder: &TempDir, clock: fn() -> Timestamp) -> TicketKeeper<Files> {
    let store = Files::new(folder.path().join("tickets"));
    TicketKeeper::new(store, "lineage".into(), Epoch(1), clock)
}

/// When each was made, and the bundle that it is, the oldest first.
fn secrets(told: Observation) -> Vec<(i64, Bundle)> {
    let Observation::Listed {
        origin: Origin::Folder,
        kind: Kind::TicketSecret,
        objects,
        unreadable,
    } = told
    else {
        panic!("{told:?}");
    };
    assert!(unreadable.is_empty());
    let objects = objects.into_iter().map(|seen| {
        let bundle = seen.bundle.unwrap();
        let spec = TicketSecret {
            bundle: bundle.name(),
        };
        assert_eq!(seen.spec, Ok(Spec::TicketSecret(spec)));
        (seen.meta.age.created.0, bundle)
    });
    let mut secrets: Vec<_> = objects.collect();
    secrets.sort_by_key(|(made, _)| *made);
    secrets
}

#[tokio::test]
async fn a_secret_is_made_each_day_is_found_again_and_is_forgotten_a_day_after_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let at = |time: i64| NOW.store(time, Ordering::Relaxed);
    let look = async || secrets(keeper(&folder, now).attempt(true).await.unwrap());
    let first = look().await;
    assert_eq!(first.len(), 1);
    at(DAY - 1);
    assert_eq!(look().await, first);
    at(DAY);
    let second = look().await;
    let times: Vec<i64> = second.iter().map(|(made, _)| *made).collect();
    assert_eq!(times, [0, DAY]);
    assert_ne!(second[1].1, first[0].1);
    at(2 * DAY);
    let third = look().await;
    let times: Vec<i64> = third.iter().map(|(made, _)| *made).collect();
    assert_eq!(times, [DAY, 2 * DAY]);

    // A clock that was put back leaves one that is dated ahead; it counts no more.
    at(DAY);
    let back = look().await;
    let times: Vec<i64> = back.iter().map(|(made, _)| *made).collect();
    assert_eq!(times, [DAY, 2 * DAY]);
    at(DAY - 1);
    let back = look().await;
    let times: Vec<i64> = back.iter().map(|(made, _)| *made).collect();
    assert_eq!(times, [DAY]);
    at(2 * DAY);
    let third = look().await;

    // What cannot be read makes room; what a newer release wrote is its own.
    let path = |name: &str| folder.path().join(format!("tickets/{name}.json"));
    std::fs::write(path("bad"), "no record").unwrap();
    std::fs::write(path("newer"), r#"{"schema": 99}"#).unwrap();
    assert_eq!(look().await, third);
    assert!(!path("bad").exists() && path("newer").exists());
    let shown = format!("{third:?}");
    let kept = std::fs::read(path(&format!("tickets-{:020}", 2 * DAY))).unwrap();
    let kept: Sealed<Kept> = open(&kept).unwrap();
    assert!(!shown.contains(&*kept.content.secret));
    assert!(!format!("{kept:?}").contains(&*kept.content.secret));

    // Nobody wants any.
    let none = keeper(&folder, now).attempt(false).await.unwrap();
    assert!(secrets(none).is_empty());
}

#[tokio::test(start_paused = true)]
async fn secrets_are_told_of_for_as_long_as_a_listener_has_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    let (configuration, configured) = watch::channel(config.live());
    let (relist, relisted) = watch::channel(0);
    let (inbox, mut told) = mpsc::channel(8);
    let mut keeping = JoinSet::new();
    keeping.spawn(keeper(&folder, || Timestamp(0)).run(configured, inbox, relisted));
    let mut next = async || {
        loop {
            let told = timeout(LOOK / 2, told.recv()).await.unwrap().unwrap();
            if !matches!(told, Observation::Unconfigured { .. }) {
                return secrets(told).len();
            }
        }
    };
    assert_eq!(next().await, 1);
    relist.send_replace(1);
    assert_eq!(next().await, 1);
    let https = config.listeners.get_mut("https").unwrap();
    https.tls = Tls {
        session_tickets: false,
        ..Tls::default()
    };
    configuration.send_replace(config.live());
    assert_eq!(next().await, 0);
}
