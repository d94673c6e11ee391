//! Following another replica's log: its records, as steps for this one's engine.
//!
//! Apart from the engine, which takes them in: here connections come and go, and what arrives is
//! read with limits. Whoever is followed was asked for by address; whether it leads is not looked
//! at, because a replica that is ahead is followed, too, before this one would lead.

mod assemble;
pub mod bundles;
pub mod dial;

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::v1::replication_service_client::ReplicationServiceClient;
use roadstead_proto::v1::{
    self, FollowRequest, GetPlaceRequest, ListProxiesRequest, ListProxiesResponse,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

use crate::backoff::delay;
use crate::event::{Epoch, Seq};
use crate::follow::assemble::{Assembled, Assembly};
use crate::follow::dial::{DialError, Dialer, Peer};
use crate::model::time::Timestamp;
use crate::replication::{Place, Step};

pub use assemble::AssembleError;

/// A log cannot be followed, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Refused(Box<Status>),
    #[error("nothing within {after:?}")]
    Silent { after: Duration },
    #[error("it ended")]
    Ended,
    #[error(transparent)]
    Message(#[from] AssembleError),
    #[error("this replica's own log cannot be written")]
    NotStored,
}

impl FollowError {
    fn is_of_newer_release(&self) -> bool {
        matches!(self, Self::Message(error) if error.is_of_newer_release())
    }
}

/// Who is followed now, if anyone is.
pub type Followed = Option<Peer>;

/// How this replica's log stands to the one that it is to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It does not have all of it, or there is none.
    #[default]
    Behind,
    /// It has all of this one's.
    Current(Peer),
    /// A newer release wrote this one's: nothing of it can be taken in here, and its history went
    /// on without this replica. So it stays until this replica has all of another's.
    Apart(Peer),
}

impl Standing {
    /// Whether a newer release went on with the log.
    pub fn is_apart(&self) -> bool {
        matches!(self, Self::Apart(_))
    }

    /// Who is there, whether what it says can be taken in or not.
    pub fn met(&self) -> Option<&Peer> {
        match self {
            Self::Behind => None,
            Self::Current(peer) | Self::Apart(peer) => Some(peer),
        }
    }
}

/// Follows whoever is to be followed, until nobody takes steps any more. Says in `standing` how
/// far that got.
pub async fn run(
    dialer: Dialer,
    mut whom: watch::Receiver<Followed>,
    steps: mpsc::Sender<Step>,
    standing: watch::Sender<Standing>,
) {
    let mut failures = 0;
    loop {
        let peer = whom.borrow_and_update().clone();
        standing.send_if_modified(|standing| {
            let was_current = matches!(standing, Standing::Current(_));
            if was_current {
                *standing = Standing::Behind;
            }
            was_current
        });
        let Some(peer) = peer else {
            tokio::select! {
                changed = whom.changed() => if changed.is_err() { return },
                () = steps.closed() => return,
            }
            continue;
        };
        let error = tokio::select! {
            error = follow(&dialer, &peer, &steps, &standing) => error,
            changed = whom.changed() => {
                if changed.is_err() {
                    return;
                }
                failures = 0;
                continue;
            }
        };
        if steps.is_closed() {
            return;
        }
        if matches!(*standing.borrow(), Standing::Current(_)) {
            failures = 0;
        }
        failures += 1;
        let address = &*peer.address;
        let mut most = SOON;
        if error.is_of_newer_release() {
            most = SELDOM;
            let apart = Standing::Apart(peer.clone());
            if standing.send_replace(apart.clone()) != apart {
                tracing::error!(
                    address, %error,
                    "this replica serves and answers with what it has, and takes nothing in: run \
                     the newer release here, too"
                );
            }
        } else if failures == 1 {
            tracing::warn!(address, %error, "the log of this replica is no longer followed; trying on");
        }
        tokio::select! {
            () = sleep(delay(failures.min(most))) => {}
            changed = whom.changed() => if changed.is_err() { return },
            () = steps.closed() => return,
        }
    }
}

/// What a replica says of itself.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where its log ends.
    pub place: Place,
    /// Who leads, as far as it knows.
    pub leader: Option<Peer>,
}

