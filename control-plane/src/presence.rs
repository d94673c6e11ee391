//! Who is connected, what each proxy has acknowledged, and what it cannot use.
//!
//! Apart from `State`, because none of it is stored: a thousand proxies at one change a
//! second would be 86 million records a day. What becomes an event is a transition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use crate::event::Event;
use crate::model::time::Timestamp;
use crate::snapshot::{ResourceId, Version};

/// Numbers the streams of this process in the order in which they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Something that a stream of a proxy tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A proxy said hello.
    Connected(Connected),
    /// A proxy uses everything of a version that it can use. The faults are all it has.
    Acknowledged {
        proxy: Arc<str>,
        stream: StreamId,
        version: Version,
        endpoints_revision: u64,
        faults: Vec<Fault>,
    },
    /// The stream ended.
    Disconnected { proxy: Arc<str>, stream: StreamId },
}

/// What a proxy says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Connected {
    pub proxy: Arc<str>,
    pub stream: StreamId,
    pub boot_id: Box<str>,
    /// Where the stream comes from.
    pub peer: Box<str>,
    pub binary_version: Box<str>,
    pub capabilities: Vec<Box<str>>,
    /// What it serves, if that is a version of this installation.
    pub held: Option<Version>,
}

/// A resource that a proxy cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub resource: ResourceId,
    pub reason: Box<str>,
    pub message: Box<str>,
}

/// All proxies with an open stream. A clone shares what does not change.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    proxies: OrdMap<Arc<str>, Arc<Proxy>>,
    /// How many proxies acknowledged what last; `None` is less than any version.
    acknowledged: BTreeMap<Option<Version>, u32>,
    /// The highest version that all connected proxies held at some moment.
    live: Option<Version>,
}

/// A connected proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// What it said of itself.
    pub hello: Connected,
    pub connected_at: Timestamp,
    /// What it acknowledged last on this stream.
    pub acknowledged: Option<Acknowledged>,
    pub faults: Vec<Fault>,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub version: Version,
    pub endpoints_revision: u64,
    pub at: Timestamp,
}

impl Presence {
    /// Takes in what a stream tells, and returns the transitions in it.
    ///
    /// A name belongs to the stream that was opened last: a proxy that was started again must
    /// not wait until its former connection is found dead. What an older stream still tells
    /// is not heard.
    pub fn report(&mut self, now: Timestamp, report: Report) -> Vec<Event> {
        let mut events = Vec::new();
        match report {
            Report::Connected(hello) => self.connected(now, hello, &mut events),
            Report::Acknowledged {
                proxy,
                stream,
                version,
                endpoints_revision,
                faults,
            } => {
                let acknowledged = Acknowledged {
                    version,
                    endpoints_revision,
                    at: now,
                };
                self.acknowledged(&proxy, stream, acknowledged, faults, &mut events);
            }
            Report::Disconnected { proxy, stream } => {
                self.disconnected(&proxy, stream, &mut events);
            }
        }
        self.announce(&mut events);
        events
    }

