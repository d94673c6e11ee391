//! Tests of the order of opening and closing, on a machine whose ports are a set.

use std::{cell::RefCell, collections::BTreeSet, net::SocketAddr};

use futures::FutureExt;

use super::*;
use crate::snapshot::{ListenerProtocol, Sources, Terms};

/// A machine where whole ports are taken, whatever the address.
#[derive(Default)]
struct Machine {
    taken: RefCell<BTreeSet<u16>>,
    done: RefCell<Vec<String>>,
}

impl Machine {
    fn take(&self, port: u16) -> bool {
        self.taken.borrow_mut().insert(port)
    }

    fn leave(&self, port: u16) {
        self.taken.borrow_mut().remove(&port);
    }

    fn note(&self, what: &str, listener: &Listener) {
        let note = format!("{what} {} {}", listener.name, listener.address.port());
        self.done.borrow_mut().push(note);
    }
}

impl Ports for Machine {
    type Bound = ();

    fn bind(&mut self, listener: &Listener) -> Result<(), Fault> {
        if self.take(listener.address.port()) {
            return Ok(());
        }
        Err(Fault::new(Reason::AddressInUse, "taken"))
    }

    async fn open(&mut self, listener: &Arc<Listener>, (): ()) {
        self.note("open", listener);
    }

    async fn change(&mut self, listener: &Arc<Listener>) {
        self.note("change", listener);
    }

    async fn close(&mut self, listener: &Arc<Listener>) {
        self.note("close", listener);
        self.leave(listener.address.port());
    }
}

/// Sets listeners, each a name and a port; gives what was done and which have faults.
fn set(listeners: &mut Listeners<Machine>, wanted: &[(&str, u16)]) -> (Vec<String>, Vec<String>) {
    set_with(listeners, wanted, &Sources::default())
}

/// The same with sources of PROXY headers.
fn set_with(
    listeners: &mut Listeners<Machine>,
    wanted: &[(&str, u16)],
    sources: &Sources,
) -> (Vec<String>, Vec<String>) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|&(name, port)| {
            Arc::new(Listener {
                name: name.into(),
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                protocol: ListenerProtocol::Http,
                terms: Terms {
                    sources: sources.clone(),
                    ..Terms::default()
                },
            })
        })
        .collect();
    let faults = listeners.set(&wanted).now_or_never().unwrap();
    let faults = faults.keys().map(|name| name.to_string()).collect();
    (listeners.ports.done.take(), faults)
}

fn listeners() -> Listeners<Machine> {
    Listeners::new(Machine::default())
}

const NONE: Vec<String> = Vec::new();

#[test]
fn what_is_wanted_is_opened_once_and_closed_when_it_is_not() {
    let mut listeners = listeners();
    let (done, faults) = set(&mut listeners, &[("a", 80), ("b", 81)]);
    assert_eq!(
        (done, faults),
        (vec!["open a 80".into(), "open b 81".into()], NONE)
    );
    let (done, _) = set(&mut listeners, &[("a", 80), ("b", 81)]);
    assert_eq!(done, NONE);
    let (done, _) = set(&mut listeners, &[("b", 81)]);
    assert_eq!(done, ["close a 80"]);
}

#[test]
fn a_listener_whose_sources_change_stays_open() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80), ("b", 81)]);
    let sources = Sources::from_iter(["10.0.0.0/8".parse().unwrap()]);
    let (done, faults) = set_with(&mut listeners, &[("a", 80), ("b", 81)], &sources);
    assert_eq!(
        (done, faults),
        (vec!["change a 80".into(), "change b 81".into()], NONE)
    );
    let (done, _) = set_with(&mut listeners, &[("a", 80), ("b", 81)], &sources);
    assert_eq!(done, NONE);
    let (done, _) = set(&mut listeners, &[("a", 80), ("b", 82)]);
    assert_eq!(done, ["change a 80", "close b 81", "open b 82"]);
}

#[test]
fn a_listener_that_speaks_another_protocol_is_closed_and_opened_where_it_was() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80), ("b", 81)]);
    let wanted = [
        ("a", ListenerProtocol::Https, 80),
        ("b", ListenerProtocol::Http, 81),
    ];
    let wanted = wanted.map(|(name, protocol, port)| {
        Arc::new(Listener {
            name: name.into(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            protocol,
            terms: Terms::default(),
        })
    });
    let faults = listeners.set(&wanted).now_or_never().unwrap();
    assert!(faults.is_empty());
    assert_eq!(listeners.ports.done.take(), ["close a 80", "open a 80"]);
}

#[test]
fn a_port_that_is_taken_fails_alone_and_is_tried_again() {
    let mut listeners = listeners();
    listeners.ports.take(80);
    let (done, faults) = set(&mut listeners, &[("a", 80), ("b", 81)]);
    assert_eq!((done, faults), (vec!["open b 81".into()], vec!["a".into()]));
    listeners.ports.leave(80);
    let (done, faults) = set(&mut listeners, &[("a", 80), ("b", 81)]);
    assert_eq!((done, faults), (vec!["open a 80".into()], NONE));
}

#[test]
fn a_listener_that_moves_to_a_taken_port_stays_where_it_was() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80)]);
    listeners.ports.take(81);
    let (done, faults) = set(&mut listeners, &[("a", 81)]);
    assert_eq!((done, faults), (NONE, vec!["a".into()]));
    listeners.ports.leave(81);
    let (done, faults) = set(&mut listeners, &[("a", 81)]);
    assert_eq!(done, ["close a 80", "open a 81"]);
    assert_eq!(faults, NONE);
    assert!(listeners.ports.take(80), "the old port was left");
}

#[test]
fn a_listener_that_is_renamed_keeps_its_port() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80)]);
    let (done, faults) = set(&mut listeners, &[("b", 80)]);
    assert_eq!(done, ["close a 80", "open b 80"]);
    assert_eq!(faults, NONE);
}

#[test]
fn listeners_may_exchange_their_ports() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80), ("b", 81)]);
    let (done, faults) = set(&mut listeners, &[("a", 81), ("b", 80)]);
    assert_eq!(done, ["close a 80", "close b 81", "open a 81", "open b 80"]);
    assert_eq!(faults, NONE);
}

#[test]
fn an_exchange_that_fails_for_one_leaves_it_open_if_its_old_port_is_free() {
    let mut listeners = listeners();
    set(&mut listeners, &[("a", 80), ("b", 81)]);
    listeners.ports.take(82);
    let (_, faults) = set(&mut listeners, &[("a", 81), ("b", 82)]);
    assert_eq!(
        faults,
        ["b"],
        "its old port is a's now, its new one somebody's"
    );
    listeners.ports.leave(82);
    let (done, faults) = set(&mut listeners, &[("a", 81), ("b", 82)]);
    assert_eq!((done, faults), (vec!["open b 82".into()], NONE));
}
