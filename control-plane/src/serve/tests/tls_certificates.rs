//! What operators are told of each certificate.

use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::tls_certificate::Source;
use roadstead_proto::v1::tls_certificate_service_client::TlsCertificateServiceClient;
use roadstead_proto::v1::{
    AcmeSource, GetCertificateRequest, GetCertificateResponse, KeyType as WireKeyType,
    ListCertificatesRequest, ListCertificatesResponse, TlsCertificate,
};
use tonic::Code;

use crate::event::Event;
use crate::model::bundle::BundleName;
use crate::model::certificate::{Certificate, KeyType};
use crate::model::ingress::{ClassRef, Ingress, Tls};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::{
    Challenge, ChallengeType, Issued, Managed, Order, Progress, Proof, Renewal, Step, Trouble,
    Window,
};
use crate::model::object::{Age, Meta, Spec};
use crate::model::refusal::{Reason, Refusal};
use crate::model::settings::Obtains;
use crate::model::time::Timestamp;
use crate::serve::Role as Duty;
use crate::serve::tests::world::{Authorized, World, key};
use crate::serve::wire::timestamp;
use crate::tokens::Role;

type Client = TlsCertificateServiceClient<Authorized>;

const CA: &str = "https://ca.example/directory";
const ISSUED: Timestamp = Timestamp(1_700_000_000_000);
const EXPIRES: Timestamp = Timestamp(1_707_776_000_000);
const RENEWED: Timestamp = Timestamp(1_705_000_000_000);

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn certificate(names: &[&str]) -> Certificate {
    Certificate {
        bundle: BundleName::of(b"bundle"),
        names: names.iter().copied().map(host).collect(),
        key_type: KeyType::Ecdsa,
        not_before: ISSUED,
        not_after: EXPIRES,
        issuer: "CN=ca".into(),
        serial: "0a".into(),
    }
}

fn meta(name: &str) -> Meta {
    Meta {
        uid: name.into(),
        resource_version: "1".into(),
        age: Age {
            created: Timestamp(0),
            rank: name.into(),
        },
    }
}

fn accept(world: &mut World, key: ObjectKey, spec: Spec) {
    let meta = meta(&key.name);
    world.record(Event::ObjectAccepted { key, meta, spec });
}

/// An Ingress that wants certificates for these hosts, each by the Secret of that name if it has one.
fn want(world: &mut World, name: &str, hosts: &[(&str, &str)]) {
    let tls = hosts.iter().map(|(name, secret)| Tls {
        hosts: vec![host(name)],
        secret: (!secret.is_empty()).then(|| (*secret).into()),
    });
    let spec = Ingress {
        class: ClassRef::Field("roadstead".into()),
        tls: tls.collect(),
        ..Ingress::default()
    };
    accept(world, key(Kind::Ingress, name), Spec::Ingress(spec));
}

fn of_secret(world: &mut World, name: &str, names: &[&str]) {
    let spec = Spec::Certificate(certificate(names));
    accept(world, key(Kind::Secret, name), spec);
}

/// What we obtain for a host comes so far.
fn obtain(world: &mut World, name: &str, change: impl FnOnce(&mut Managed)) {
    let key = ObjectKey {
        name: name.into(),
        ..ObjectKey::before_all(Origin::Kubernetes, Kind::Certificate)
    };
    let known = world.state().managed(&key).cloned();
    let mut managed = known.unwrap_or_else(|| Managed::new(vec![host(name)]));
    change(&mut managed);
    accept(world, key, Spec::Managed(Box::new(managed)));
}

fn order(step: Step) -> Option<Order> {
    Some(Order {
        way: None,
        ca: CA.into(),
        begun: ISSUED,
        step,
        not_before: Timestamp::default(),
    })
}

fn issued(name: &str) -> Option<Issued> {
    Some(Issued {
        way: None,
        certificate: certificate(&[name]),
        ca: CA.into(),
        id: "".into(),
        revoked: None,
        renewal: Renewal {
            at: RENEWED,
            window: Some(Window {
                start: RENEWED.later(-1000),
                end: RENEWED.later(1000),
            }),
            ask: ISSUED,
        },
    })
}

/// The settings permit that certificates are obtained. Ingress i wants those of a.example, which a
/// Secret has, of b.example, which is obtained, and of c.example, which has come to nothing.
async fn three_certificates() -> (World, Client) {
    let mut world = World::begun().await;
    let mut settings = world.state().settings().unwrap().clone();
    settings.obtains = Some(Obtains::default());
    world.record(Event::Configured { settings });
    let wants = [("a.example", "s"), ("b.example", ""), ("c.example", "")];
    want(&mut world, "i", &wants);
    of_secret(&mut world, "s", &["a.example", "z.example"]);
    obtain(&mut world, "b.example", |_| {});
    obtain(&mut world, "b.example", |b| b.order = order(Step::Intended));
    obtain(&mut world, "c.example", |c| {
        c.trouble = Some(Trouble {
            late: false,
            way: None,
            asked: None,
            failures: 2,
            message: "no answer".into(),
            not_before: RENEWED,
        });
    });
    obtain(&mut world, "b.example", |b| {
        let challenge = Challenge {
            challenge_type: ChallengeType::Http01,
            host: "b.example".into(),
            token: "token".into(),
            key_authorization: "token.thumbprint".into(),
        };
        let url = || "order".into();
        let proofs = vec![Proof {
            url: url(),
            progress: Progress::Open(challenge),
        }];
        b.order = order(Step::Proving { url: url(), proofs });
    });
    obtain(&mut world, "b.example", |b| {
        b.order = None;
        b.issued = issued("b.example");
    });
    let client = TlsCertificateServiceClient::new(world.channel(Role::Operator).await);
    (world, client)
}

