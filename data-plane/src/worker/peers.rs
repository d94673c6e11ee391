//! The traffic threads as each sees the others: how many connections each has, and a way to give
//! one away.
//!
//! Apart from accepting. The kernel shares connections out by a hash, which is even for many
//! and uneven for few; of few, each may be a load balancer's and carry a whole thread's load.
//! Asked once for each connection, and never for a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::mpsc::{Permit, Receiver, Sender, channel};

use super::Port;
use crate::snapshot::Terms;

/// One thread's view of all, and what the others give it.
#[derive(Debug)]
pub struct Peers {
    pub(super) sharing: Sharing,
    pub(super) given: Receiver<Given>,
}

/// A connection as it was accepted: nothing has been read from it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) stream: std::net::TcpStream,
    pub(super) caller: Caller,
    pub(super) port: Port,
    /// On what terms it was accepted.
    pub(super) terms: Terms,
}

/// Who has connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    /// It is a load balancer, and says first for whom: decided once, where it was accepted.
    pub(super) proxied: bool,
}

/// All threads, seen by one.
#[derive(Debug)]
pub(super) struct Sharing {
    own: usize,
    all: Arc<[Peer]>,
}

/// A thread, as the others see it.
#[derive(Debug)]
struct Peer {
    /// Its connections: those that it serves, and those that it has been given and has not
    /// taken yet. Whoever decides for a thread counts there at once, so that two threads that
    /// decide at the same time do not both find it idle.
    load: AtomicUsize,
    give: Sender<Given>,
}

impl Peers {
    /// Views for so many threads, in order. One thread alone has nobody to share with.
    pub fn of(threads: usize) -> Vec<Option<Self>> {
        if threads < 2 {
            return std::iter::repeat_with(|| None).take(threads).collect();
        }
        let (all, given): (Vec<_>, Vec<_>) = std::iter::repeat_with(|| {
            let (give, given) = channel(WAITING);
            let load = AtomicUsize::new(0);
            (Peer { load, give }, given)
        })
        .take(threads)
        .unzip();
        let all: Arc<[Peer]> = all.into();
        let views = given.into_iter().enumerate().map(|(own, given)| {
            let all = Arc::clone(&all);
            let sharing = Sharing { own, all };
            Some(Self { sharing, given })
        });
        views.collect()
    }
}

impl Sharing {
    /// Counts a connection that has been accepted here. If another thread is to have it, gives
    /// the place that is kept for it there.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        // Each round that fails is one in which another thread has decided.
        for _ in 0..ROUNDS {
            let Choice { peer, load, is_own } = self.choose()?;
            let permit = match is_own {
                true => None,
                // One that is full or has ended: this thread keeps the connection.
                false => match peer.give.try_reserve() {
                    Ok(permit) => Some(permit),
                    Err(_) => break,
                },
            };
            let counted = peer.load.compare_exchange(load, load + 1, Relaxed, Relaxed);
            if counted.is_ok() {
                return permit.map(|permit| Place {
                    counted: Counted(peer),
                    permit,
                });
            }
        }
        self.keep();
        None
    }

    /// Counts a connection that stays here, whoever else has fewer.
    pub(super) fn keep(&self) {
        if let Some(own) = self.all.get(self.own) {
            own.load.fetch_add(1, Relaxed);
        }
    }

    /// A connection that was counted here has ended.
    pub(super) fn end(&self) {
        if let Some(own) = self.all.get(self.own) {
            own.load.fetch_sub(1, Relaxed);
        }
    }

    /// Who is to have one more connection.
    fn choose(&self) -> Option<Choice<'_>> {
        let mut total = 0;
        let mut own = None;
        let mut least: Option<Choice<'_>> = None;
        for (place, peer) in self.all.iter().enumerate() {
            let load = peer.load.load(Relaxed);
            let is_own = place == self.own;
            let choice = Choice { peer, load, is_own };
            total += load;
            if is_own {
                own = Some(choice);
            }
            if least.is_none_or(|least| load < least.load) {
                least = Some(choice);
            }
        }
        let fair = (total + 1).div_ceil(self.all.len());
        own.filter(|own| own.load < fair + fair / SLACK).or(least)
    }
}

#[derive(Clone, Copy)]
struct Choice<'a> {
    peer: &'a Peer,
    load: usize,
    is_own: bool,
}

/// A connection's place at another thread, until it is sent there.
#[derive(Debug)]
pub(super) struct Place<'a> {
    counted: Counted<'a>,
    permit: Permit<'a, Given>,
}

impl Place<'_> {
    /// Gives the connection away; whoever takes it counts its end.
    pub(super) fn send(self, given: Given) {
        std::mem::forget(self.counted);
        self.permit.send(given);
    }
}

#[derive(Debug)]
struct Counted<'a>(&'a Peer);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

/// Connections that wait for one thread to take them.
const WAITING: usize = 256;

/// Decisions that others may disturb before a connection stays where it was accepted.
const ROUNDS: usize = 16;

/// A thread keeps what it accepts until it has a fair share and an eighth more. With fewer than
/// eight connections a thread that is no more than its share; with many, which the kernel shares
/// out well enough, hardly any connection changes its thread, which costs about as much as to
/// accept it.
const SLACK: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(sharing: &Sharing) -> Vec<usize> {
        let loads = sharing.all.iter().map(|peer| peer.load.load(Relaxed));
        loads.collect()
    }

    fn views(threads: usize) -> Vec<Peers> {
        Peers::of(threads).into_iter().flatten().collect()
    }

    #[test]
    fn one_thread_shares_with_nobody() {
        assert!(matches!(Peers::of(1).as_slice(), [None]));
    }

    #[test]
    fn few_connections_that_one_thread_accepts_go_round() {
        let views = views(4);
        for accepted in 1..=16_usize {
            std::mem::forget(views[1].sharing.place());
            let loads = loads(&views[1].sharing);
            assert_eq!(loads.iter().sum::<usize>(), accepted);
            assert!(*loads.iter().max().unwrap() <= accepted.div_ceil(4));
        }
    }

    #[test]
    fn many_connections_stay_where_the_kernel_has_put_them() {
        let views = views(2);
        for _ in 0..1000 {
            for view in &views {
                assert!(view.sharing.place().is_none());
            }
        }
        // An eighth more is taken for chance.
        let one = &views[0].sharing;
        let kept = (0..500).take_while(|_| one.place().is_none()).count();
        assert!((250..300).contains(&kept), "{kept}");
        one.end();
        assert_eq!(loads(one).iter().sum::<usize>(), 2000 + kept - 1);
    }

    #[test]
    fn what_cannot_be_given_away_is_kept() {
        let mut views = views(2);
        let mut two = views.pop().unwrap();
        let one = views.pop().unwrap();
        two.given.close();
        for _ in 0..10 {
            assert!(one.sharing.place().is_none());
        }
        assert_eq!(loads(&one.sharing), [10, 0]);
    }

    /// What is decided at the same time is decided as if it were one after the other.
    #[test]
    fn threads_that_decide_at_once_do_not_all_choose_the_same() {
        let views = views(4);
        std::thread::scope(|scope| {
            for view in &views {
                scope.spawn(|| (0..250).for_each(|_| std::mem::forget(view.sharing.place())));
            }
        });
        let loads = loads(&views[0].sharing);
        assert_eq!(loads.iter().sum::<usize>(), 1000);
        let most = 250 + 250 / SLACK + 4;
        assert!(loads.iter().all(|load| *load <= most), "{loads:?}");
    }
}