/// Asks a replica where its log ends, and who leads.
pub async fn ask(dialer: &Dialer, peer: &Peer) -> Result<Answer, FollowError> {
    let asked = async {
        let mut client = client(dialer.dial(peer).await?);
        let answer = client.get_place(GetPlaceRequest {}).await;
        let answer = answer.map_err(|status| FollowError::Refused(status.into()))?;
        let v1::GetPlaceResponse {
            place,
            leader,
            leads,
        } = answer.into_inner();
        let elsewhere = (!leader.is_empty()).then(|| Peer {
            address: leader.into(),
            name: None,
        });
        Ok(Answer {
            place: place_from(place.unwrap_or_default()),
            leader: if leads { Some(peer.clone()) } else { elsewhere },
        })
    };
    let asked = timeout(ANSWER, asked).await;
    asked.unwrap_or(Err(FollowError::Silent { after: ANSWER }))
}

/// Asks whoever leads which proxies are connected to it.
pub async fn proxies(
    dialer: &Dialer,
    leader: Arc<str>,
) -> Result<ListProxiesResponse, FollowError> {
    let peer = Peer {
        address: leader,
        name: None,
    };
    let mut client = client(dialer.dial(&peer).await?);
    let answer = client.list_proxies(ListProxiesRequest {}).await;
    let answer = answer.map_err(|status| FollowError::Refused(status.into()))?;
    Ok(answer.into_inner())
}

async fn follow(
    dialer: &Dialer,
    peer: &Peer,
    steps: &mpsc::Sender<Step>,
    standing: &watch::Sender<Standing>,
) -> FollowError {
    match Box::pin(stream(dialer, peer, steps, standing)).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn stream(
    dialer: &Dialer,
    peer: &Peer,
    steps: &mpsc::Sender<Step>,
    standing: &watch::Sender<Standing>,
) -> Result<std::convert::Infallible, FollowError> {
    let (answer, place) = oneshot::channel();
    let send = |step| async { steps.send(step).await.map_err(|_| FollowError::NotStored) };
    send(Step::Begin(answer)).await?;
    let place = place.await.map_err(|_| FollowError::NotStored)?;
    let mut client = client(dialer.dial(peer).await?);
    let asked = client.follow(FollowRequest {
        after: Some(place_to(&place)),
    });
    let silent = |_| FollowError::Silent { after: BEGIN };
    let refused = |status: Status| FollowError::Refused(status.into());
    let answered = timeout(BEGIN, asked).await.map_err(silent)?;
    let mut messages = answered.map_err(refused)?.into_inner();
    tracing::info!(address = &*peer.address, after = %place, "following the log of this replica");
    let mut assembly = Assembly::after(&place);
    loop {
        // A leader that is gone without a word is found out by its connection's own pings.
        let message = messages.message().await.map_err(refused)?;
        let message = message.ok_or(FollowError::Ended)?;
        for assembled in assembly.take(message)? {
            match assembled {
                Assembled::Step(step) => send(step).await?,
                Assembled::Current => {
                    // Once all before it was taken in, which this waits for.
                    let (answer, reached) = oneshot::channel();
                    send(Step::Reached(answer)).await?;
                    let reached = reached.await.map_err(|_| FollowError::NotStored)?;
                    if !assembly.ends_at(reached.seq) {
                        return Err(FollowError::NotStored);
                    }
                    standing.send_replace(Standing::Current(peer.clone()));
                }
            }
        }
    }
}

fn client(channel: Channel) -> ReplicationServiceClient<Channel> {
    ReplicationServiceClient::new(channel).max_decoding_message_size(MESSAGE)
}

fn place_to(place: &Place) -> v1::Place {
    v1::Place {
        lineage: place.lineage.as_ref().to_owned(),
        seq: place.seq.0,
        epoch: place.epoch.0,
        time: place.time.0,
    }
}

fn place_from(place: v1::Place) -> Place {
    Place {
        lineage: place.lineage.into(),
        seq: Seq(place.seq),
        epoch: Epoch(place.epoch),
        time: Timestamp(place.time),
    }
}

/// Failures in a row from which on the time between attempts stays: under two seconds; and half
/// a minute, for what waits for somebody to upgrade this replica.
const SOON: u32 = 4;
const SELDOM: u32 = 9;
/// The longest record and a little.
const MESSAGE: usize = 20 << 20;
/// For a question that costs nothing.
const ANSWER: Duration = Duration::from_secs(1);
/// For the first answer, before which a checkpoint may have to be read.
const BEGIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
