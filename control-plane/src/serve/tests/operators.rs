//! What operators are told of now.

use roadstead_proto::v1::decoded_resource::Body;
use roadstead_proto::v1::snapshot_service_client::SnapshotServiceClient;
use roadstead_proto::v1::{self, ResourceType};
use tonic::Code;

use crate::serve::tests::world::{Authorized, LINEAGE, World};
use crate::tokens::Role;

async fn snapshots(world: &World) -> SnapshotServiceClient<Authorized> {
    SnapshotServiceClient::new(world.channel(Role::Operator).await)
}

/// The names of a whole snapshot, read in pages of this size.
async fn pages(
    client: &mut SnapshotServiceClient<Authorized>,
    request: v1::GetSnapshotRequest,
) -> Vec<Vec<String>> {
    let mut request = request;
    let mut pages = Vec::new();
    loop {
        let answer = client.get_snapshot(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        pages.push(answer.resources.into_iter().map(|r| r.name).collect());
        if answer.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = answer.next_page_token;
    }
}

fn of_size(page_size: u32) -> v1::GetSnapshotRequest {
    v1::GetSnapshotRequest {
        page_size,
        ..v1::GetSnapshotRequest::default()
    }
}

#[tokio::test]
async fn the_snapshot_of_now_says_what_and_since_when() {
    let mut world = World::begun().await;
    world.route("shop", &["a.example/=web"]);
    let answer = snapshots(&world).await.get_snapshot(of_size(0)).await;
    let answer = answer.unwrap().into_inner();
    let version = answer.version.unwrap();
    // The Service is not used before the Ingress, and changes nothing.
    assert_eq!((version.epoch, version.seq), (1, 4));
    assert_eq!(version.lineage, LINEAGE);
    assert_eq!(answer.time.unwrap().nanos, 4_000_000);
    assert_eq!(answer.resource_count, 4);
    assert_eq!(answer.retention_note, "");
    let digest = world.publication().snapshot().configuration_digest();
    assert_eq!(answer.digest, digest.fingerprint());
    let route = &answer.resources[1];
    assert_eq!(route.name, "ingress/default/shop");
    assert_eq!(route.changed_at.as_ref().unwrap().seq, 4);
    let Some(Body::Route(body)) = &route.body else {
        panic!("{route:?}");
    };
    assert_eq!(body.rules[0].hostname, "a.example");
    let listener = &answer.resources[0];
    assert_eq!(listener.changed_at.as_ref().unwrap().seq, 2);
    assert_eq!(listener.hash.len(), 32);
}

#[tokio::test]
async fn pages_make_up_the_whole_and_so_does_the_stream() {
    let mut world = World::begun().await;
    world.route("shop", &["a.example/=web", "b.example/=cart"]);
    let mut client = snapshots(&world).await;
    let whole = pages(&mut client, of_size(0)).await.concat();
    assert_eq!(whole.len(), 6);
    let by_two = pages(&mut client, of_size(2)).await;
    assert_eq!(by_two.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(by_two.concat(), whole);

    let all = v1::StreamSnapshotRequest::default();
    let mut stream = client.stream_snapshot(all).await.unwrap().into_inner();
    let mut streamed = Vec::new();
    while let Some(resource) = stream.message().await.unwrap() {
        streamed.push(resource.name);
    }
    assert_eq!(streamed, whole);

    let upstreams = v1::GetSnapshotRequest {
        r#type: ResourceType::Upstream.into(),
        ..of_size(1)
    };
    assert_eq!(
        pages(&mut client, upstreams).await.concat(),
        ["service/default/cart:80", "service/default/web:80"]
    );
}

#[tokio::test]
async fn pages_are_all_of_the_version_of_the_first() {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=web"]);
    world.route("b", &["b.example/=web"]);
    let mut client = snapshots(&world).await;
    let routes = v1::GetSnapshotRequest {
        r#type: ResourceType::Route.into(),
        ..of_size(1)
    };
    let first = client
        .get_snapshot(routes.clone())
        .await
        .unwrap()
        .into_inner();
    world.remove("b");
    let next = v1::GetSnapshotRequest {
        page_token: first.next_page_token,
        ..routes
    };
    let second = client.get_snapshot(next).await.unwrap().into_inner();
    assert_eq!(second.version, first.version);
    assert_eq!(second.resources[0].name, "ingress/default/b");
    assert!(second.retention_note.contains("endpoints"), "{second:?}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_with_a_remedy() {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=web"]);
    let mut client = snapshots(&world).await;
    let first = client.get_snapshot(of_size(1)).await.unwrap().into_inner();
    let cases = [
        v1::GetSnapshotRequest {
            page_token: "made up".into(),
            ..of_size(1)
        },
        v1::GetSnapshotRequest {
            page_token: first.next_page_token,
            r#type: ResourceType::Route.into(),
            ..of_size(1)
        },
        v1::GetSnapshotRequest {
            r#type: 77,
            ..of_size(1)
        },
    ];
    for request in cases {
        let status = client.get_snapshot(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}");
        assert!(status.message().contains("leave it"), "{status}");
    }
}

#[tokio::test]
async fn before_the_first_publication_there_is_nothing_to_see() {
    let world = World::start().await;
    let status = snapshots(&world).await.get_snapshot(of_size(0)).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}
