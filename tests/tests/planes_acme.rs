//! Certificates that nobody brings: obtained from a CA through both planes, and kept.

#![cfg(test)]

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use roadstead_proto::v1::{LoggedEvent, RevocationReason};
use roadstead_tests::{
    echo::Echo,
    http::get,
    pebble::{Behaviour, Pebble},
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, HTTPS, Proxy, SOON, answers,
        certificates::connect,
        metric, metric_is,
        obtained::{save, serves, settings},
    },
    sandbox, wait,
};

#[test]
fn a_host_that_has_no_certificate_is_given_one_and_losing_the_log_costs_no_order() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        for host in ["apple.example", "pear.example"] {
            save(sandbox, host, echo.address(), "")?;
        }
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let mut control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let root = pebble.issuing_root().await?;
        let apple = serves(&root, "apple.example").await?;
        let pear = serves(&root, "pear.example").await?;
        ensure!(apple.shown != pear.shown);
        ensure!(pebble.orders()? == 2);
        let issued = r#"roadstead_acme_certificates{state="issued"}"#;
        metric_is(CONTROL_ADMIN, issued, 2.0).await?;
        let placed = r#"roadstead_acme_calls_total{call="place",outcome="ok"}"#;
        metric_is(CONTROL_ADMIN, placed, 2.0).await?;
        for host in ["apple.example", "pear.example"] {
            is_told_as_it_came_to_be(&control, host).await?;
        }

        control.stop().await?;
        control.lose("log")?;
        control.start_again().await?;
        let again = serves(&root, "apple.example").await?;
        ensure!(again.shown == apple.shown);
        // Nobody but us writes them: what is told is what was kept.
        let told = control.operator()?.events().await?;
        let of_certificates = told
            .iter()
            .filter(|event| event.object.contains("Certificate"));
        ensure!(of_certificates.count() == 2, "{told:?}");
        ensure!(pebble.orders()? == 2);
        Ok(())
    });
}

#[test]
fn who_comes_before_the_certificate_is_served_by_http_and_kept_waiting_by_https() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let root = pebble.issuing_root().await?;
        let control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        save(sandbox, "apple.example", echo.address(), "")?;
        answers(HTTP, "apple.example", "/", "apple").await?;
        let ordered = r#"roadstead_acme_certificates{state="ordered"}"#;
        metric_is(CONTROL_ADMIN, ordered, 1.0).await?;
        let name = "certificate//apple.example@folder";
        wait::until_ok("proxies are told the challenges", SOON, async || {
            let told = control.operator()?.certificate(name).await?;
            let mut texts = told.events.iter().map(|event| &event.text);
            ensure!(
                texts.any(|text| text.contains("an order was placed")),
                "{told:?}"
            );
            Ok(())
        })
        .await?;
        // Once, and at once: there is none to show yet.
        let shown = metric(proxy.admin(), r#"roadstead_resources{kind="certificate"}"#).await?;
        ensure!(shown.is_none_or(|shown| shown == 0.0), "{shown:?}");
        connect(&root, HTTPS, "apple.example").await?;
        let reply = get(HTTP, "apple.example", "/").await?;
        ensure!(reply.status == 308, "{reply:?}");
        Ok(())
    });
}

#[test]
fn fifty_hosts_are_given_theirs_beside_some_that_cannot_be() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let hosts: Vec<String> = (0..50).map(|n| format!("host-{n}.example")).collect();
        let (astray, refused) = ("astray.example", "a.refused.example");
        for host in hosts.iter().map(String::as_str).chain([astray, refused]) {
            save(sandbox, host, echo.address(), "")?;
        }
        let behaviour = Behaviour {
            bad_nonces: 30,
            refused: vec!["refused.example".to_owned()],
            ..Behaviour::default()
        };
        let pebble = Pebble::start(sandbox, &behaviour).await?;
        // Nobody listens there.
        pebble
            .resolve(astray, &[Ipv4Addr::new(127, 0, 0, 9)])
            .await?;
        let control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let root = pebble.issuing_root().await?;
        for host in &hosts {
            serves(&root, host).await?;
        }
        for (host, why) in [(astray, "127.0.0.9"), (refused, "refused.example")] {
            let what = format!("what is wrong with {host} is told");
            let told = wait::until_ok(&what, SOON, async || {
                let steps = steps(&control, host).await?;
                let last = steps.last().context("nothing is told")?;
                ensure!(last.json.contains(r#""trouble""#), "{steps:?}");
                Ok(last.json.clone())
            })
            .await?;
            // It was tried once, and waits.
            ensure!(told.contains(r#""failures":1,"#), "{told}");
            ensure!(told.contains(why), "{told}");
        }
        ensure!(pebble.orders()? == hosts.len() + 1);
        Ok(())
    });
}

#[test]
fn a_host_is_proved_in_a_handshake_where_the_ca_cannot_ask_by_http() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.example", echo.address(), "")?;
        let closed = Behaviour {
            http_port: 9,
            ..Behaviour::default()
        };
        let pebble = Pebble::start(sandbox, &closed).await?;
        let settings = settings(&pebble, ", challenges: [tls-alpn-01]");
        let _control = ControlPlane::start(sandbox, &settings).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let root = pebble.issuing_root().await?;
        serves(&root, "apple.example").await?;
        ensure!(pebble.orders()? == 1);
        let answered = r#"roadstead_tls_handshakes_total{result="challenge"}"#;
        let answered = metric(proxy.admin(), answered).await?;
        ensure!(answered.is_some_and(|count| count >= 1.0));
        Ok(())
    });
}

