//! Statuses of Ingresses, against a server that keeps what it is told.

use opentelemetry::global::meter;
use tokio::sync::watch;

use super::*;
use crate::config::AddressSource;
use crate::model::address::{Address, Published};
use crate::presence::Presence;

/// Name, answer's code and body of each write, when it came.
pub(super) type Writes = mpsc::Receiver<(String, serde_json::Value, Instant)>;

/// An API server that answers each of these codes first, and a client of it.
fn api(refusing: &'static [u16]) -> (Client, Writes) {
    let mut refusals = refusing.iter().copied();
    server(move |_| refusals.next(), |_| {})
}

/// An API server, and a client of it. What of a patch's name is told a code is refused by it; any
/// other patch is altered before it is taken in.
pub(super) fn server(
    mut refuse: impl FnMut(&str) -> Option<u16> + Send + 'static,
    alter: fn(&mut serde_json::Value),
) -> (Client, Writes) {
    let (told, writes) = mpsc::channel();
    let mut version = 1_000;
    let service = service_fn(move |request: Request<Body>| {
        let told = told.clone();
        let name = request.uri().path().strip_prefix(INGRESSES);
        let name = name.and_then(|rest| rest.strip_suffix("/status"));
        let name = name.map(str::to_owned);
        let refusal = name.as_deref().and_then(&mut refuse);
        version += 1;
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let Some(name) = name else {
                // An Event.
                return Ok(Response::builder().body(Full::new(body)).unwrap());
            };
            let mut patch: serde_json::Value = serde_json::from_slice(&body).unwrap();
            told.send((name, patch.clone(), Instant::now())).unwrap();
            alter(&mut patch);
            let (code, answer) = match refusal {
                Some(code) => {
                    let status = json!({
                        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                        "message": "told to fail", "reason": "InternalError", "code": code,
                    });
                    (code, status)
                }
                None => {
                    let mut ingress = patch;
                    ingress["metadata"]["resourceVersion"] = version.to_string().into();
                    ingress["metadata"]["managedFields"] = json!([{
                        "manager": "roadstead", "operation": "Apply",
                        "fieldsV1": {"f:status": {"f:loadBalancer": {"f:ingress": {}}}},
                    }]);
                    (200, ingress)
                }
            };
            let answer = serde_json::to_vec(&answer).unwrap();
            let response = Response::builder()
                .status(code)
                .body(Full::new(Bytes::from(answer)));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    (Client::new(service, "default"), writes)
}

pub(super) fn seen(
    name: &str,
    version: u64,
    found: &[&str],
    ours: bool,
    others: Option<&str>,
) -> Sighting {
    Sighting::Is(
        change(name, None, None).key,
        Published {
            uid: format!("uid-{name}").into(),
            resource_version: version,
            addresses: addresses(found).into(),
            ours,
            others: others.map(Into::into),
        },
    )
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(super) fn publishing(given: &[&str]) -> Publishing {
    Publishing {
        whereabouts: Whereabouts {
            source: AddressSource::Given(addresses(given)),
            most: 2,
            presence: watch::Sender::new(Presence::default()).subscribe(),
        },
        writes_per_second: 50,
        take_over: false,
        metrics: StatusMetrics::new(&meter("test")),
    }
}

/// Runs until this many writes came, and for a while longer.
pub(super) async fn run(status: Status, client: Client, publishing: Publishing) {
    // Time is paused: it goes on when there is nothing left to do.
    let _ = tokio::time::timeout(LONG, status.run(Some(client), Some(publishing))).await;
}

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/";
pub(super) const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn each_of_ten_thousand_is_written_once_and_at_the_pace_that_is_set() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    for number in 0..10_000 {
        let name = format!("i{number}");
        teller.tell(change(&name, Some(true), Some(true)));
        see(seen(&name, 1, &[], false, None));
    }
    teller.complete();
    let began = Instant::now();
    run(
        status,
        client,
        publishing(&["192.0.2.1", "lb.example.com", "192.0.2.3"]),
    )
    .await;
    let writes: Vec<_> = writes.try_iter().collect();
    assert_eq!(writes.len(), 10_000);
    let took = writes.last().unwrap().2 - began;
    assert!((190..210).contains(&took.as_secs()), "{took:?}");
    let body = &writes[0].1;
    assert_eq!(
        body["status"]["loadBalancer"]["ingress"],
        json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}])
    );
    assert_eq!(body["metadata"]["uid"], format!("uid-{}", writes[0].0));
}

