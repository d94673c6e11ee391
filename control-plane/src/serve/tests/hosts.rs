//! What operators are told of each host.

use roadstead_proto::v1::host_service_client::HostServiceClient;
use roadstead_proto::v1::{Finding, Host, ListHostsRequest, ListHostsResponse};
use tonic::Code;

use crate::event::Event;
use crate::model::ingress::{BackendRef, ClassRef, Ingress, PortRef};
use crate::model::key::Kind;
use crate::model::object::{Age, Meta, Spec};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::serve::Role as Duty;
use crate::serve::tests::world::{Authorized, World, key};
use crate::tokens::Role;

type Client = HostServiceClient<Authorized>;

/// Ingress a has a path that b wants, c sends to nothing and asks for what is not done, d is
/// refused.
async fn four_ingresses() -> (World, Client) {
    let mut world = World::begun().await;
    world.route("a", &["a.example/=web", "shared.example/x=web"]);
    world.route("b", &["shared.example/x=web"]);
    let meta = |name: &str| Meta {
        uid: name.into(),
        resource_version: "1".into(),
        age: Age {
            created: Timestamp(0),
            rank: name.into(),
        },
    };
    let class = ClassRef::Field("roadstead".into());
    let spec = Ingress {
        class: class.clone(),
        default_backend: Some(BackendRef {
            service: "none".into(),
            port: PortRef::Number(80),
        }),
        ignored: vec!["metadata.annotations[nginx.org/x]".into()],
        ..Ingress::default()
    };
    world.record(Event::ObjectAccepted {
        key: key(Kind::Ingress, "c"),
        meta: meta("c"),
        spec: Spec::Ingress(spec),
    });
    let refusal = Refusal::new(Reason::InvalidHost, "spec.rules[0].host", "is bad");
    world.record(Event::ObjectRefused {
        key: key(Kind::Ingress, "d"),
        meta: meta("d"),
        refusal: refusal.of_class(class),
        last_good: None,
    });
    let client = HostServiceClient::new(world.channel(Role::Operator).await);
    (world, client)
}

async fn list(client: &mut Client, request: ListHostsRequest) -> ListHostsResponse {
    client.list_hosts(request).await.unwrap().into_inner()
}

/// As text: `host (owner): claimants`, those in parentheses that have nothing of it.
fn shown(host: &Host) -> String {
    let claimants = host.ingresses.iter().map(|claimant| {
        let name = &claimant.ingress.as_ref().unwrap().name;
        if claimant.served {
            name.clone()
        } else {
            format!("({name})")
        }
    });
    let claimants: Vec<String> = claimants.collect();
    format!("{} ({}): {}", host.host, host.owner, claimants.join(" "))
}

fn told(finding: &Finding) -> String {
    let name = finding.ingress.as_ref().unwrap();
    assert_eq!((&*name.origin, &*name.namespace), ("kubernetes", "default"));
    let Finding {
        field,
        reason,
        message,
        ..
    } = finding;
    format!("{} {reason} {field}: {message}", name.name)
}

#[tokio::test]
async fn each_host_is_told_with_its_claimants_and_what_is_not_served_as_written() {
    let (_world, mut client) = four_ingresses().await;
    let all = list(&mut client, ListHostsRequest::default()).await;
    let hosts: Vec<String> = all.hosts.iter().map(shown).collect();
    assert_eq!(
        hosts,
        [
            " (default): c",
            "a.example (default): a",
            "shared.example (default): a (b)",
        ]
    );
    let findings: Vec<Vec<String>> = all
        .hosts
        .iter()
        .map(|host| host.findings.iter().map(told).collect())
        .collect();
    let any = [
        "c Ignored metadata.annotations[nginx.org/x]: means nothing here; the Ingress is served without it",
        "c ServiceNotFound spec.defaultBackend: there is no Service none; answered with 503",
    ];
    let shared = [
        "b PathTaken spec.rules[0].http.paths[0]: Ingress default/a is older and has \
                   shared.example, prefix /x; this rule takes over when it goes",
    ];
    assert_eq!(findings, [&any[..], &[], &shared]);
    let refused: Vec<String> = all.refused.iter().map(told).collect();
    assert_eq!(
        refused,
        ["d InvalidHost spec.rules[0].host: is bad; nothing of it is served"]
    );
    assert_eq!(all.version.map(|version| version.seq), Some(8));
    assert_eq!(all.next_page_token, "");

    let only = ListHostsRequest {
        only_with_findings: true,
        ..ListHostsRequest::default()
    };
    let only = list(&mut client, only).await;
    let hosts: Vec<&str> = only.hosts.iter().map(|host| &*host.host).collect();
    assert_eq!(hosts, ["", "shared.example"]);
    assert_eq!(only.refused, all.refused);
}

#[tokio::test]
async fn all_pages_are_of_the_moment_of_the_first() {
    let (mut world, mut client) = four_ingresses().await;
    let mut asked = ListHostsRequest {
        page_size: 1,
        ..ListHostsRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = list(&mut client, asked.clone()).await;
        let hosts = page.hosts.iter().map(shown);
        pages.push(
            hosts
                .chain(page.refused.iter().map(told))
                .collect::<Vec<_>>(),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
        world.remove("a");
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1; 4], "{pages:?}");
    assert_eq!(pages[2], ["shared.example (default): a (b)"]);

    let now = list(&mut client, ListHostsRequest::default()).await;
    let hosts: Vec<String> = now.hosts.iter().map(shown).collect();
    assert_eq!(hosts, [" (default): c", "shared.example (default): b"]);

    asked.only_with_findings = true;
    let status = client.list_hosts(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_host_that_half_the_world_claims_fits_into_an_answer() {
    let mut world = World::begun().await;
    for number in 0..1_010 {
        world.route(&format!("i{number:04}"), &["a.example/=web"]);
    }
    let mut client = HostServiceClient::new(world.channel(Role::Operator).await);
    let all = list(&mut client, ListHostsRequest::default()).await;
    let [host] = &all.hosts[..] else {
        panic!("{} hosts", all.hosts.len());
    };
    let named = (host.ingresses.len(), host.findings.len(), host.more);
    assert_eq!(named, (1_000, 1_000, 10 + 9));
}

#[tokio::test]
async fn a_replica_that_follows_tells_the_same() {
    let (world, mut client) = four_ingresses().await;
    let by_leader = list(&mut client, ListHostsRequest::default()).await;
    world.duty.send_replace(Duty::Following { leader: None });
    let by_follower = list(&mut client, ListHostsRequest::default()).await;
    assert_eq!(by_follower, by_leader);
}

#[tokio::test]
async fn before_the_first_version_there_is_nothing_to_tell() {
    let world = World::start().await;
    let mut client = HostServiceClient::new(world.channel(Role::Operator).await);
    let status = client.list_hosts(ListHostsRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}
