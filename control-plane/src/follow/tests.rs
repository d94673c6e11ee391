//! A replica that is followed, over a socket, of this release or of a newer one.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use roadstead_proto::v1::follow_message::Message;
use roadstead_proto::v1::replication_service_server::{
    ReplicationService, ReplicationServiceServer,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{ClientTlsConfig, Server};
use tonic::{Request, Response};

use super::*;
use crate::event::codec::{self, SCHEMA};
use crate::event::{Event, Record};
use crate::project::REVISION;

/// Says the same to each who follows, and then nothing.
#[derive(Clone)]
struct Leader(Arc<[Message]>);

#[tonic::async_trait]
impl ReplicationService for Leader {
    async fn get_place(
        &self,
        _: Request<GetPlaceRequest>,
    ) -> Result<Response<v1::GetPlaceResponse>, Status> {
        Ok(Response::new(v1::GetPlaceResponse::default()))
    }

    async fn list_proxies(
        &self,
        _: Request<ListProxiesRequest>,
    ) -> Result<Response<ListProxiesResponse>, Status> {
        Ok(Response::new(ListProxiesResponse::default()))
    }

    type FollowStream = BoxStream<'static, Result<v1::FollowMessage, Status>>;

    async fn follow(
        &self,
        _: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let said = self.0.iter().map(|message| {
            Ok(v1::FollowMessage {
                message: Some(message.clone()),
            })
        });
        let said: Vec<_> = said.collect();
        Ok(Response::new(
            stream::iter(said).chain(stream::pending()).boxed(),
        ))
    }
}

/// A replica that follows, and an engine that takes everything in.
struct World {
    standing: watch::Receiver<Standing>,
    whom: watch::Sender<Followed>,
    taken: watch::Receiver<Vec<String>>,
    tasks: JoinSet<()>,
}

impl World {
    fn start() -> Self {
        let mut tasks = JoinSet::new();
        let dialer = Dialer::new(|| Box::pin(std::future::ready(Some(ClientTlsConfig::new()))));
        let (whom, followed) = watch::channel(None);
        let (steps, inbox) = mpsc::channel(4);
        let standing = watch::Sender::default();
        let (takes, taken) = watch::channel(Vec::new());
        tasks.spawn(take_in(inbox, takes));
        let watched = standing.subscribe();
        tasks.spawn(run(dialer, followed, steps, standing));
        Self {
            standing: watched,
            whom,
            taken,
            tasks,
        }
    }

    /// Another replica, which says this.
    async fn replica(&mut self, says: Vec<Message>) -> Peer {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any).await.unwrap();
        let address = listener.local_addr().unwrap();
        let leader = ReplicationServiceServer::new(Leader(says.into()));
        self.tasks.spawn(async move {
            let server = Server::builder().add_service(leader);
            let connections = TcpListenerStream::new(listener);
            server.serve_with_incoming(connections).await.unwrap();
        });
        Peer {
            address: format!("http://{address}").into(),
            name: None,
        }
    }

    async fn follow(&mut self, peer: Option<&Peer>, until: Standing) {
        self.whom.send_replace(peer.cloned());
        let stands = self.standing.wait_for(|standing| *standing == until).await;
        stands.unwrap();
    }
}

async fn take_in(mut inbox: mpsc::Receiver<Step>, taken: watch::Sender<Vec<String>>) {
    let mut place = Place::default();
    while let Some(step) = inbox.recv().await {
        let what = match step {
            Step::Begin(answer) | Step::Reached(answer) => {
                let _ = answer.send(place.clone());
                continue;
            }
            Step::Restart(entries) => format!("anew with {}", entries.len()),
            Step::Records(records) => {
                place.seq = records.last().unwrap().seq;
                format!("up to {}", place.seq)
            }
            Step::Endpoints { .. } => "endpoints".to_owned(),
        };
        taken.send_modify(|taken| taken.push(what));
    }
}

/// A record, in a log of this schema.
fn record(seq: u64, schema: u16) -> Message {
    let record = Record {
        seq: Seq(seq),
        epoch: Epoch(1),
        time: Timestamp(0),
        event: Event::EpochBegan {
            lineage: "l".into(),
            projection_revision: REVISION,
            binary_version: "test".into(),
        },
    };
    let bytes = if schema > SCHEMA {
        br#"{"shape":"unheard of"}"#.to_vec()
    } else {
        codec::encode(&record).unwrap()
    };
    Message::Records(v1::Records {
        records: vec![v1::StoredRecord {
            seq,
            schema: schema.into(),
            bytes,
        }],
    })
}

fn current() -> Message {
    Message::Current(v1::Current {})
}

/// What a newer release says of a log that begins with a checkpoint.
fn newer_checkpoint() -> Vec<Message> {
    let entry = |key: &str, value: String| v1::CheckpointEntry {
        key: key.into(),
        value: value.into(),
    };
    let head = format!("{{\"schema\":{},\"shape\":\"unheard of\"}}", SCHEMA + 1);
    let entries = vec![entry("h", head), entry("z\"new\"", "{}".to_owned())];
    let checkpoint = Message::Checkpoint(v1::CheckpointEntries { entries });
    let anew = Message::Restart(v1::Restart {});
    vec![anew, checkpoint, record(9, SCHEMA + 1), current()]
}

#[tokio::test]
async fn from_a_log_that_a_newer_release_goes_on_with_nothing_more_is_taken_in() {
    let mut world = World::start();
    let ours = world.replica(vec![record(1, SCHEMA), current()]).await;
    world
        .follow(Some(&ours), Standing::Current(ours.clone()))
        .await;
    for says in [
        vec![record(2, SCHEMA + 1), current()],
        newer_checkpoint(),
        vec![record(2, SCHEMA), record(3, u16::MAX), current()],
    ] {
        let before = world.taken.borrow().len();
        let newer = world.replica(says).await;
        world
            .follow(Some(&newer), Standing::Apart(newer.clone()))
            .await;
        let taken = world.taken.borrow();
        let later = &taken[before..];
        assert!(
            later.iter().all(|step| step == "up to 2"),
            "{later:?} is not what this release wrote"
        );
    }
}

#[tokio::test]
async fn who_is_apart_stays_so_until_it_has_all_of_a_log_of_its_own_release() {
    let mut world = World::start();
    let newer = world.replica(vec![record(1, SCHEMA + 1)]).await;
    let apart = Standing::Apart(newer.clone());
    world.follow(Some(&newer), apart.clone()).await;
    // One that cannot be reached, and one that ends before it said all, change nothing.
    let nobody = Peer {
        address: "http://127.0.0.1:1".into(),
        name: None,
    };
    let half = world.replica(vec![record(1, SCHEMA)]).await;
    for other in [None, Some(&nobody), Some(&half)] {
        world.follow(other, apart.clone()).await;
    }
    let some = world.taken.wait_for(|taken| !taken.is_empty());
    some.await.unwrap();
    assert_eq!(*world.standing.borrow(), apart);
    let ours = world.replica(vec![record(2, SCHEMA), current()]).await;
    world
        .follow(Some(&ours), Standing::Current(ours.clone()))
        .await;
    world.follow(None, Standing::Behind).await;
}
