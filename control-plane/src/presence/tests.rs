use roadstead_proto::v1::ResourceType;

use super::*;
use crate::event::{Epoch, Seq};

/// A world in which streams are named `proxy/boot#stream`, and events are told by sentences.
#[derive(Default)]
struct World {
    presence: Presence,
    now: i64,
}

impl World {
    fn joins(&mut self, proxy: &str, boot_id: &str, stream: u64) -> Vec<String> {
        self.reports(Report::Connected(Connected {
            proxy: proxy.into(),
            stream: StreamId(stream),
            boot_id: boot_id.into(),
            peer: "192.0.2.1:4000".into(),
            binary_version: "1".into(),
            capabilities: Vec::new(),
            held: None,
        }))
    }

    fn acks(&mut self, proxy: &str, stream: u64, seq: u64, faults: &[&str]) -> Vec<String> {
        let fault = |text: &&str| {
            let (name, reason) = text.split_once(' ').unwrap();
            Fault {
                resource: ResourceId::new(ResourceType::Listener, name),
                reason: reason.into(),
                message: "it does not work".into(),
            }
        };
        self.reports(Report::Acknowledged {
            proxy: proxy.into(),
            stream: StreamId(stream),
            version: version(seq),
            endpoints_revision: 0,
            faults: faults.iter().map(fault).collect(),
        })
    }

    fn leaves(&mut self, proxy: &str, stream: u64) -> Vec<String> {
        self.reports(Report::Disconnected {
            proxy: proxy.into(),
            stream: StreamId(stream),
        })
    }

    fn reports(&mut self, report: Report) -> Vec<String> {
        self.now += 1;
        let events = self.presence.report(Timestamp(self.now), report);
        events.iter().map(ToString::to_string).collect()
    }

    fn proxy(&self, name: &str) -> &Proxy {
        let found = self.presence.proxies().find(|p| &*p.hello.proxy == name);
        found.expect("it is connected")
    }
}

fn version(seq: u64) -> Version {
    Version {
        epoch: Epoch(1),
        seq: Seq(seq),
    }
}

#[test]
fn coming_and_going_are_events_and_acknowledging_is_not() {
    let mut world = World::default();
    assert_eq!(world.joins("a", "x", 1), ["proxy a joined"]);
    assert_eq!(
        world.acks("a", 1, 7, &[]),
        ["version 1.7 is live on all 1 proxies"]
    );
    assert!(world.acks("a", 1, 7, &[]).is_empty());
    let acknowledged = world.proxy("a").acknowledged.unwrap();
    assert_eq!(acknowledged.version, version(7));
    assert_eq!(acknowledged.at, Timestamp(3));
    assert_eq!(world.leaves("a", 1), ["proxy a left"]);
    assert!(world.presence.is_empty());
}

#[test]
fn a_version_is_live_once_the_last_proxy_holds_it_or_a_later_one() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.joins("b", "y", 2);
    assert!(world.acks("a", 1, 7, &[]).is_empty());
    // b skips 7, which is live nevertheless.
    assert_eq!(
        world.acks("b", 2, 8, &[]),
        ["version 1.7 is live on all 2 proxies"]
    );
    assert_eq!(
        world.acks("a", 1, 8, &[]),
        ["version 1.8 is live on all 2 proxies"]
    );
}

#[test]
fn a_version_is_announced_once_whoever_joins_later() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.acks("a", 1, 7, &[]);
    assert_eq!(world.joins("b", "y", 2), ["proxy b joined"]);
    assert!(world.acks("b", 2, 7, &[]).is_empty());
}

#[test]
fn what_the_slowest_held_back_is_live_when_it_leaves() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.joins("b", "y", 2);
    world.acks("a", 1, 7, &[]);
    assert_eq!(
        world.leaves("b", 2),
        ["proxy b left", "version 1.7 is live on all 1 proxies"]
    );
}

#[test]
fn another_process_of_the_same_name_takes_its_place() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.acks("a", 1, 7, &["http AddressInUse"]);
    assert_eq!(world.joins("a", "y", 2), ["proxy a left", "proxy a joined"]);
    assert_eq!(world.presence.len(), 1);
    assert_eq!(world.proxy("a").acknowledged, None);
    assert!(world.proxy("a").faults.is_empty());
}

#[test]
fn an_older_stream_is_not_heard_whatever_it_tells() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.joins("a", "y", 2);
    assert!(world.acks("a", 1, 7, &["http AddressInUse"]).is_empty());
    assert!(world.leaves("a", 1).is_empty());
    assert!(world.joins("a", "x", 1).is_empty());
    assert_eq!(&*world.proxy("a").hello.boot_id, "y");
}

#[test]
fn a_process_that_connects_again_neither_left_nor_joined() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.acks("a", 1, 7, &["http AddressInUse"]);
    assert!(world.joins("a", "x", 2).is_empty());
    // Until it acknowledges, nothing is known to be live there.
    assert_eq!(world.proxy("a").acknowledged, None);
    assert!(world.acks("a", 2, 7, &["http AddressInUse"]).is_empty());
    assert_eq!(
        world.acks("a", 2, 7, &[]),
        ["proxy a no longer finds fault with listener http"]
    );
}

#[test]
fn faults_begin_and_end_by_resource_and_reason() {
    let mut world = World::default();
    world.joins("a", "x", 1);
    world.acks("a", 1, 7, &[]);
    let begun = "proxy a cannot use listener http: it does not work";
    let ended = "proxy a no longer finds fault with listener http";
    let twice = ["http AddressInUse", "http AddressInUse"];
    assert_eq!(world.acks("a", 1, 7, &twice), [begun]);
    assert!(world.acks("a", 1, 7, &["http AddressInUse"]).is_empty());
    assert_eq!(
        world.acks("a", 1, 7, &["http PermissionDenied"]),
        [ended, begun]
    );
    assert_eq!(world.acks("a", 1, 7, &[]), [ended]);
}
