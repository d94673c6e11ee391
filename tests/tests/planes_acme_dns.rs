//! Hosts that a CA finds to be ours by records in the DNS: a real name server that takes updates, and
//! one that follows it.

#![cfg(test)]

#[path = "planes_acme_dns/cloudflare.rs"]
mod cloudflare;
#[path = "planes_acme_dns/route53.rs"]
mod route53;

use std::fs;

use anyhow::ensure;
use http::StatusCode;
use roadstead_proto::v1::CertificateEvent;
use roadstead_tests::{
    bind::{self, Bind},
    dns_api::{self, Asked, DnsApi},
    echo::Echo,
    pebble::{Behaviour, Pebble},
    planes::{
        ControlPlane, Proxy, SOON,
        obtained::{save, serves, settings},
    },
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::json;

#[test]
fn a_wildcard_is_proved_at_all_servers_of_its_zone_and_serves_the_hosts_below_it() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("fruit", "10.1.0.1:80".parse()?).await?;
        for host in [WILDCARD, "fruit.example", "apple.fruit.example"] {
            save(sandbox, host, echo.address(), "")?;
        }
        let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
        let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
        let root = pebble.issuing_root().await?;
        let settings = settings(&pebble, &bind.settings("fruit.example"));
        let mut control = ControlPlane::start(sandbox, &settings).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        // Both records have one name.
        let apex = serves(&root, "fruit.example").await?;
        let pear = serves(&root, "pear.fruit.example").await?;
        let apple = serves(&root, "apple.fruit.example").await?;
        ensure!(apple.shown == pear.shown && apple.shown != apex.shown);
        ensure!(pebble.orders()? == 2);

        bind.has_no_texts(CHALLENGE).await?;
        let told = story(&control, WILDCARD).await?;
        for step in [
            "it is found out where _acme-challenge.fruit.example belongs",
            "the DNS is told the CA's challenge, _acme-challenge.fruit.example",
            "the servers of fruit.example are to show the CA's challenge",
            "ns2.fruit.example. has no such record",
            "the CA validates",
            "issued until",
        ] {
            ensure!(told.contains(step), "{step} is not told: {told}");
        }
        // Its file alone has the key.
        ensure!(!told.contains(bind::SECRET));
        control.stop().await?;
        for log in fs::read_dir(sandbox.logs())? {
            let log = fs::read_to_string(log?.path())?;
            ensure!(!log.contains(bind::SECRET), "{log}");
        }
        Ok(())
    });
}

#[test]
fn a_record_is_added_where_cnames_lead() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.fruit.example", echo.address(), "")?;
        let zones = [
            (
                "fruit.example",
                "_acme-challenge.apple CNAME via.acme.test.",
            ),
            ("acme.test", "via CNAME apple.acme.test."),
        ];
        let bind = Bind::start(sandbox, &zones).await?;
        let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
        let root = pebble.issuing_root().await?;
        let settings = settings(&pebble, &bind.settings("fruit.example"));
        let control = ControlPlane::start(sandbox, &settings).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        serves(&root, "apple.fruit.example").await?;
        let told = story(&control, "apple.fruit.example").await?;
        let place = "the servers of acme.test are to show the CA's challenge, apple.acme.test";
        ensure!(told.contains(place), "{told}");
        bind.has_no_texts("apple.acme.test").await?;
        Ok(())
    });
}

#[test]
fn a_cname_that_a_wildcard_of_the_zone_brings_leads_nowhere() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, HOST, echo.address(), "")?;
        let zones = [
            ("fruit.example", "* CNAME lb.cloud.test."),
            ("cloud.test", "lb A 127.0.0.1"),
        ];
        let bind = Bind::start(sandbox, &zones).await?;
        let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
        let root = pebble.issuing_root().await?;
        let settings = settings(&pebble, &bind.settings("fruit.example"));
        let control = ControlPlane::start(sandbox, &settings).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        serves(&root, HOST).await?;
        let told = story(&control, HOST).await?;
        let place = "the DNS is told the CA's challenge, _acme-challenge.apple.fruit.example";
        ensure!(told.contains(place), "{told}");
        Ok(())
    });
}

