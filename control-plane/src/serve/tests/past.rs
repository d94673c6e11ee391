//! What operators are told of the past: versions, differences, events.

use roadstead_proto::v1::event_service_client::EventServiceClient;
use roadstead_proto::v1::snapshot_service_client::SnapshotServiceClient;
use roadstead_proto::v1::{self, ResourceType};
use tonic::{Code, Status};

use crate::event::Seq;
use crate::serve::tests::world::{Authorized, World};
use crate::tokens::Role;

struct Operator {
    snapshots: SnapshotServiceClient<Authorized>,
    events: EventServiceClient<Authorized>,
}

impl Operator {
    async fn of(world: &World) -> Self {
        Self {
            snapshots: SnapshotServiceClient::new(world.channel(Role::Operator).await),
            events: EventServiceClient::new(world.channel(Role::Operator).await),
        }
    }

    /// The routes that were served at a record, and the version's number.
    async fn routes_at(&mut self, seq: u64) -> Result<(u64, Vec<String>), Status> {
        let request = v1::GetSnapshotRequest {
            version: Some(v1::VersionSelector { seq }),
            r#type: ResourceType::Route.into(),
            ..v1::GetSnapshotRequest::default()
        };
        let answer = self.snapshots.get_snapshot(request).await?.into_inner();
        let names = answer.resources.into_iter().map(|resource| resource.name);
        Ok((answer.version.unwrap().seq, names.collect()))
    }

    async fn events(&mut self, from_seq: u64, page_size: u32) -> (Vec<u64>, u64) {
        let request = v1::ListEventsRequest {
            from_seq,
            page_size,
        };
        let answer = self.events.list_events(request).await.unwrap().into_inner();
        let seqs = answer.events.iter().map(|event| event.seq);
        (seqs.collect(), answer.next_seq)
    }
}

/// 1 a leader, 2 the settings, 3 a Service, 4 Ingress a, 5 the same Service, 6 Ingress b,
/// 7 Ingress a is gone.
async fn seven_records() -> World {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=web"]);
    world.route("b", &["b.example/=web"]);
    world.remove("a");
    world
}

#[tokio::test]
async fn any_version_of_the_past_can_be_seen() {
    let world = seven_records().await;
    let mut operator = Operator::of(&world).await;
    let (a, b) = ("ingress/default/a", "ingress/default/b");
    let cases: [(u64, u64, &[&str]); 7] = [
        (1, 1, &[]),
        (2, 2, &[]),
        // Between two versions: the one that was served then.
        (3, 2, &[]),
        (4, 4, &[a]),
        (5, 4, &[a]),
        (6, 6, &[a, b]),
        (7, 7, &[b]),
    ];
    for (asked, version, routes) in cases {
        let routes = routes.iter().map(ToString::to_string).collect();
        assert_eq!(
            operator.routes_at(asked).await.unwrap(),
            (version, routes),
            "{asked}"
        );
    }
    for never in [0, 8] {
        let status = operator.routes_at(never).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
        assert!(status.message().contains("ListVersions"), "{status}");
    }
}

#[tokio::test]
async fn what_is_no_longer_retained_is_out_of_range() {
    let world = seven_records().await;
    world.compact(Seq(5));
    let mut operator = Operator::of(&world).await;
    let status = operator.routes_at(3).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("the oldest is 5"), "{status}");
    // Version 4 was still served at 5.
    assert_eq!(operator.routes_at(4).await.unwrap().0, 4);
    let versions = v1::ListVersionsRequest::default();
    let versions = operator.snapshots.list_versions(versions).await.unwrap();
    let versions = versions.into_inner();
    assert_eq!(versions.versions.len(), 3);
    assert_eq!(versions.oldest_retained.unwrap().seq, 4);
    let watch = v1::WatchEventsRequest { from_seq: 4 };
    let status = operator.events.watch_events(watch).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let list = v1::ListEventsRequest::default();
    let list = operator
        .events
        .list_events(list)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.oldest_retained, 5);
    assert_eq!(list.events[0].seq, 5);
}

