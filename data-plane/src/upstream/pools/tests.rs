//! Tests of which endpoints a thread has pools for.

use tokio::{runtime::Builder, time::advance};

use super::*;
use crate::access_log::{AccessLog, LogFormat, ThreadLog};
use crate::limits::Limits;

const ID: UpstreamId = UpstreamId {
    index: 0,
    generation: 0,
};

fn endpoints(numbers: impl IntoIterator<Item = u16>) -> Arc<[Endpoint]> {
    let endpoint = |number: u16| Endpoint {
        address: ([10, 0, 0, 1], 1000 + number).into(),
        uid: Arc::default(),
    };
    numbers.into_iter().map(endpoint).collect()
}

/// A thread of its own, whose time the test moves.
struct World {
    thread: Rc<Thread>,
    pools: Pools,
    serial: Cell<Serial>,
}

impl World {
    fn new(index: usize) -> Self {
        let (log, _writer) = AccessLog::start(LogFormat::Off, Box::new(std::io::sink())).unwrap();
        let thread = Thread::new(Limits::default(), ThreadLog::new(log), Arc::default());
        let thread = Rc::new(thread);
        let options = PoolOptions {
            seed: 4711,
            ..PoolOptions::default()
        };
        Self {
            pools: Pools::new(Rc::clone(&thread), index, options),
            thread,
            serial: Cell::new(0),
        }
    }

    /// The pools once these are the endpoints.
    fn of(&self, endpoints: &Arc<[Endpoint]>) -> Rc<UpstreamPools> {
        self.serial.set(self.serial.get() + 1);
        let upstream = upstream(endpoints);
        self.pools.of(&upstream, endpoints, self.serial.get())
    }

    /// The pools after a while, in the same version.
    async fn later(&self, endpoints: &Arc<[Endpoint]>, wait: Duration) -> Rc<UpstreamPools> {
        advance(wait).await;
        self.thread.tick();
        let mut table = UpstreamTable::default();
        table.insert(Arc::new(upstream(endpoints)));
        self.pools.sweep(&table);
        self.pools.known(ID, self.serial.get()).unwrap()
    }
}

fn upstream(endpoints: &Arc<[Endpoint]>) -> Upstream {
    Upstream {
        id: ID,
        name: "service/a/b:80".into(),
        target: Target::Discovered,
        endpoints: Arc::clone(endpoints),
    }
}

/// Pools that both have, the very same.
fn same(one: &UpstreamPools, other: &UpstreamPools) -> usize {
    let is_in_other = |pool: &&Rc<Pool>| other.pools.iter().any(|theirs| Rc::ptr_eq(theirs, pool));
    one.pools.iter().filter(is_in_other).count()
}

fn run(test: impl Future<Output = ()>) {
    let builder = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    builder.unwrap().block_on(test);
}

#[test]
fn a_small_upstream_has_a_pool_for_each_endpoint_for_good() {
    run(async {
        let world = World::new(3);
        let endpoints = endpoints(0..64);
        let first = world.of(&endpoints);
        let listed = |pools: &UpstreamPools| -> Vec<_> {
            let pools = pools.pools.iter();
            pools.map(|pool| pool.endpoint.clone()).collect()
        };
        assert_eq!(listed(&first), *endpoints);
        let hour = Duration::from_secs(3600);
        assert!(Rc::ptr_eq(&first, &world.later(&endpoints, hour).await));
    });
}

#[test]
fn of_a_large_upstream_a_thread_uses_some_and_slowly_others() {
    run(async {
        let endpoints = endpoints(0..1000);
        let (one, two) = (World::new(0), World::new(1));
        let first = one.of(&endpoints);
        assert_eq!((first.len(), two.of(&endpoints).len()), (64, 64));
        let theirs = two.of(&endpoints);
        let common = theirs.pools.iter().filter(|theirs| {
            let mut ours = first.pools.iter();
            ours.any(|ours| ours.endpoint == theirs.endpoint)
        });
        assert_eq!(common.count(), 0);
        let early = one.later(&endpoints, MOVES - Duration::from_secs(1)).await;
        assert!(Rc::ptr_eq(&first, &early));
        let second = one.later(&endpoints, Duration::from_secs(2)).await;
        assert_eq!((second.len(), same(&first, &second)), (64, 56));
    });
}

#[test]
fn pods_that_come_and_go_leave_a_thread_nearly_all_of_its_pools() {
    run(async {
        let world = World::new(5);
        let mut before = world.of(&endpoints(0..1000));
        for gone in 0..100 {
            let after = world.of(&endpoints((0..1000).filter(|n| n % 100 != gone)));
            assert!(same(&before, &after) >= 62, "{gone}");
            assert_eq!(after.len(), 64);
            before = after;
        }
        // When the first of those in use goes, the next one is where it begins.
        let first = before.pools.first().unwrap().endpoint.clone();
        let others: Arc<[_]> = before
            .endpoints
            .iter()
            .filter(|e| **e != first)
            .cloned()
            .collect();
        assert_eq!(same(&before, &world.of(&others)), 63);
    });
}
