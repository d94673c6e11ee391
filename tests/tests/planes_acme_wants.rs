//! When a CA is asked to validate, and when an order is given up: what both depend on changes
//! while the order waits.

#![cfg(test)]

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    pebble::{Behaviour, Pebble},
    planes::{
        ControlPlane, Proxy, SOON,
        certificates::Authority,
        obtained::{remove, save, serves, settings},
    },
    sandbox, wait,
};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};

#[test]
fn nothing_is_validated_before_a_proxy_is_there_and_all_that_are_have_acknowledged() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let [first, second, third] = ["first.example", "second.example", "third.example"];
        save(sandbox, first, echo.address(), "")?;
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let mut control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let operator = control.operator()?;
        let log = control.program();
        log.logged("waits for a proxy to connect", SOON).await?;
        ensure!(!pebble.has_asked(first)?);
        let _proxy = Proxy::start(sandbox, "proxy", 8082, "").await?;
        let root = pebble.issuing_root().await?;
        serves(&root, first).await?;

        // It cannot have the same ports, but is asked like any other.
        let mut frozen = Proxy::begin(sandbox, "frozen", 8083, "")?;
        for host in [second, third] {
            let is_current = |proxy: &roadstead_proto::v1::Proxy| proxy.current;
            operator
                .proxy("frozen", "it has acknowledged", is_current)
                .await?;
            frozen.program().signal(Signal::STOP)?;
            save(sandbox, host, echo.address(), "")?;
            let waits = format!("Certificate {host}@folder waits for proxies");
            let line = log.logged(&waits, SOON).await?;
            ensure!(line.contains("frozen"), "{line}");
            operator
                .proxy("proxy", "it has acknowledged", is_current)
                .await?;
            ensure!(!pebble.has_asked(host)?);
            if host == second {
                frozen.program().signal(Signal::CONT)?;
            } else {
                frozen.program().kill()?;
            }
            serves(&root, host).await?;
        }
        ensure!(pebble.orders()? == 3);
        Ok(())
    });
}

#[test]
fn an_order_is_not_gone_on_with_that_nobody_wants_or_a_secret_has_what_it_is_for() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let [gone, brought, stays] = ["gone.example", "brought.example", "stays.example"];
        for (host, secret) in [(gone, ""), (brought, ", secretName: tls"), (stays, "")] {
            save(sandbox, host, echo.address(), secret)?;
        }
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        for host in [gone, brought, stays] {
            step(&control, host, |json| json.contains(r#""proving""#)).await?;
        }
        remove(sandbox, gone)?;
        let authority = Authority::new()?;
        let pair = authority.issue(&[brought])?;
        sandbox.write("objects/tls.yaml", &pair.secret("tls"))?;
        let operator = control.operator()?;
        operator
            .event("ObjectDeleted", "Ingress default/gone-example@folder")
            .await?;
        operator
            .event("ObjectAccepted", "Secret default/tls@folder")
            .await?;
        let _proxy = Proxy::start(sandbox, "proxy", 8082, "").await?;
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes())?;
        let secure = serves(&root, brought).await?;
        ensure!(secure.shown == pair.der);
        // The proxies answer for all alike.
        serves(&pebble.issuing_root().await?, stays).await?;
        ensure!(pebble.has_asked(stays)?);
        ensure!(!pebble.has_asked(gone)? && !pebble.has_asked(brought)?);
        ensure!(pebble.orders()? == 3);
        Ok(())
    });
}

/// Waits until this holds of what the log tells last of a host's certificate.
async fn step(
    control: &ControlPlane,
    host: &str,
    holds: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let object = format!("Certificate {host}@folder");
    let operator = control.operator()?;
    wait::until_ok(&format!("the next step of {object}"), SOON, async || {
        let events = operator.events().await?;
        let last = events.iter().rfind(|event| event.object == object);
        let json = &last.context("nothing is told")?.json;
        ensure!(holds(json), "{json}");
        Ok(())
    })
    .await
}