#[tokio::test]
async fn versions_are_listed_newest_first_with_their_causes() {
    let world = seven_records().await;
    let mut client = Operator::of(&world).await.snapshots;
    let mut request = v1::ListVersionsRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let mut listed = Vec::new();
    let mut pages = 0;
    loop {
        let answer = client.list_versions(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.oldest_retained, None);
        pages += 1;
        listed.extend(answer.versions);
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    let listed: Vec<String> = listed
        .into_iter()
        .map(|version| format!("{} {}", version.version.unwrap().seq, version.cause))
        .collect();
    assert_eq!(
        listed,
        [
            "7 Ingress default/a was deleted",
            "6 Ingress default/b changed",
            "4 Ingress default/a changed",
            "2 the settings changed; listeners: http [::]:80",
            "1 a leader began (version test)",
        ]
    );
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn two_versions_are_compared_as_meaning() {
    let world = seven_records().await;
    let mut client = Operator::of(&world).await.snapshots;
    let select = |seq| Some(v1::VersionSelector { seq });
    let request = v1::DiffVersionsRequest {
        from: select(4),
        to: None,
    };
    let diff = client.diff_versions(request).await.unwrap().into_inner();
    assert_eq!(diff.from.unwrap().seq, 4);
    assert_eq!(diff.to.unwrap().seq, 7);
    assert_eq!(diff.hosts_added, ["b.example"]);
    assert_eq!(diff.hosts_removed, ["a.example"]);
    let changed = diff.routes.iter();
    let changes: Vec<_> = changed
        .map(|change| (change.before.is_some(), change.after.is_some()))
        .collect();
    assert_eq!(changes, [(true, false), (false, true)]);
    assert!(diff.upstreams.is_empty() && diff.listeners.is_empty());
}

#[tokio::test]
async fn events_are_listed_by_page() {
    let world = seven_records().await;
    let mut operator = Operator::of(&world).await;
    assert_eq!(operator.events(0, 3).await, (vec![1, 2, 3], 4));
    assert_eq!(operator.events(4, 3).await, (vec![4, 5, 6], 7));
    assert_eq!(operator.events(7, 3).await, (vec![7], 0));
    assert_eq!(operator.events(8, 3).await, (vec![], 0));

    let fourth = v1::ListEventsRequest {
        from_seq: 4,
        page_size: 1,
    };
    let answer = operator
        .events
        .list_events(fourth)
        .await
        .unwrap()
        .into_inner();
    let event = &answer.events[0];
    assert_eq!(event.kind, "ObjectAccepted");
    assert_eq!(event.object, "Ingress default/a");
    assert_eq!(event.summary, "Ingress default/a was accepted");
    let json: serde_json::Value = serde_json::from_str(&event.json).unwrap();
    assert_eq!(json["seq"], 4);
    assert_eq!(json["event"]["ObjectAccepted"]["key"]["name"], "a");
}

#[tokio::test]
async fn a_watch_goes_on_where_another_ended() {
    let mut world = seven_records().await;
    let mut operator = Operator::of(&world).await;
    let watch = |from_seq| v1::WatchEventsRequest { from_seq };
    let stream = operator.events.watch_events(watch(6)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(stream.message().await.unwrap().unwrap().seq);
    }
    drop(stream);
    world.route("c", &["c.example/=web"]);
    let resumed = operator.events.watch_events(watch(8)).await.unwrap();
    let mut resumed = resumed.into_inner();
    let new = operator.events.watch_events(watch(0)).await.unwrap();
    let mut new = new.into_inner();
    world.remove("c");
    while seen.len() < 5 {
        seen.push(resumed.message().await.unwrap().unwrap().seq);
    }
    assert_eq!(seen, [6, 7, 8, 9, 10]);
    // From now on: only what came after it was asked for.
    assert_eq!(new.message().await.unwrap().unwrap().seq, 10);

    let status = operator.events.watch_events(watch(12)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("the log ends at 10"), "{status}");
}

#[tokio::test]
async fn a_stop_ends_watches() {
    let mut world = seven_records().await;
    let mut operator = Operator::of(&world).await;
    let watch = v1::WatchEventsRequest { from_seq: 8 };
    let stream = operator.events.watch_events(watch).await.unwrap();
    let mut stream = stream.into_inner();
    let (ended, status) = tokio::join!(world.stop(), stream.message());
    ended.unwrap();
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}
