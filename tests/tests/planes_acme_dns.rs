//! Hosts that a CA finds to be ours by records in the DNS: a real name server that takes updates, and
//! one that follows it.

#![cfg(test)]

use std::fs;

use anyhow::ensure;
use roadstead_proto::v1::CertificateEvent;
use roadstead_tests::{
    bind::{self, Bind},
    echo::Echo,
    pebble::{Behaviour, Pebble},
    planes::{
        ControlPlane, Proxy, SOON,
        obtained::{save, serves, settings},
    },
    sandbox, wait,
};

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
fn a_key_that_the_server_refuses_is_told_and_costs_no_second_order() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.fruit.example", echo.address(), "")?;
        let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
        let pebble = Pebble::start(sandbox, &asks_the_dns()).await?;
        let root = pebble.issuing_root().await?;
        let key = sandbox.write("key", "bm90IHRoZSBrZXk=")?;
        let settings = settings(&pebble, &bind.settings_with("fruit.example", &key));
        let control = ControlPlane::start(sandbox, &settings).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let what = "has another secret or algorithm for the key";
        wait::until_ok("the refusal is told", SOON, async || {
            let told = story(&control, "apple.fruit.example").await?;
            ensure!(told.contains(what), "{told}");
            Ok(())
        })
        .await?;
        // Whenever it is needed it is read anew.
        fs::write(&key, bind::SECRET)?;
        serves(&root, "apple.fruit.example").await?;
        ensure!(pebble.orders()? == 1);
        bind.has_no_texts("_acme-challenge.apple.fruit.example")
            .await?;
        Ok(())
    });
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
const WILDCARD: &str = "*.fruit.example";
const CHALLENGE: &str = "_acme-challenge.fruit.example";
