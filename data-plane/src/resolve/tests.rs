use std::{cell::RefCell, collections::VecDeque, net::IpAddr, rc::Rc, time::Duration};

use tokio::runtime::Builder;

use super::*;

/// Answers as it is told to, one answer after the other.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<VecDeque<Answer>>>);

/// Addresses and how long they hold; none is a failure.
type Answer = Option<(&'static [&'static str], u64)>;

impl Lookup for Script {
    async fn lookup(&self, _: Arc<str>) -> Result<Found, LookupError> {
        let answer = self.0.borrow_mut().pop_front();
        match answer {
            Some(Some((addresses, seconds))) => Ok(Found {
                addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
                until: clock::now() + Duration::from_secs(seconds),
            }),
            Some(None) => Err(LookupError::NoAddress),
            None => std::future::pending().await,
        }
    }
}

fn id(index: u32) -> UpstreamId {
    UpstreamId {
        index,
        generation: 0,
    }
}

fn external(index: u32, hostname: &str, port: u16) -> External {
    External {
        id: id(index),
        hostname: hostname.into(),
        port,
    }
}

fn shown(resolved: &Resolved, index: u32) -> Vec<String> {
    let endpoints = resolved.endpoints(id(index)).into_iter();
    let endpoints = endpoints.flat_map(|endpoints| endpoints.iter());
    endpoints
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

/// What is known after each change, and how long after the beginning.
fn run(script: &[Answer], wanted: Vec<External>, changes: usize) -> Vec<(u64, Arc<Resolved>)> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let begun = clock::now();
        let script = Script(Rc::new(RefCell::new(script.iter().copied().collect())));
        let (_keep, wanted) = watch::channel(wanted.into());
        let (sender, mut resolved) = watch::channel(Arc::default());
        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < changes {
                resolved.changed().await.unwrap();
                let known = Arc::clone(&resolved.borrow_and_update());
                seen.push((begun.elapsed().as_secs(), known));
            }
            seen
        };
        tokio::select! {
            () = resolve(script, wanted, sender) => panic!("ended"),
            seen = seen => seen,
        }
    })
}

#[test]
fn a_name_is_asked_for_again_when_its_answer_ends() {
    let script = [
        Some((&["10.0.0.2", "10.0.0.1"][..], 10)),
        Some((&["10.0.0.1", "10.0.0.2"], 10)),
        Some((&["10.0.0.3"], 10)),
    ];
    let seen = run(&script, vec![external(0, "a.example", 80)], 2);
    assert_eq!(shown(&seen[0].1, 0), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(shown(&seen[1].1, 0), ["10.0.0.3:80"]);
    // The answer in between changed nothing but the order.
    assert_eq!([seen[0].0, seen[1].0], [0, 20]);
}

#[test]
fn the_last_good_answer_is_kept_while_there_is_none() {
    let script = [
        Some((&["10.0.0.1"][..], 0)),
        None,
        None,
        Some((&["10.0.0.2"], 1_000_000)),
        Some((&["10.0.0.3"], 0)),
    ];
    let seen = run(&script, vec![external(0, "a.example", 80)], 3);
    let addresses: Vec<_> = seen.iter().map(|(_, known)| shown(known, 0)).collect();
    assert_eq!(
        addresses,
        [["10.0.0.1:80"], ["10.0.0.2:80"], ["10.0.0.3:80"]]
    );
    // At once; after 1 s at least, and pauses of 1 and 2 s; after 300 s at most.
    let times: Vec<_> = seen.iter().map(|(seconds, _)| *seconds).collect();
    assert_eq!(times, [0, 4, 304]);
}

#[test]
fn a_name_that_cannot_be_found_is_said_to_be_so_once() {
    let script = [None, None, Some((&["10.0.0.1"][..], 100))];
    let wanted = vec![external(0, "a.example", 80), external(1, "a.example", 81)];
    let seen = run(&script, wanted, 2);
    let known: Vec<_> = [0, 1]
        .map(|n| seen[0].1.endpoints(id(n)).map(|found| found.len()))
        .into();
    assert_eq!(known, [Some(0), Some(0)]);
    assert_eq!(shown(&seen[1].1, 1), ["10.0.0.1:81"]);
    // After pauses of 1 and 2 s.
    assert_eq!([seen[0].0, seen[1].0], [0, 3]);
}

#[test]
fn upstreams_share_a_name_and_keep_their_ports() {
    let script = [Some((&["10.0.0.1"][..], 100))];
    let wanted = vec![external(0, "a.example", 80), external(1, "a.example", 81)];
    let seen = run(&script, wanted, 1);
    assert_eq!(shown(&seen[0].1, 0), ["10.0.0.1:80"]);
    assert_eq!(shown(&seen[0].1, 1), ["10.0.0.1:81"]);
}

#[test]
fn what_does_not_change_keeps_its_place_in_memory() {
    let mut names = Names::default();
    let now = clock::now();
    let (a, b) = (external(0, "a.example", 80), external(1, "b.example", 80));
    names.follow(&[a.clone(), b.clone()]);
    assert_eq!(names.due(now, 1).len(), 1);
    assert_eq!(names.due(now, 9).len(), 1);
    let found = |address: &str| {
        Some(Found {
            addresses: vec![address.parse::<IpAddr>().unwrap()],
            until: now,
        })
    };
    assert!(names.answered("a.example", found("10.0.0.1"), now));
    assert!(names.answered("b.example", found("10.0.0.2"), now));
    let before = names.resolved();
    assert!(names.answered("b.example", found("10.0.0.3"), now));
    assert!(!names.follow(&[a.clone(), b.clone()]));
    let after = names.resolved();
    let place = |resolved: &Resolved, index| Arc::as_ptr(resolved.endpoints(id(index)).unwrap());
    assert!(std::ptr::addr_eq(place(&before, 0), place(&after, 0)));
    assert!(!std::ptr::addr_eq(place(&before, 1), place(&after, 1)));
    // Whoever is not needed is forgotten, and its late answer changes nothing.
    assert!(names.follow(&[a]));
    assert!(!names.answered("b.example", found("10.0.0.4"), now));
    assert!(names.resolved().endpoints(id(1)).is_none());
    assert!(names.follow(&[b]));
    assert!(names.resolved().endpoints(id(1)).is_none());
}