#[test]
fn an_operator_has_a_certificate_renewed_or_revoked_and_a_new_one_is_shown() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.example", echo.address(), "")?;
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let root = pebble.issuing_root().await?;
        let first = serves(&root, "apple.example").await?.shown;
        let operator = control.operator()?;
        let name = "certificate//apple.example@folder";
        let serial = async || {
            let told = operator.certificate(name).await?;
            let facts = told.certificate.and_then(|certificate| certificate.facts);
            facts.map(|facts| facts.serial).context("facts")
        };
        let becomes_another = async |than: &[u8]| {
            wait::until_ok("another certificate is shown", SOON, async || {
                let shown = Box::pin(serves(&root, "apple.example")).await?.shown;
                ensure!(shown != than, "it is the same");
                Ok(shown)
            })
            .await
        };

        operator.renew(name, "the auditors want it").await?;
        let second = becomes_another(&first).await?;
        let of_second = serial().await?;
        assert_eq!(pebble.status(&of_second).await?.0, "Valid");
        let told = operator.certificate(name).await?;
        let said = "to be renewed now, says an operator";
        ensure!(
            told.events.iter().any(|event| event.text.contains(said)),
            "{told:?}"
        );

        let because = RevocationReason::KeyCompromise;
        let why = "a laptop was stolen";
        operator.revoke((name, &of_second), why, because).await?;
        becomes_another(&second).await?;
        assert_eq!(
            pebble.status(&of_second).await?,
            ("Revoked".to_owned(), Some(1))
        );
        ensure!(serial().await? != of_second);
        ensure!(pebble.orders()? == 3);
        // Once more would be another's turn.
        let again = operator.revoke((name, &of_second), why, because).await;
        assert_eq!(again.unwrap_err().code(), tonic::Code::FailedPrecondition);

        let unknown = operator
            .renew("certificate//pear.example@folder", "why")
            .await;
        assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
        Ok(())
    });
}

#[test]
fn an_account_is_bound_to_one_that_somebody_has_at_the_ca() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.example", echo.address(), "")?;
        let behaviour = Behaviour {
            bad_nonces: 30,
            external_accounts: [("kid-1".to_owned(), EXTERNAL_KEY.to_owned())].into(),
            ..Behaviour::default()
        };
        let pebble = Pebble::start(sandbox, &behaviour).await?;
        let root = pebble.issuing_root().await?;
        let mut control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        control
            .program()
            .logged("set acme.externalAccount", SOON)
            .await?;
        control.stop().await?;

        let key = sandbox.write("external-key", EXTERNAL_KEY)?;
        let external = format!(
            ", externalAccount: {{keyId: kid-1, keyFile: {}}}",
            key.display()
        );
        let mut bound = ControlPlane::start(sandbox, &settings(&pebble, &external)).await?;
        serves(&root, "apple.example").await?;
        ensure!(pebble.orders()? == 1);
        let log = bound.program().log()?;
        ensure!(!log.contains(EXTERNAL_KEY), "{log}");
        Ok(())
    });
}

#[test]
fn a_ca_that_comes_late_is_waited_for() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, "apple.example", echo.address(), "")?;
        let mut pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        pebble.program.kill()?;
        let mut control = ControlPlane::start(sandbox, &settings(&pebble, "")).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let waits = "no certificate can be asked for";
        control.program().logged(waits, SOON).await?;
        pebble.program.start_again()?;
        let root = wait::until_ok("Pebble", SOON, async || pebble.issuing_root().await).await?;
        serves(&root, "apple.example").await?;
        ensure!(pebble.orders()? == 1);
        Ok(())
    });
}

/// The list of certificates has that of a host, which is shown for it, and tells how it came to be.
async fn is_told_as_it_came_to_be(control: &ControlPlane, host: &str) -> anyhow::Result<()> {
    let name = format!("certificate//{host}@folder");
    let mut all = control.operator()?.certificates().await?;
    ensure!(all.len() == 2, "{all:?}");
    all.retain(|found| found.name == name && found.shown_for == [host]);
    ensure!(all.len() == 1 && all[0].facts.is_some(), "{all:?}");
    let answer = control.operator()?.certificate(&name).await?;
    ensure!(answer.next_page_token.is_empty());
    let mut told = answer.events.iter().rev().map(|event| event.text.as_str());
    // A CA that is quick is not seen issuing.
    for step in [
        "an order is being placed",
        "an order was placed",
        "proxies are told the CA's challenges",
        "the CA validates",
        "the CA has validated",
        "the certificate is being fetched",
        "issued until",
    ] {
        let next = told.find(|text| text.contains(step));
        ensure!(next.is_some(), "{step} is not told in its turn: {answer:?}");
    }
    Ok(())
}

/// What the log tells of a host's certificate.
async fn steps(control: &ControlPlane, host: &str) -> anyhow::Result<Vec<LoggedEvent>> {
    let object = format!("Certificate {host}@folder");
    let mut events = control.operator()?.events().await?;
    events.retain(|event| event.object == object);
    Ok(events)
}

const ADMIN: u16 = 8082;
/// As a CA gives one, of 32 bytes.
const EXTERNAL_KEY: &str = "Y2FuYXJ5LW9mLWFuLWV4dGVybmFsLWFjY291bnQtIT8";
