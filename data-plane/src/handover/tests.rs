//! Tests of the handover between processes that are tasks.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::UnixListener,
    sync::watch,
    task::{JoinHandle, LocalSet, spawn_local, yield_now},
    time::timeout,
};

use super::*;
use crate::listen::listen;

/// A process, ready or not.
struct Process {
    offer: Offer,
    inherited: Inherited,
    missing: watch::Sender<BTreeSet<&'static str>>,
    others: watch::Receiver<Others>,
    task: JoinHandle<()>,
}

impl Process {
    async fn start(path: &Path, name: &str) -> Self {
        let (offer, inherited) = (Offer::open(), Inherited::default());
        let (missing, waits_for) = watch::channel(BTreeSet::from(["a version"]));
        let sockets = (offer.clone(), inherited.clone());
        let (handover, others) =
            Handover::begin(path.to_owned(), name.to_owned(), sockets, waits_for).await;
        Self {
            offer,
            inherited,
            missing,
            others,
            task: spawn_local(handover.run()),
        }
    }

    /// One that was started when there was something to take over.
    async fn succeeding(path: &Path, name: &str) -> Self {
        loop {
            let process = Self::start(path, name).await;
            if process.others.borrow().before {
                return process;
            }
            process.end();
            yield_now().await;
        }
    }

    fn offers(&self, name: &str, sockets: usize) -> (SocketAddr, Vec<TcpListener>) {
        let sockets = listen("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
        self.offer.add(&name.into(), &sockets);
        (sockets[0].local_addr().unwrap(), sockets)
    }

    fn has(&self, address: SocketAddr) -> Option<usize> {
        self.inherited.take(address).map(|sockets| sockets.len())
    }

    fn is_ready(&self) {
        self.missing.send_replace(BTreeSet::new());
    }

    fn end(self) {
        self.task.abort();
        self.offer.end();
    }

    async fn sees(&mut self, before: bool, after: bool) {
        let seen = self
            .others
            .wait_for(|others| *others == Others { before, after });
        timeout(SOON, seen).await.unwrap().unwrap();
    }
}

fn run(test: impl AsyncFnOnce(&Path)) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("handover.sock");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let test = async { timeout(Duration::from_secs(60), test(&path)).await };
    LocalSet::new().block_on(&runtime, test).unwrap();
}

#[test]
fn a_successor_gets_every_socket_however_many_there_are() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (web, _web) = first.offers("web", 300);
        let (admin, _admin) = first.offers("admin", 1);
        let second = Process::succeeding(path, "second").await;
        assert_eq!((second.has(web), second.has(admin)), (Some(300), Some(1)));
        assert_eq!(second.has(web), None);
    });
}

#[test]
fn what_waits_in_a_queue_outlives_the_predecessor() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (address, web) = first.offers("web", 2);
        let second = Process::succeeding(path, "second").await;
        let taken = second.inherited.take(address).unwrap();
        let connect = |_| TcpStream::connect(address).unwrap();
        let waiting: Vec<_> = (0..50).map(connect).collect();
        drop(web);
        first.end();
        let mut accepted = Vec::new();
        while accepted.len() < waiting.len() {
            let ready = taken.iter().filter_map(|queue| queue.accept().ok());
            accepted.extend(ready.map(|(_, client)| client));
            yield_now().await;
        }
        let mut clients: Vec<_> = waiting.iter().map(|w| w.local_addr().unwrap()).collect();
        clients.sort();
        accepted.sort();
        assert_eq!(accepted, clients);
    });
}

#[test]
fn a_withdrawn_address_is_free_and_what_has_ended_offers_nothing() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (address, web) = first.offers("web", 2);
        drop(web);
        listen(address, 1).unwrap_err();
        first.offer.withdraw("web");
        let again = listen(address, 1).unwrap();
        first.offer.end();
        first.offer.add(&"web".into(), &again);
        drop(again);
        listen(address, 1).unwrap();
    });
}

#[test]
fn one_answers_where_only_one_may_and_the_successor_not_before_it_is_ready() {
    run(async |path| {
        let mut first = Process::start(path, "first").await;
        for name in ["second", "third"] {
            let mut second = Process::succeeding(path, name).await;
            first.sees(false, false).await;
            second.sees(true, false).await;
            second.is_ready();
            second.sees(false, false).await;
            first.sees(false, true).await;
            // It dies, and everything is as it was.
            second.end();
            first.sees(false, false).await;
        }
    });
}

#[test]
fn what_is_opened_while_both_serve_is_handed_over_when_it_is_wanted() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let second = Process::succeeding(path, "second").await;
        let (wanted, _wanted) = first.offers("wanted", 2);
        let (other, _other) = first.offers("other", 2);
        second.inherited.want(wanted);
        while second.inherited.holds() == 0 {
            yield_now().await;
        }
        assert_eq!((second.has(wanted), second.has(other)), (Some(2), None));
    });
}

#[test]
fn what_nobody_accepts_from_is_closed_with_the_predecessor() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (address, web) = first.offers("web", 1);
        let mut second = Process::succeeding(path, "second").await;
        drop(web);
        first.end();
        second.sees(false, false).await;
        TcpStream::connect(address).unwrap_err();
        second.end();
    });
}

#[test]
fn successors_follow_each_other_and_two_at_once_come_one_after_the_other() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (address, _web) = first.offers("web", 1);
        let second = Process::succeeding(path, "second").await;
        let third = Process::succeeding(path, "third").await;
        for next in [&second, &third] {
            let taken = next.inherited.take(address).unwrap();
            next.offer.add(&"web".into(), &taken);
            next.is_ready();
        }
        first.end();
        // Whichever has the path: a fourth gets the sockets, and so it goes on to the last.
        let fourth = Process::succeeding(path, "fourth").await;
        assert_eq!(fourth.has(address), Some(1));
        second.end();
        let fifth = Process::succeeding(path, "fifth").await;
        drop((third, fourth, fifth));
    });
}

#[test]
fn who_has_the_path_and_no_sockets_gets_them_from_who_has_them() {
    run(async |path| {
        let first = Process::start(path, "first").await;
        let (address, _web) = first.offers("web", 1);
        let second = Process::succeeding(path, "second").await;
        second.end();
        // As if it had found nobody while its predecessor's predecessor was ending.
        std::fs::remove_file(path).unwrap();
        let mut third = Process::start(path, "third").await;
        assert!(!third.others.borrow().before);
        third.sees(true, false).await;
        assert_eq!(third.has(address), Some(1));
        drop(first);
    });
}

#[test]
fn what_is_left_behind_or_says_nonsense_or_nothing_holds_no_start_up_and_is_not_displaced() {
    run(async |path| {
        // A process was killed, and its file is left.
        drop(UnixListener::bind(path).unwrap());
        let first = Process::start(path, "first").await;
        let second = Process::succeeding(path, "second").await;
        second.end();
        first.end();
        std::fs::remove_file(path).unwrap();

        // Something else listens there.
        let other = UnixListener::bind(path).unwrap();
        let nonsense = spawn_local(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(&[7; 7]).await.unwrap();
            // And from then on it says nothing.
            while let Ok((silent, _)) = other.accept().await {
                std::mem::forget(silent);
            }
        });
        let third = Process::start(path, "third").await;
        assert!(!third.others.borrow().before);
        let fourth = Process::start(path, "fourth").await;
        assert!(!fourth.others.borrow().before);
        nonsense.abort();
        // Once it is gone, the path is had.
        let fifth = Process::succeeding(path, "fifth").await;
        drop((third, fourth, fifth));
    });
}

const SOON: Duration = Duration::from_secs(20);