#[tokio::test(start_paused = true)]
async fn what_is_right_or_anothers_or_not_ours_costs_nothing() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    for name in ["right", "anothers", "older", "gone", "unlisted", "moved"] {
        teller.tell(change(name, None, Some(true)));
    }
    teller.tell(change("moved", Some(true), None));
    see(seen("right", 1, &["192.0.2.1"], true, None));
    see(seen("anothers", 1, &["192.0.2.9"], false, Some("nginx")));
    see(seen("older", 9, &["192.0.2.1"], true, None));
    see(seen("older", 8, &[], false, None));
    see(seen("gone", 1, &[], false, None));
    see(Sighting::Gone(change("gone", None, None).key));
    see(seen("unlisted", 1, &[], false, None));
    see(seen("moved", 1, &["192.0.2.7"], false, Some("nginx")));
    see(seen("stranger", 1, &[], false, None));
    let listed = ["right", "anothers", "older", "moved", "stranger"];
    let listed = listed.map(|name| change(name, None, None).key);
    see(Sighting::All(listed.into()));
    teller.complete();
    run(status, client, publishing(&["192.0.2.1"])).await;
    assert_eq!(writes.try_iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_we_wrote_is_taken_away_when_it_is_not_ours_any_more_and_never_before_that_is_known() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    see(seen("moved", 1, &["192.0.2.1"], true, None));
    see(seen("ours", 1, &["192.0.2.1"], true, None));
    let complete = async {
        tokio::time::sleep(LONG / 2).await;
        teller.tell(change("ours", None, Some(true)));
        teller.complete();
        Instant::now()
    };
    let (completed, ()) = tokio::join!(complete, run(status, client, publishing(&["192.0.2.1"])));
    let writes: Vec<_> = writes.try_iter().collect();
    let [(name, body, at)] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert_eq!((&**name, body.get("status")), ("moved", None));
    assert!(*at >= completed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_tried_again_and_one_that_another_won_is_not() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[503, 403, 409]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    teller.tell(change("a", None, Some(true)));
    see(seen("a", 1, &[], false, None));
    teller.complete();
    run(status, client, publishing(&["192.0.2.1"])).await;
    assert_eq!(writes.try_iter().count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_single_change_does_not_wait_for_all_others() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    for number in 0..2_000 {
        let name = format!("i{number}");
        teller.tell(change(&name, Some(true), Some(true)));
        see(seen(&name, 1, &[], false, None));
    }
    teller.complete();
    let one = async {
        tokio::time::sleep(LONG / 360).await;
        teller.tell(change("new", None, Some(true)));
        see(seen("new", 1, &[], false, None));
        Instant::now()
    };
    let (came, ()) = tokio::join!(one, run(status, client, publishing(&["192.0.2.1"])));
    let writes: Vec<_> = writes.try_iter().collect();
    assert_eq!(writes.len(), 2_001);
    let at = writes.iter().find(|(name, ..)| name == "new").unwrap().2;
    assert!(
        at - came < std::time::Duration::from_secs(1),
        "{:?}",
        at - came
    );
}

#[tokio::test(start_paused = true)]
async fn in_silence_no_status_is_written_and_after_it_all_that_are_not_as_they_should_be() {
    let _alone = ALONE.lock().await;
    let (client, writes) = api(&[]);
    let (teller, status) = Status::new(&BTreeMap::new());
    let see = status.sightings(false);
    teller.silence(true);
    teller.tell(change("served", None, Some(true)));
    see(seen("served", 1, &[], false, None));
    see(seen("moved", 1, &["192.0.2.1"], true, None));
    teller.complete();
    let ending = async {
        tokio::time::sleep(LONG / 2).await;
        teller.silence(false);
        Instant::now()
    };
    let (ended, ()) = tokio::join!(ending, run(status, client, publishing(&["192.0.2.1"])));
    let mut writes: Vec<_> = writes.try_iter().collect();
    writes.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(writes.iter().all(|(.., at)| *at >= ended), "{writes:?}");
    let names: Vec<&str> = writes.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, ["moved", "served"]);
}