#[test]
fn a_key_that_the_server_refuses_is_told_and_costs_no_second_order() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.fruit.example", echo.address(), "")?;
        let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
        let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
        let root = pebble.issuing_root().await?;
        let key = sandbox.write("key", "bm90IHRoZSBrZXk=")?;
        let settings = settings(&pebble, &bind::settings("fruit.example", &key));
        let mut control = ControlPlane::start(sandbox, &settings).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let what = "has another secret or algorithm for the key";
        wait::until_ok("the refusal is told", SOON, async || {
            let told = story(&control, "apple.fruit.example").await?;
            ensure!(told.contains(what), "{told}");
            Ok(())
        })
        .await?;
        let to_its_owner = "reason=\"CertificateHindered\"";
        let log = control.program().log()?;
        let lines = log.lines().filter(|line| line.contains(what));
        ensure!(
            lines.filter(|line| line.contains(to_its_owner)).count() == 1,
            "{log}"
        );
        // Whenever it is needed it is read anew.
        fs::write(&key, bind::SECRET)?;
        serves(&root, "apple.fruit.example").await?;
        ensure!(pebble.orders()? == 1);
        bind.has_no_texts("_acme-challenge.apple.fruit.example")
            .await?;
        Ok(())
    });
}

#[test]
fn a_webhook_is_told_what_is_added_and_what_is_removed() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, HOST, echo.address(), "")?;
        let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
        let api = DnsApi::start(sandbox, |asked| {
            let text = |of: &str| asked.body[of].as_str().unwrap_or_default().to_owned();
            let (name, value) = (text("fqdn"), text("value"));
            let line = match &*asked.path {
                "/hook/present" => format!("add {name} 60 TXT {value}"),
                _ => format!("delete {name} TXT {value}"),
            };
            match bind::update(&line) {
                Ok(()) => (StatusCode::OK, String::new()),
                Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
            }
        })
        .await?;
        let authorization = sandbox.write("authorization", "Basic Y2FuYXJ5\n")?;
        let hook = format!(
            "webhook: {{url: {}/hook/, roots: {}, authorizationFile: {}}}",
            dns_api::URL,
            api.roots().display(),
            authorization.display()
        );
        Box::pin(is_obtained_by(sandbox, &bind, &hook)).await?;
        let asked = api.asked();
        let value = asked[0].body["value"].clone();
        ensure!(value.as_str().is_some_and(|text| text.len() == 43));
        let expected = ["/hook/present", "/hook/cleanup"].map(|path| Asked {
            method: "POST".to_owned(),
            path: path.to_owned(),
            authorization: "Basic Y2FuYXJ5".to_owned(),
            body: json!({"fqdn": format!("_acme-challenge.{HOST}."), "value": value}),
        });
        assert_eq!(asked, expected);
        Ok(())
    });
}

/// A host is given a certificate after this provider was told, and then nothing is left there.
async fn is_obtained_by(sandbox: &Sandbox, bind: &Bind, provider: &str) -> anyhow::Result<()> {
    let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
    let root = pebble.issuing_root().await?;
    let resolver = bind::PRIMARY;
    let dns01 = format!(
        ", dns01: {{resolvers: [{resolver}], zones: [{{hosts: [fruit.example], {provider}}}]}}"
    );
    let _control = ControlPlane::start(sandbox, &settings(&pebble, &dns01)).await?;
    let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
    serves(&root, HOST).await?;
    ensure!(pebble.orders()? == 1);
    bind.has_no_texts(&format!("_acme-challenge.{HOST}")).await
}

/// A CA that can ask by no other way.
fn asks_the_dns() -> Behaviour {
    Behaviour {
        http_port: 9,
        tls_port: 9,
        dns: (bind::PRIMARY, 53).into(),
        ..Behaviour::default()
    }
}

/// How a host's certificate came to be, as it is told.
async fn story(control: &ControlPlane, host: &str) -> anyhow::Result<String> {
    let name = format!("certificate//{host}@folder");
    let answer = control.operator()?.certificate(&name).await?;
    let texts = answer
        .events
        .iter()
        .map(|event: &CertificateEvent| &*event.text);
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

const ADMIN: u16 = 8082;
const HOST: &str = "apple.fruit.example";
const WILDCARD: &str = "*.fruit.example";
const CHALLENGE: &str = "_acme-challenge.fruit.example";
