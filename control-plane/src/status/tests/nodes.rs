//! Addresses of nodes, against an API server whose nodes cannot always be read.

use std::time::Duration;

use tokio::sync::watch;

use super::ingress::publishing;
use super::*;
use crate::config::{AddressSource, NodeAddress};
use crate::model::time::Timestamp;
use crate::presence::{Connected, Presence, Report, StreamId};
use crate::snapshot::Version;

/// The addresses of each status that was written, as the world was when it was.
type Written = watch::Sender<Vec<(Instant, Vec<String>)>>;

struct World {
    presence: watch::Sender<Presence>,
    /// Nodes that cannot be read.
    broken: watch::Sender<Vec<&'static str>>,
    written: Written,
    began: Instant,
}

impl World {
    /// A control plane with one Ingress, as it begins to lead; and what it is run by.
    fn begin() -> (Self, impl Future<Output = ()>) {
        let world = Self {
            presence: watch::Sender::new(Presence::default()),
            broken: watch::Sender::default(),
            written: Written::default(),
            began: Instant::now(),
        };
        let client = server(world.broken.subscribe(), world.written.clone());
        let (teller, status) = Status::new(&BTreeMap::new());
        let see = status.sightings(false);
        teller.tell(change("a", Some(true), Some(true)));
        see(ingress::seen("a", 1, &[], false, None));
        teller.complete();
        let mut publishing = publishing(&[]);
        publishing.whereabouts.source = AddressSource::Nodes(vec![NodeAddress::Internal]);
        publishing.whereabouts.most = 16;
        publishing.whereabouts.presence = world.presence.subscribe();
        let running = async move {
            status.run(Some(client), Some(publishing)).await;
            drop(teller);
        };
        (world, running)
    }

    fn report(&self, report: Report) {
        self.presence.send_modify(|presence| {
            presence.report(Timestamp(0), report);
        });
    }

    /// A proxy connects and serves.
    fn serves(&self, proxy: &str, stream: u64) {
        self.report(Report::Connected(Connected {
            proxy: proxy.into(),
            stream: StreamId(stream),
            boot_id: "boot".into(),
            peer: "192.0.2.1:4000".into(),
            binary_version: "1".into(),
            capabilities: Vec::new(),
            held: None,
        }));
        self.report(Report::Acknowledged {
            proxy: proxy.into(),
            stream: StreamId(stream),
            version: Version::default(),
            endpoints_revision: 0,
            faults: Vec::new(),
        });
    }

    fn leaves(&self, proxy: &str, stream: u64) {
        self.report(Report::Disconnected {
            proxy: proxy.into(),
            stream: StreamId(stream),
        });
    }

    fn break_down(&self, nodes: &[&'static str]) {
        self.broken.send_replace(nodes.to_vec());
    }

    async fn at(&self, second: u64) {
        tokio::time::sleep_until(self.began + Duration::from_secs(second)).await;
    }

    /// What was written, each time.
    fn written(&self) -> Vec<String> {
        let written = self.written.borrow();
        written
            .iter()
            .map(|(_, addresses)| addresses.join(" "))
            .collect()
    }
}

/// An API server of nodes n1 to n9, whose addresses end in their number.
fn server(broken: watch::Receiver<Vec<&'static str>>, written: Written) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let (broken, written) = (broken.clone(), written.clone());
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let node = path.strip_prefix("/api/v1/nodes/");
            let failure = json!({
                "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                "message": "told to fail", "reason": "InternalError", "code": 500,
            });
            let (code, answer) = match node {
                Some(name) if broken.borrow().contains(&name) => (500, failure),
                Some(name) => {
                    let number = name.strip_prefix('n').expect("a node's name");
                    let address = format!("192.0.2.{}", number.parse::<u8>().unwrap());
                    let addresses = json!([{"type": "InternalIP", "address": address}]);
                    let status = json!({"addresses": addresses});
                    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status});
                    (200, node)
                }
                None if path.ends_with("/status") => {
                    let patch: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let entries = patch["status"]["loadBalancer"]["ingress"].as_array();
                    let entries = entries.into_iter().flatten();
                    let ips = entries.map(|entry| entry["ip"].as_str().unwrap().to_owned());
                    let ips: Vec<String> = ips.collect();
                    written.send_modify(|written| written.push((Instant::now(), ips)));
                    (200, patch)
                }
                None => (200, serde_json::from_slice(&body).unwrap()),
            };
            let answer = Bytes::from(serde_json::to_vec(&answer).unwrap());
            let response = Response::builder().status(code).body(Full::new(answer));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_begins_writes_no_part_of_the_nodes_while_their_proxies_come() {
    let _alone = ALONE.lock().await;
    let (world, running) = World::begin();
    let acting = async {
        world.serves("n1", 1);
        world.at(2).await;
        world.serves("n2", 2);
        world.at(7).await;
        world.serves("n3", 3);
        world.at(60).await;
    };
    tokio::select! { () = running => {} () = acting => {} }
    assert_eq!(world.written(), ["192.0.2.1 192.0.2.2 192.0.2.3"]);
}

#[tokio::test(start_paused = true)]
async fn while_a_node_cannot_be_read_no_part_of_them_is_written_and_what_was_read_stays() {
    let _alone = ALONE.lock().await;
    let (world, running) = World::begin();
    world.break_down(&["n2"]);
    world.serves("n1", 1);
    world.serves("n2", 2);
    let acting = async {
        world.at(60).await;
        assert_eq!(world.written(), [""; 0]);
        world.break_down(&[]);
        world.at(90).await;
        assert_eq!(world.written(), ["192.0.2.1 192.0.2.2"]);
        // Long after what is known is believed.
        world.break_down(&["n1", "n2"]);
        world.at(2000).await;
    };
    tokio::select! { () = running => {} () = acting => {} }
    assert_eq!(world.written(), ["192.0.2.1 192.0.2.2"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_replaced_takes_no_address_away_and_one_that_stays_away_does() {
    let _alone = ALONE.lock().await;
    let (world, running) = World::begin();
    // As a DaemonSet's are named whose old pod and new one serve beside each other.
    world.serves("n1/old", 1);
    world.serves("n2/only", 2);
    let acting = async {
        world.at(100).await;
        world.serves("n1/new", 3);
        world.leaves("n1/old", 1);
        world.leaves("n2/only", 2);
        world.at(125).await;
        world.serves("n2/next", 4);
        world.at(300).await;
        assert_eq!(world.written(), ["192.0.2.1 192.0.2.2"]);
        world.leaves("n2/next", 4);
        world.at(325).await;
        assert_eq!(world.written(), ["192.0.2.1 192.0.2.2"]);
        world.at(400).await;
    };
    tokio::select! { () = running => {} () = acting => {} }
    assert_eq!(world.written(), ["192.0.2.1 192.0.2.2", "192.0.2.1"]);
    let (at, _) = world.written.borrow()[1].clone();
    assert!((330..345).contains(&(at - world.began).as_secs()));
}