async fn list(client: &mut Client, request: ListCertificatesRequest) -> ListCertificatesResponse {
    client
        .list_certificates(request)
        .await
        .unwrap()
        .into_inner()
}

async fn get(client: &mut Client, request: GetCertificateRequest) -> GetCertificateResponse {
    client.get_certificate(request).await.unwrap().into_inner()
}

fn named(name: &str) -> GetCertificateRequest {
    GetCertificateRequest {
        name: name.to_owned(),
        ..GetCertificateRequest::default()
    }
}

async fn obtained(client: &mut Client, name: &str) -> AcmeSource {
    let found = get(client, named(name)).await.certificate.unwrap();
    let Some(Source::Obtained(obtained)) = found.source else {
        panic!("{found:?}");
    };
    obtained
}

/// As text: `name [DNS names] for hosts, by Ingresses`.
fn shown(found: &TlsCertificate) -> String {
    let wanted_by: Vec<&str> = found.wanted_by.iter().map(|name| &*name.name).collect();
    format!(
        "{} [{}] for {}, by {}",
        found.name,
        found.dns_names.join(" "),
        found.shown_for.join(" "),
        wanted_by.join(" ")
    )
}

#[tokio::test]
async fn each_certificate_is_told_with_its_hosts_and_who_wants_it() {
    let (_world, mut client) = three_certificates().await;
    let all = list(&mut client, ListCertificatesRequest::default()).await;
    let certificates: Vec<String> = all.certificates.iter().map(shown).collect();
    assert_eq!(
        certificates,
        [
            "certificate//b.example [b.example] for b.example, by i",
            "certificate//c.example [c.example] for , by i",
            "secret/default/s [a.example z.example] for a.example, by i",
        ]
    );
    let facts = all.certificates.iter().map(|found| found.facts.as_ref());
    let facts: Vec<bool> = facts.map(|facts| facts.is_some()).collect();
    assert_eq!(facts, [true, false, true]);
    let facts = all.certificates[0].facts.as_ref().unwrap();
    assert_eq!(
        (&*facts.issuer, &*facts.serial, facts.key_type()),
        ("CN=ca", "0a", WireKeyType::Ecdsa)
    );
    assert_eq!(
        [facts.not_before, facts.not_after],
        [ISSUED, EXPIRES].map(|time| Some(timestamp(time)))
    );
    assert_eq!(all.version.map(|version| version.seq), Some(10));
    assert_eq!(all.next_page_token, "");
}

#[tokio::test]
async fn of_one_that_is_obtained_it_is_told_how_far_that_has_come() {
    let (mut world, mut client) = three_certificates().await;
    let b = obtained(&mut client, "certificate//b.example").await;
    let of = |time| Some(timestamp(time));
    assert_eq!(b.ca, CA);
    assert_eq!(
        b.progress,
        "issued until 2024-02-12T22:13:20.000Z, to be renewed from 2024-01-11T19:06:40.000Z"
    );
    assert_eq!((b.order_begun, b.failures, b.next_attempt), (None, 0, None));
    assert_eq!(b.renewal, of(RENEWED));
    assert_eq!(b.window_start, of(RENEWED.later(-1000)));
    assert_eq!(b.window_end, of(RENEWED.later(1000)));

    let c = obtained(&mut client, "certificate//c.example").await;
    assert_eq!((&*c.ca, &*c.message, c.failures), ("", "no answer", 2));
    assert_eq!((c.next_attempt, c.renewal), (of(RENEWED), None));

    obtain(&mut world, "c.example", |c| c.order = order(Step::Intended));
    let c = obtained(&mut client, "certificate//c.example").await;
    assert_eq!((&*c.ca, &*c.progress), (CA, "an order is being placed"));
    assert_eq!((c.order_begun, c.failures), (of(ISSUED), 2));
    assert_eq!(c.next_attempt, None);
}

