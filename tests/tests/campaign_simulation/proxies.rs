//! What befalls proxies and their streams.

use std::sync::Arc;

use roadstead_control_plane::observe::Observation;
use roadstead_control_plane::presence::{Report, StreamId};

use super::{PROXIES, REPLICAS, World, leads, term};
use crate::ports::shared;

impl World {
    /// Something befalls a proxy or its stream, or some of what is on its way arrives.
    pub(super) fn stream(&mut self) {
        let (number, side) = (self.random.index(PROXIES), self.random.index(REPLICAS));
        let befalls = self.random.below(100);
        let Some(stream) = &self.proxies[number].stream else {
            if self.running(side).is_some() {
                self.connect(number, side);
            }
            return;
        };
        let side = stream.side;
        match befalls {
            0..3 => self.disconnect(number),
            3..6 => {
                self.disconnect(number);
                self.proxies[number].restart();
            }
            6..8 => self.rot(number),
            // Who leads from now on, or no longer, ends its streams.
            _ if stream.term != term(side) => self.disconnect(number),
            _ => {
                for _ in 0..8 {
                    match self.random.below(16) {
                        0..5 => self.send(number, side),
                        5..10 => self.receive(number),
                        10..15 => self.answer(number, side),
                        _ => self.count(number),
                    }
                }
            }
        }
    }

    fn connect(&mut self, number: usize, side: usize) {
        self.streams += 1;
        let id = StreamId(self.streams);
        let report = self.proxies[number].connect(id, side, term(side));
        self.hear(side, report);
    }

    fn disconnect(&mut self, number: usize) {
        let proxy = &mut self.proxies[number];
        if let Some(stream) = proxy.stream.take() {
            let (proxy, stream, side) = (Arc::clone(&proxy.name), stream.id, stream.side);
            self.hear(side, Report::Disconnected { proxy, stream });
        }
    }

    /// The engine of a replica hears of a proxy, if it leads.
    fn hear(&mut self, side: usize, report: Report) {
        if leads(side)
            && let Some(process) = self.running(side)
        {
            process.see(Observation::Proxy(report));
        }
    }

    fn send(&mut self, number: usize, side: usize) {
        if self.running(side).is_some() {
            let publication = shared(|shared| Arc::clone(&shared.sides[side].publication));
            self.proxies[number].send(&publication);
        }
    }

    /// The memory of a proxy loses something.
    pub(super) fn rot(&mut self, number: usize) {
        let drawn = self.random.index(64);
        self.proxies[number].rot(drawn);
    }

    fn count(&mut self, number: usize) {
        if let Err(broken) = self.proxies[number].count() {
            shared(|shared| shared.breaks(broken));
        }
    }

    fn receive(&mut self, number: usize) {
        if let Err(broken) = self.proxies[number].receive() {
            shared(|shared| shared.breaks(broken));
        }
    }

    fn answer(&mut self, number: usize, side: usize) {
        if self.running(side).is_none() {
            return;
        }
        match self.proxies[number].answer() {
            Ok(Some(report)) => self.hear(side, report),
            Ok(None) => {}
            Err(broken) => shared(|shared| shared.breaks(broken)),
        }
    }

    /// All proxies find their way to the leader, and all that it says arrives.
    pub(super) fn settle(&mut self) {
        let Some(leader) = (0..REPLICAS).find(|side| leads(*side)) else {
            return;
        };
        for number in 0..PROXIES {
            let stream = self.proxies[number].stream.as_ref();
            if stream.is_none_or(|stream| (stream.side, stream.term) != (leader, term(leader))) {
                self.disconnect(number);
                self.connect(number, leader);
            }
            self.send(number, leader);
            for _ in 0..8 {
                self.receive(number);
            }
            self.count(number);
            for _ in 0..4 {
                self.answer(number, leader);
            }
        }
    }
}
