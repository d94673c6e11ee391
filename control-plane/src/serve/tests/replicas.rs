//! Replicas that follow this one's log.

use roadstead_proto::v1::follow_message::Message;
use roadstead_proto::v1::replication_service_client::ReplicationServiceClient;
use roadstead_proto::v1::{self, FollowRequest, GetPlaceRequest};
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::checkpoint;
use crate::event::Seq;
use crate::event::codec;
use crate::serve::tests::world::{LINEAGE, World};

type Client = ReplicationServiceClient<Channel>;

async fn client(world: &World) -> Client {
    ReplicationServiceClient::new(world.replica().await)
}

async fn place(client: &mut Client) -> v1::Place {
    let answer = client.get_place(GetPlaceRequest {}).await.unwrap();
    answer.into_inner().place.unwrap()
}

async fn follow(client: &mut Client, after: v1::Place) -> Streaming<v1::FollowMessage> {
    let asked = FollowRequest { after: Some(after) };
    client.follow(asked).await.unwrap().into_inner()
}

/// Everything up to the word that it is all.
async fn all(stream: &mut Streaming<v1::FollowMessage>) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        match stream.message().await.unwrap().unwrap().message.unwrap() {
            Message::Current(_) => return messages,
            message @ (Message::Restart(_)
            | Message::Checkpoint(_)
            | Message::Records(_)
            | Message::Endpoints(_)) => {
                messages.push(message);
            }
        }
    }
}

fn seqs(message: &Message) -> Vec<u64> {
    match message {
        Message::Records(records) => records.records.iter().map(|record| record.seq).collect(),
        Message::Restart(_)
        | Message::Checkpoint(_)
        | Message::Endpoints(_)
        | Message::Current(_) => Vec::new(),
    }
}

#[tokio::test]
async fn an_empty_log_is_told_all_records_and_then_each_as_it_comes() {
    let mut world = World::guarded().await;
    let mut client = client(&world).await;
    let mut stream = follow(&mut client, v1::Place::default()).await;
    let messages = all(&mut stream).await;
    assert_eq!(messages.iter().flat_map(seqs).collect::<Vec<_>>(), [1, 2]);
    world.route("a", &["a.example/=s"]);
    let mut later = Vec::new();
    while later.len() < 2 {
        later.extend(all(&mut stream).await.iter().flat_map(seqs));
    }
    assert_eq!(later, [3, 4]);
}

#[tokio::test]
async fn a_log_that_has_the_beginning_is_told_the_rest() {
    let mut world = World::guarded().await;
    let mut client = client(&world).await;
    let place = place(&mut client).await;
    assert_eq!(
        (place.lineage.as_str(), place.epoch, place.seq),
        (LINEAGE, 1, 2)
    );
    world.route("a", &["a.example/=s"]);
    let messages = all(&mut follow(&mut client, place).await).await;
    assert_eq!(messages.iter().flat_map(seqs).collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test]
async fn a_log_that_is_another_begins_anew() {
    let world = World::guarded().await;
    let mut client = client(&world).await;
    let place = place(&mut client).await;
    let strange = [
        v1::Place {
            lineage: "another".into(),
            seq: 1,
            epoch: 1,
            ..place.clone()
        },
        v1::Place {
            epoch: 0,
            ..place.clone()
        },
        v1::Place {
            seq: 9,
            epoch: 0,
            ..place.clone()
        },
        v1::Place {
            time: 0,
            seq: 1,
            ..place.clone()
        },
    ];
    for strange in strange {
        let messages = all(&mut follow(&mut client, strange.clone()).await).await;
        assert!(
            matches!(messages[0], Message::Restart(_)),
            "{strange:?}: {messages:?}"
        );
        assert_eq!(messages.iter().flat_map(seqs).collect::<Vec<_>>(), [1, 2]);
    }
}

#[tokio::test]
async fn a_log_that_has_more_is_not_told_to_throw_it_away() {
    let world = World::guarded().await;
    let mut client = client(&world).await;
    let ahead = v1::Place {
        lineage: LINEAGE.into(),
        seq: 7,
        epoch: 1,
        time: 1,
    };
    let asked = FollowRequest { after: Some(ahead) };
    let status = client.follow(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn what_is_no_longer_retained_comes_as_a_checkpoint() {
    let mut world = World::guarded().await;
    world.route("a", &["a.example/=s"]);
    world.compact(Seq(4));
    let mut client = client(&world).await;
    let messages = all(&mut follow(&mut client, v1::Place::default()).await).await;
    let Message::Checkpoint(first) = &messages[1] else {
        panic!("{messages:?}");
    };
    let entries = first
        .entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.clone()));
    let mut fold = checkpoint::restore(entries).unwrap();
    assert_eq!(fold.state().seq(), Seq(3));
    let Message::Records(records) = &messages[2] else {
        panic!("{messages:?}");
    };
    for record in &records.records {
        let schema = u16::try_from(record.schema).unwrap();
        fold.apply(&codec::decode(Seq(record.seq), schema, &record.bytes).unwrap());
    }
    let ours = world.publication().snapshot();
    assert_eq!(
        fold.snapshot().configuration_digest(),
        ours.configuration_digest()
    );
}
