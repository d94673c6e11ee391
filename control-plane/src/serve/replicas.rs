//! `ReplicationService`: this log, for the replicas that follow it.
//!
//! Apart from the events that operators read: a replica needs the bytes, may have to begin
//! anew, and must not wait for people.

use std::collections::VecDeque;
use std::pin::Pin;

use futures::{Stream, stream};
use imbl::ordmap::DiffItem;
use roadstead_proto::v1::follow_message::Message;
use roadstead_proto::v1::{self, replication_service_server::ReplicationService};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::event::codec::SCHEMA;
use crate::event::{Epoch, Seq};
use crate::history::{Beginning, History, Progress};
use crate::model::time::Timestamp;
use crate::replication::Place;
use crate::serve::followers::{self, Followers};
use crate::serve::proxies::Connected;
use crate::serve::stop::Stop;
use crate::serve::{Role, error};
use crate::state::endpoints::SliceMap;

#[derive(Debug)]
pub(super) struct Replicas {
    history: History,
    stop: Stop,
    followers: Followers,
    role: watch::Receiver<Role>,
    connected: Connected,
}

impl Replicas {
    pub(super) fn new(
        history: &History,
        stop: Stop,
        followers: Followers,
        role: watch::Receiver<Role>,
        connected: Connected,
    ) -> Self {
        Self {
            history: history.apart(),
            stop,
            followers,
            role,
            connected,
        }
    }
}

#[tonic::async_trait]
impl ReplicationService for Replicas {
    async fn get_place(
        &self,
        _: Request<v1::GetPlaceRequest>,
    ) -> Result<Response<v1::GetPlaceResponse>, Status> {
        let place = self.history.progress().borrow().place.clone();
        let role = self.role.borrow().clone();
        Ok(Response::new(v1::GetPlaceResponse {
            place: Some(v1::Place {
                lineage: place.lineage.into(),
                seq: place.seq.0,
                epoch: place.epoch.0,
                time: place.time.0,
            }),
            leader: role
                .elsewhere()
                .map_or_else(String::new, |at| at.to_string()),
            leads: matches!(role, Role::Leading { .. }),
        }))
    }

    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        self.connected.list().map(Response::new)
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<v1::FollowMessage, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let after = request.into_inner().after.unwrap_or_default();
        let after = Place {
            lineage: after.lineage.into(),
            seq: Seq(after.seq),
            epoch: Epoch(after.epoch),
            time: Timestamp(after.time),
        };
        let counted = self.followers.join();
        let counted =
            counted.ok_or_else(|| Status::resource_exhausted("too many replicas follow"))?;
        let progress = self.history.progress();
        let leads = matches!(*self.role.borrow(), Role::Leading { .. });
        let restarts = progress.borrow().restarts;
        let beginning = self.history.beginning(after.clone(), leads).await;
        let mut ready = VecDeque::new();
        let next = match beginning.map_err(|error| error::history(&error))? {
            Beginning::Next => after.seq.next(),
            Beginning::Anew { entries, next } => {
                tracing::info!(%after, "a replica's log cannot be joined to this one: it begins anew");
                ready.push_back(Message::Restart(v1::Restart {}));
                ready.extend(in_messages(entries).map(Message::Checkpoint));
                next
            }
        };
        let follower = Follower {
            history: self.history.clone(),
            progress,
            stop: self.stop.clone(),
            restarts,
            next,
            ready,
            endpoints: None,
            current: false,
            _counted: counted,
        };
        Ok(Response::new(Box::pin(stream::unfold(
            Some(follower),
            Follower::step,
        ))))
    }
}

/// A replica that follows.
struct Follower {
    history: History,
    progress: watch::Receiver<Progress>,
    stop: Stop,
    /// How often the log had begun anew when this began: a second history is not gone on with.
    restarts: u64,
    /// The first record that was not read.
    next: Seq,
    ready: VecDeque<Message>,
    /// The endpoints that it was told of; `None`: of none yet.
    endpoints: Option<SliceMap>,
    /// It was told that it has everything.
    current: bool,
    _counted: followers::Follower,
}

