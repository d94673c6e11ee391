//! The side that gets the sockets.

use std::{collections::BTreeSet, os::fd::OwnedFd, path::Path, time::Duration};

use tokio::{net::UnixStream, sync::watch, time::timeout};
use tracing::warn;

use super::{HandoverError, Inherited, Others, message};

/// A process whose predecessor still serves.
#[derive(Debug)]
pub(super) struct Successor<'a> {
    stream: &'a UnixStream,
    inherited: &'a Inherited,
    others: &'a watch::Sender<Others>,
}

impl<'a> Successor<'a> {
    pub(super) fn new(
        stream: &'a UnixStream,
        inherited: &'a Inherited,
        others: &'a watch::Sender<Others>,
    ) -> Self {
        Self {
            stream,
            inherited,
            others,
        }
    }

    /// Says when this process is ready, and asks for what is opened meanwhile, until the
    /// predecessor has ended.
    pub(super) async fn run(self, mut missing: watch::Receiver<BTreeSet<&'static str>>) {
        let mut said = false;
        loop {
            let act = tokio::select! {
                // It says nothing by itself; whatever comes is its end.
                _ = message::receive(self.stream) => return,
                Ok(_) = missing.wait_for(BTreeSet::is_empty), if !said => Act::Say,
                () = self.inherited.asked() => Act::Ask,
            };
            let done = match act {
                Act::Say => {
                    said = true;
                    self.others.send_modify(|others| others.before = false);
                    message::send(self.stream, message::READY, &[]).await
                }
                Act::Ask => match timeout(PATIENCE, all(self.stream)).await {
                    Ok(Ok(taken)) => {
                        self.inherited.put_wanted(taken);
                        Ok(())
                    }
                    Ok(Err(error)) => Err(error),
                    Err(_) => return warn!("the predecessor does not answer in time"),
                },
            };
            if done.is_err() {
                return;
            }
        }
    }
}

enum Act {
    Say,
    Ask,
}

/// Takes all sockets that there are.
pub(super) async fn take(stream: &UnixStream, path: &Path) -> Result<Vec<OwnedFd>, HandoverError> {
    let path = || path.to_owned();
    let taken = timeout(PATIENCE, all(stream)).await;
    let taken = taken.map_err(|_| HandoverError::Silent { path: path() })?;
    taken.map_err(|source| HandoverError::Broken {
        path: path(),
        source,
    })
}

async fn all(stream: &UnixStream) -> std::io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    while all.len() < MOST {
        message::send(stream, message::NEXT, &[]).await?;
        let (count, taken) = message::receive(stream).await?;
        if usize::from(count) != taken.len() {
            return Err(message::invalid("it sent less than it said"));
        }
        if taken.is_empty() {
            return Ok(all);
        }
        all.extend(taken);
    }
    Err(message::invalid("it has more sockets than any proxy"))
}

const PATIENCE: Duration = Duration::from_secs(5);
/// Sockets in all: more than 64 listeners of 64 threads.
const MOST: usize = 4096;