#[tokio::test]
async fn a_secret_that_was_refused_is_told_with_what_is_shown_of_it() {
    let (mut world, mut client) = three_certificates().await;
    world.record(Event::ObjectRefused {
        key: key(Kind::Secret, "s"),
        meta: meta("s"),
        refusal: Refusal::new(Reason::InvalidCertificate, "data[tls.crt]", "is bad"),
        last_good: None,
    });
    let answer = get(&mut client, named("secret/default/s")).await;
    let found = answer.certificate.unwrap();
    assert_eq!(found.shown_for, ["a.example"]);
    let Some(Source::Secret(secret)) = found.source else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&*secret.origin, &*secret.namespace, &*secret.name),
        ("kubernetes", "default", "s")
    );
    assert_eq!(secret.refusal, "data[tls.crt]: is bad");
}

#[tokio::test]
async fn the_log_tells_how_a_certificate_came_to_be_the_newest_first() {
    let (mut world, mut client) = three_certificates().await;
    let mut asked = GetCertificateRequest {
        page_size: 3,
        ..named("certificate//b.example")
    };
    let first = get(&mut client, asked.clone()).await;
    // What comes meanwhile is of another moment.
    obtain(&mut world, "b.example", |b| b.order = order(Step::Intended));
    asked.page_token.clone_from(&first.next_page_token);
    let second = get(&mut client, asked.clone()).await;
    assert_eq!(second.next_page_token, "");
    assert_eq!(second.certificate, first.certificate);
    let events = first.events.iter().chain(&second.events);
    let told: Vec<String> = events
        .map(|event| {
            let version = event.version.as_ref().unwrap().seq;
            format!("{} of {version}: {}", event.seq, event.text)
        })
        .collect();
    let of = |text: &str| text.replace('~', "Certificate b.example:");
    assert_eq!(
        told,
        [
            of(
                "10 of 10: ~ issued until 2024-02-12T22:13:20.000Z, to be renewed from \
                 2024-01-11T19:06:40.000Z"
            ),
            of("9 of 9: ~ proxies are told the CA's challenges"),
            of("7 of 7: ~ an order is being placed"),
            of("6 of 5: ~ wanted"),
        ]
    );
    assert!(first.events.iter().all(|event| event.time.is_some()));

    asked.name = "certificate//c.example".to_owned();
    let status = client.get_certificate(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_not_found() {
    let (_world, mut client) = three_certificates().await;
    // The last one is longer than what a status may say.
    let long = "x".repeat(32 * 1024);
    for name in ["", "secret/default/none", "b.example", "\n", &long] {
        let status = client.get_certificate(named(name)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{name}");
        let says = status.message();
        assert!(says.contains("ListCertificates has them"), "{says}");
    }
}

#[tokio::test]
async fn all_pages_of_the_list_are_of_the_moment_of_the_first() {
    let (mut world, mut client) = three_certificates().await;
    let mut asked = ListCertificatesRequest {
        page_size: 1,
        ..ListCertificatesRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = list(&mut client, asked.clone()).await;
        pages.push(page.certificates.iter().map(shown).collect::<Vec<_>>());
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
        // With it goes all that refers to the Secret.
        world.remove("i");
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1; 3], "{pages:?}");
    assert!(pages[2][0].ends_with("for a.example, by i"), "{pages:?}");

    let now = list(&mut client, ListCertificatesRequest::default()).await;
    let certificates: Vec<String> = now.certificates.iter().map(shown).collect();
    assert_eq!(
        certificates,
        [
            "certificate//b.example [b.example] for , by ",
            "certificate//c.example [c.example] for , by ",
        ]
    );
}

#[tokio::test]
async fn one_that_half_the_world_names_fits_into_an_answer() {
    let mut world = World::begun().await;
    for number in 0..1_010 {
        let name = format!("{number:04}");
        want(&mut world, &name, &[(&format!("{name}.example"), "s")]);
    }
    let names: Vec<String> = (0..1_010).map(|n| format!("{n:04}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    of_secret(&mut world, "s", &names);
    let mut client = TlsCertificateServiceClient::new(world.channel(Role::Operator).await);
    let found = get(&mut client, named("secret/default/s")).await;
    let found = found.certificate.unwrap();
    let sizes = [&found.dns_names, &found.shown_for].map(Vec::len);
    assert_eq!((sizes, found.wanted_by.len()), ([1_000; 2], 1_000));
    assert_eq!(found.more, 3 * 10);
}

#[tokio::test]
async fn a_replica_that_follows_tells_the_same_and_not_what_a_ca_is_answered() {
    let (world, mut client) = three_certificates().await;
    let by_leader = get(&mut client, named("certificate//b.example")).await;
    world.duty.send_replace(Duty::Following { leader: None });
    let by_follower = get(&mut client, named("certificate//b.example")).await;
    assert_eq!(by_follower, by_leader);
    let said = format!("{by_leader:?}");
    assert!(!said.contains("thumbprint"), "{said}");
}

#[tokio::test]
async fn before_the_first_version_there_is_no_certificate_to_tell_of() {
    let world = World::start().await;
    let mut client = TlsCertificateServiceClient::new(world.channel(Role::Operator).await);
    let status = client.list_certificates(ListCertificatesRequest::default());
    assert_eq!(status.await.unwrap_err().code(), Code::Unavailable);
    let status = client.get_certificate(named("secret/default/s")).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}
