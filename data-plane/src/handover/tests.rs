//! Tests of the handover between two sides in one process.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, LocalSet, spawn_local},
    time::timeout,
};

use super::*;
use crate::listen::listen;

/// A process that has sockets.
struct Process {
    offer: Offer,
    shared: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Process {
    fn start(path: &Path, before: Option<UnixStream>) -> Self {
        let offer = Offer::default();
        let (predecessor, shared) = Predecessor::new(offer.clone());
        let task = spawn_local(predecessor.run(path.to_owned(), before));
        Self {
            offer,
            shared,
            task,
        }
    }

    fn end(self) {
        self.task.abort();
        self.offer.end();
    }

    async fn is_shared(&mut self, shared: bool) {
        let seen = self.shared.wait_for(|now| *now == shared);
        timeout(SOON, seen).await.unwrap().unwrap();
    }
}

/// What a successor gets once the path is there, and its connection to the one before.
async fn inherited(path: &Path) -> (Inherited, UnixStream) {
    loop {
        let mut inherited = inherit(path).await;
        if let Some(predecessor) = inherited.predecessor() {
            return (inherited, predecessor);
        }
        tokio::task::yield_now().await;
    }
}

fn run(test: impl AsyncFnOnce(&Path)) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("handover.sock");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test(&path));
}

#[test]
fn a_successor_gets_every_socket_however_many_there_are() {
    run(async |path| {
        let first = Process::start(path, None);
        let (web, admin) = (any(300), any(1));
        let address = |sockets: &[TcpListener]| sockets[0].local_addr().unwrap();
        first.offer.add(&"web".into(), &web);
        first.offer.add(&"admin".into(), &admin);
        let (mut inherited, _before) = inherited(path).await;
        assert_eq!(inherited.take(address(&web)).unwrap().len(), 300);
        assert_eq!(inherited.take(address(&admin)).unwrap().len(), 1);
        assert!(inherited.take(address(&web)).is_none());
    });
}

#[test]
fn what_waits_in_a_queue_outlives_the_predecessor() {
    run(async |path| {
        let first = Process::start(path, None);
        let web = any(2);
        let address = web[0].local_addr().unwrap();
        first.offer.add(&"web".into(), &web);
        let (mut inherited, _before) = inherited(path).await;
        let waiting: Vec<_> = (0..50)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        drop(web);
        first.end();
        let taken = inherited.take(address).unwrap();
        let mut accepted = Vec::new();
        while accepted.len() < waiting.len() {
            let ready = taken.iter().filter_map(|queue| queue.accept().ok());
            accepted.extend(ready.map(|(_, client)| client));
        }
        let mut clients: Vec<_> = waiting.iter().map(|w| w.local_addr().unwrap()).collect();
        clients.sort();
        accepted.sort();
        assert_eq!(accepted, clients);
    });
}

#[test]
fn a_withdrawn_address_is_free() {
    run(async |path| {
        let first = Process::start(path, None);
        let web = any(2);
        let address = web[0].local_addr().unwrap();
        first.offer.add(&"web".into(), &web);
        drop(web);
        listen(address, 1).unwrap_err();
        first.offer.withdraw("web");
        listen(address, 1).unwrap();
    });
}

#[test]
fn a_successor_that_dies_leaves_everything_as_it_was() {
    run(async |path| {
        let mut first = Process::start(path, None);
        first.offer.add(&"web".into(), &any(1));
        for _ in 0..3 {
            let successor = inherited(path).await;
            first.is_shared(true).await;
            drop(successor);
            first.is_shared(false).await;
        }
    });
}

#[test]
fn a_successor_is_the_next_ones_predecessor_once_its_own_has_ended() {
    run(async |path| {
        let first = Process::start(path, None);
        first.offer.add(&"first".into(), &any(1));
        let (_, before) = inherited(path).await;
        let second = Process::start(path, Some(before));
        second.offer.add(&"second".into(), &any(2));
        // While both serve, the first is asked.
        assert_eq!(inherited(path).await.0.len(), 1);
        first.end();
        let last = timeout(SOON, async { while inherited(path).await.0.len() != 2 {} });
        last.await.unwrap();
    });
}

#[test]
fn what_is_left_behind_or_says_nonsense_holds_no_start_up() {
    run(async |path| {
        // Nothing is there.
        assert!(inherit(path).await.predecessor().is_none());
        // A process was killed, and its file is left.
        drop(UnixListener::bind(path).unwrap());
        assert!(inherit(path).await.predecessor().is_none());
        // Something else listens there.
        std::fs::remove_file(path).unwrap();
        let other = UnixListener::bind(path).unwrap();
        let nonsense = async {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(&[7; 7]).await.unwrap();
        };
        let (mut inherited, ()) = tokio::join!(inherit(path), nonsense);
        assert!(inherited.predecessor().is_none());
    });
}

fn any(sockets: usize) -> Vec<TcpListener> {
    listen("127.0.0.1:0".parse().unwrap(), sockets).unwrap()
}

const SOON: Duration = Duration::from_secs(10);
