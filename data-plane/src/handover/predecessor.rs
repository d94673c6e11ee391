//! The side that has the sockets.

use std::{cell::Cell, io, net::TcpListener, path::Path, rc::Rc, time::Duration, vec};

use tokio::{
    net::UnixStream,
    sync::{Notify, watch},
    task::JoinSet,
    time::{interval, sleep},
};
use tracing::{info, warn};

use super::{Offer, Others, connect::is_ours, message};
use crate::unix_socket::Listening;

/// Hands over, until another process has the path.
pub(super) async fn hand_over(
    listening: &Listening,
    path: &Path,
    offer: &Offer,
    others: &watch::Sender<Others>,
) {
    let ready = Rc::new(Ready::default());
    let mut successors = JoinSet::new();
    let mut look = interval(LOOK);
    loop {
        let after = ready.successors.get() > 0;
        others.send_if_modified(|others| std::mem::replace(&mut others.after, after) != after);
        tokio::select! {
            accepted = listening.accept() => match accepted {
                Ok(_) if successors.len() >= SUCCESSORS => {
                    warn!("too many ask for this proxy's sockets");
                }
                Ok(stream) => match is_ours(&stream, path) {
                    Ok(()) => {
                        successors.spawn_local(succeed(stream, offer.clone(), Rc::clone(&ready)));
                    }
                    Err(error) => warn!("nothing is handed over: {error}"),
                },
                Err(error) => {
                    warn!("cannot hand sockets over: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = successors.join_next() => {}
            () = ready.changed.notified() => {}
            _ = look.tick() => if !listening.is_there() {
                return;
            }
        }
    }
}

/// How many successors are ready.
#[derive(Debug, Default)]
struct Ready {
    successors: Cell<usize>,
    changed: Notify,
}

/// A successor that is ready, for as long as it lives.
struct Counted(Rc<Ready>);

impl Counted {
    fn new(ready: Rc<Ready>) -> Self {
        ready.successors.set(ready.successors.get() + 1);
        ready.changed.notify_one();
        Self(ready)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.successors.set(self.0.successors.get() - 1);
        self.0.changed.notify_one();
    }
}

/// Does what one successor asks, until it is gone.
async fn succeed(stream: UnixStream, offer: Offer, ready: Rc<Ready>) {
    let mut asked = Asked::default();
    let mut counted = None;
    let error = loop {
        match message::receive(&stream).await {
            Ok((message::NEXT, _)) => {
                if let Err(error) = asked.give(&stream, &offer).await {
                    break error;
                }
            }
            Ok((message::READY, _)) => {
                info!("the successor is ready");
                counted = Some(Counted::new(Rc::clone(&ready)));
            }
            Ok(_) => break message::invalid("it says something that is not known here"),
            Err(error) => break error,
        }
    };
    drop(counted);
    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    if gone.contains(&error.kind()) {
        info!("the successor has ended");
    } else {
        warn!("the successor is lost: {error}");
    }
}

/// What one successor was not given yet.
#[derive(Default)]
struct Asked(Option<vec::IntoIter<TcpListener>>);

impl Asked {
    /// Gives the next sockets; after the last, none. Then it may ask again, for those of then.
    async fn give(&mut self, stream: &UnixStream, offer: &Offer) -> io::Result<()> {
        let mut left = match self.0.take() {
            Some(left) => left,
            None => offer.copies()?.into_iter(),
        };
        let next: Vec<_> = left.by_ref().take(message::AT_ONCE).collect();
        let count = u8::try_from(next.len()).map_err(io::Error::other)?;
        message::send(stream, count, &next).await?;
        if count > 0 {
            self.0 = Some(left);
        }
        Ok(())
    }
}

/// A successor that does not come up is started again; the dead are found at once.
const SUCCESSORS: usize = 4;
/// At the path, whether it is still this process'.
const LOOK: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(1);