impl Follower {
    /// The next message, and who follows after it; after an error, nobody.
    async fn step(
        follower: Option<Self>,
    ) -> Option<(Result<v1::FollowMessage, Status>, Option<Self>)> {
        let mut follower = follower?;
        Some(match follower.message().await {
            Ok(message) => {
                let message = Some(message);
                (Ok(v1::FollowMessage { message }), Some(follower))
            }
            Err(status) => (Err(status), None),
        })
    }

    async fn message(&mut self) -> Result<Message, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let newest = {
                let progress = self.progress.borrow_and_update();
                if progress.restarts != self.restarts {
                    return Err(anew());
                }
                progress.newest
            };
            if self.next <= newest {
                self.read().await?;
                continue;
            }
            self.tell_endpoints()?;
            if !self.ready.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut self.current, true) {
                return Ok(Message::Current(v1::Current {}));
            }
            tokio::select! {
                biased;
                () = self.stop.stopped() => return Err(error::stopping()),
                moved = self.progress.changed() => moved.map_err(|_| error::stopping())?,
            }
        }
    }

    /// What it was not told of endpoints.
    fn tell_endpoints(&mut self) -> Result<(), Status> {
        let now = self.progress.borrow().slices.clone();
        let before = self.endpoints.replace(now.clone());
        let all = before.is_none();
        let mut changed = Vec::new();
        for difference in before.unwrap_or_default().diff(&now) {
            let (key, slice) = match difference {
                DiffItem::Add(key, slice)
                | DiffItem::Update {
                    new: (key, slice), ..
                } => (key, Some(slice)),
                DiffItem::Remove(key, _) => (key, None),
            };
            let stored = || {
                Ok(v1::StoredSlice {
                    key: serde_json::to_vec(key)?,
                    slice: slice.map_or(Ok(Vec::new()), |slice| serde_json::to_vec(&**slice))?,
                })
            };
            let stored: Result<_, serde_json::Error> = stored();
            changed.push(stored.map_err(|error| Status::internal(error.to_string()))?);
        }
        if all || !changed.is_empty() {
            let mut parts = changed.chunks(SLICES).peekable();
            while let Some(part) = parts.next() {
                self.ready.push_back(Message::Endpoints(v1::EndpointSlices {
                    slices: part.to_vec(),
                    all,
                    more: parts.peek().is_some(),
                }));
            }
            if changed.is_empty() {
                self.ready.push_back(Message::Endpoints(v1::EndpointSlices {
                    all,
                    ..v1::EndpointSlices::default()
                }));
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Status> {
        let records = self.history.records(self.next).await;
        let records = records.map_err(|error| error::history(&error))?;
        if self.progress.borrow().restarts != self.restarts {
            return Err(anew());
        }
        let Some(last) = records.last() else {
            return Err(Status::internal("the log has no records where it should"));
        };
        self.next = last.seq.next();
        self.current = false;
        let records = records.into_iter().map(|record| v1::StoredRecord {
            seq: record.seq.0,
            schema: SCHEMA.into(),
            bytes: record.bytes,
        });
        let records = records.collect();
        self.ready
            .push_back(Message::Records(v1::Records { records }));
        Ok(())
    }
}

fn anew() -> Status {
    Status::aborted("the log begins anew: follow it again")
}

/// Entries of a checkpoint, in messages that are not too long.
fn in_messages(entries: Vec<(Vec<u8>, Vec<u8>)>) -> impl Iterator<Item = v1::CheckpointEntries> {
    let mut entries = entries.into_iter().peekable();
    std::iter::from_fn(move || {
        entries.peek()?;
        let (mut some, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES
            && let Some((key, value)) = entries.next()
        {
            bytes += key.len() + value.len();
            some.push(v1::CheckpointEntry { key, value });
        }
        Some(v1::CheckpointEntries { entries: some })
    })
}

const BYTES: usize = 1 << 20;
/// In a message: at most 1,000 endpoints each.
const SLICES: usize = 32;