    /// The connected proxies, in order of name.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.values().map(AsRef::as_ref)
    }

    /// Number of connected proxies.
    pub fn len(&self) -> usize {
        self.proxies.len()
    }

    /// The lowest version that a connected proxy acknowledged; `None`: there is none, or one that
    /// has acknowledged nothing.
    pub fn lowest(&self) -> Option<Version> {
        let (lowest, _) = self.acknowledged.first_key_value()?;
        *lowest
    }

    /// Whether no proxy is connected.
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    fn connected(&mut self, now: Timestamp, hello: Connected, events: &mut Vec<Event>) {
        let before = self.proxies.get(&hello.proxy);
        if before.is_some_and(|before| before.hello.stream > hello.stream) {
            return;
        }
        let same_process = before.filter(|before| before.hello.boot_id == hello.boot_id);
        // The same process may still have its faults: its next acknowledgement says which.
        let faults = same_process.map_or_else(Vec::new, |before| before.faults.clone());
        if same_process.is_none() {
            events.extend(before.map(|before| left(&before.hello)));
            events.push(Event::ProxyJoined {
                proxy: hello.proxy.as_ref().into(),
                boot_id: hello.boot_id.clone(),
            });
        }
        let proxy = Proxy {
            hello,
            connected_at: now,
            acknowledged: None,
            faults,
        };
        self.put(proxy);
    }

    fn acknowledged(
        &mut self,
        name: &Arc<str>,
        stream: StreamId,
        acknowledged: Acknowledged,
        faults: Vec<Fault>,
        events: &mut Vec<Event>,
    ) {
        let Some(before) = self.current(name, stream) else {
            return;
        };
        compare(name, &before.faults, &faults, events);
        let proxy = Proxy {
            acknowledged: Some(acknowledged),
            faults,
            ..Proxy::clone(before)
        };
        self.put(proxy);
    }

    /// A proxy that is gone has no faults: its leaving ends them all.
    fn disconnected(&mut self, name: &Arc<str>, stream: StreamId, events: &mut Vec<Event>) {
        let Some(before) = self.current(name, stream).cloned() else {
            return;
        };
        self.proxies.remove(name);
        self.uncount(&before);
        events.push(left(&before.hello));
    }

    fn current(&self, name: &Arc<str>, stream: StreamId) -> Option<&Arc<Proxy>> {
        let proxy = self.proxies.get(name)?;
        (proxy.hello.stream == stream).then_some(proxy)
    }

    fn put(&mut self, proxy: Proxy) {
        *self.acknowledged.entry(proxy.version()).or_default() += 1;
        let name = Arc::clone(&proxy.hello.proxy);
        if let Some(before) = self.proxies.insert(name, Arc::new(proxy)) {
            self.uncount(&before);
        }
    }

    fn uncount(&mut self, proxy: &Proxy) {
        let version = proxy.version();
        if let Some(count) = self.acknowledged.get_mut(&version) {
            *count -= 1;
            if *count == 0 {
                self.acknowledged.remove(&version);
            }
        }
    }

    /// Says once of a version that all hold it, or a later one: the changes up to it are live
    /// everywhere. The lowest version decides, so a proxy that skips versions counts as well.
    fn announce(&mut self, events: &mut Vec<Event>) {
        let lowest = self.acknowledged.first_key_value();
        let Some((&Some(version), _)) = lowest else {
            return;
        };
        if self.live.is_none_or(|live| version > live) {
            self.live = Some(version);
            let faulty = self.proxies().filter(|proxy| !proxy.faults.is_empty());
            events.push(Event::AcknowledgedByAll {
                epoch: version.epoch,
                seq: version.seq,
                proxies: u32::try_from(self.proxies.len()).unwrap_or(u32::MAX),
                faulty: u32::try_from(faulty.count()).unwrap_or(u32::MAX),
            });
        }
    }
}

impl Proxy {
    fn version(&self) -> Option<Version> {
        self.acknowledged.map(|acknowledged| acknowledged.version)
    }
}

/// The resource, by type and name: an upstream and its endpoints have the same name.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.resource.kind.as_str_name();
        let kind = kind.strip_prefix("RESOURCE_TYPE_").unwrap_or(kind);
        write!(f, "{} {}", kind.to_ascii_lowercase(), self.resource.name)
    }
}

fn left(hello: &Connected) -> Event {
    Event::ProxyLeft {
        proxy: hello.proxy.as_ref().into(),
        boot_id: hello.boot_id.clone(),
    }
}

/// Two full lists of faults. One is the same if resource and reason are; its message may
/// tell of an attempt, and would begin it anew each time.
fn compare(proxy: &str, before: &[Fault], after: &[Fault], events: &mut Vec<Event>) {
    let identity = |fault: &Fault| (fault.resource.clone(), fault.reason.clone());
    let had: BTreeSet<_> = before.iter().map(identity).collect();
    let has: BTreeSet<_> = after.iter().map(identity).collect();
    let mut ended = BTreeSet::new();
    for fault in before
        .iter()
        .filter(|fault| !has.contains(&identity(fault)))
    {
        if ended.insert(identity(fault)) {
            events.push(Event::FaultEnded {
                proxy: proxy.into(),
                resource: fault.to_string().into(),
                reason: fault.reason.clone(),
            });
        }
    }
    let mut begun = BTreeSet::new();
    for fault in after.iter().filter(|fault| !had.contains(&identity(fault))) {
        if begun.insert(identity(fault)) {
            events.push(Event::FaultBegan {
                proxy: proxy.into(),
                resource: fault.to_string().into(),
                reason: fault.reason.clone(),
                message: fault.message.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
