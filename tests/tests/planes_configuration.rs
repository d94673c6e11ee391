//! What people edit: it applies while both planes run, and a mistake touches nothing else.

#![cfg(test)]

use std::{fs, net::SocketAddr};

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    http,
    planes::{
        ControlPlane, HTTP, ONE_LISTENER, Proxy, SOON, answers, metric_is, objects::Site, refuses,
    },
    sandbox, wait,
};
use tokio::net::TcpListener;

const ADMIN: u16 = 8082;

#[test]
fn listeners_open_move_and_close_while_the_proxy_runs() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        site("apple", &backends).save(sandbox)?;
        let control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        for open in [
            &["127.0.0.1:8080"][..],
            &["127.0.0.1:8080", "127.0.0.1:8081"],
            &["127.0.0.1:8081", "127.0.0.2:8080"],
            &["[::1]:8080"],
        ] {
            control.configure(&listeners(open))?;
            for address in PLACES {
                let address: SocketAddr = address.parse()?;
                if open.contains(&address.to_string().as_str()) {
                    answers(address, "apple.example", "/", "apple").await?;
                } else {
                    is_closed(address).await?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_bad_edit_of_the_settings_keeps_the_last_good() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        site("apple", &backends).save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let operator = control.operator()?;
        let version = operator.version().await?;
        for (bad, why) in [
            ("listeners: {http: {port: 8081}", "line "),
            ("listener: {}", "unknown field `listener`"),
            ("listeners: {http: {port: 0}}", "0 is no port"),
        ] {
            control.configure(bad)?;
            let line = control.program().logged(why, SOON).await?;
            assert!(line.contains("the configuration stays as it was"), "{line}");
            answers(HTTP, "apple.example", "/", "apple").await?;
            assert_eq!(operator.version().await?, version, "{bad}");
        }
        control.configure("listeners: {http: {address: 127.0.0.1, port: 8081}}")?;
        answers("127.0.0.1:8081".parse()?, "apple.example", "/", "apple").await?;
        Ok(())
    });
}

#[test]
fn a_taken_port_fails_alone_until_it_is_free() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        site("apple", &backends).save(sandbox)?;
        let address: SocketAddr = "127.0.0.1:8081".parse()?;
        let taken = TcpListener::bind(address).await?;
        let settings = listeners(&["127.0.0.1:8080", "127.0.0.1:8081"]);
        let control = ControlPlane::start(sandbox, &settings).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, "apple.example", "/", "apple").await?;

        let operator = control.operator()?;
        let seen = operator
            .proxy("proxy", "a fault", |proxy| !proxy.faults.is_empty())
            .await?;
        let [fault] = seen.faults.as_slice() else {
            panic!("{seen:?}");
        };
        let resource = fault.resource.clone().context("a resource")?;
        assert_eq!((&*resource.name, &*fault.reason), ("l1", "AddressInUse"));
        assert!(fault.message.contains("127.0.0.1:8081"), "{fault:?}");
        // All else of the version is in use.
        assert_eq!(seen.acknowledged, operator.version().await?);
        let series = "roadstead_resource_faults{reason=\"AddressInUse\"}";
        metric_is(proxy.admin(), series, 1.0).await?;
        let begun = operator.event("FaultBegan", "").await?;
        assert!(
            begun.summary.contains("proxy proxy cannot use"),
            "{begun:?}"
        );

        drop(taken);
        answers(address, "apple.example", "/", "apple").await?;
        operator
            .proxy("proxy", "no fault", |proxy| proxy.faults.is_empty())
            .await?;
        metric_is(proxy.admin(), series, 0.0).await?;
        operator.event("FaultEnded", "").await?;
        Ok(())
    });
}

#[test]
fn an_object_that_an_edit_breaks_serves_on_as_it_was() {
    sandbox::run(async |sandbox| {
        let apple = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let banana = Echo::start("banana", "10.1.0.2:80".parse()?).await?;
        let (apples, bananas) = ([apple.address()], [banana.address()]);
        let (good, other) = (site("apple", &apples), site("banana", &bananas));
        good.save(sandbox)?;
        other.save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let operator = control.operator()?;
        for (from, to, why) in BREAKS {
            let yaml = good.yaml();
            ensure!(yaml.contains(from), "{from:?} is not in\n{yaml}");
            good.replace(sandbox, &yaml.replacen(from, to, 1))?;
            wait::until_ok(why, SOON, async || {
                let event = operator
                    .event("ObjectRefused", "Ingress default/apple@folder")
                    .await?;
                ensure!(event.summary.contains(why), "{}", event.summary);
                Ok(())
            })
            .await?;
            answers(HTTP, "apple.example", "/", "apple").await?;
            // Another's edit is another matter.
            let path = format!("/{why}").replace(' ', "-");
            let path = path.as_str();
            Site { path, ..other }.save(sandbox)?;
            answers(HTTP, "banana.example", path, "banana").await?;
        }

        // So it is after a restart, which reads all files anew.
        control.stop().await?;
        control.start_again().await?;
        let path = "/again";
        Site { path, ..other }.save(sandbox)?;
        answers(HTTP, "banana.example", path, "banana").await?;
        answers(HTTP, "apple.example", "/", "apple").await?;

        let path = "/mended";
        Site { path, ..good }.save(sandbox)?;
        answers(HTTP, "apple.example", path, "apple").await?;
        refuses(HTTP, "apple.example", "/", "no-route").await?;
        Ok(())
    });
}

#[test]
fn who_loses_a_path_has_it_when_the_winner_goes() {
    sandbox::run(async |sandbox| {
        let apple = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let banana = Echo::start("banana", "10.1.0.2:80".parse()?).await?;
        let (apples, bananas) = ([apple.address()], [banana.address()]);
        let host = "shared.example";
        let first = Site {
            host,
            ..site("apple", &apples)
        };
        let second = Site {
            host,
            ..site("banana", &bananas)
        };
        first.save(sandbox)?;
        second.save(sandbox)?;
        let _control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, host, "/", "apple").await?;
        fs::remove_file(first.file(sandbox))?;
        answers(HTTP, host, "/", "banana").await?;
        first.save(sandbox)?;
        answers(HTTP, host, "/", "apple").await?;
        fs::remove_file(second.file(sandbox))?;
        fs::remove_file(first.file(sandbox))?;
        refuses(HTTP, host, "/", "no-route").await?;
        Ok(())
    });
}

/// What an edit makes of a good file, and a word of why it is refused.
const BREAKS: &[(&str, &str, &str)] = &[
    ("pathType: Prefix", "pathType: Prefx", "pathType"),
    ("host: apple.example", "host: apple..example", "host"),
    ("path: /", "path: apple", "path"),
    ("rules:", "rules: [}", "cannot be read"),
];

/// Where listeners stand at some time.
const PLACES: [&str; 4] = [
    "127.0.0.1:8080",
    "127.0.0.1:8081",
    "127.0.0.2:8080",
    "[::1]:8080",
];

/// A site on a host of its own.
fn site<'a>(name: &'a str, backends: &'a [SocketAddr]) -> Site<'a> {
    Site {
        name,
        host: match name {
            "apple" => "apple.example",
            _ => "banana.example",
        },
        path: "/",
        backends,
    }
}

/// Settings with listeners `l0`, `l1`… at these places.
fn listeners(places: &[&str]) -> String {
    let listeners = places.iter().enumerate().map(|(number, place)| {
        let (address, port) = place.rsplit_once(':').unwrap();
        let address = address.trim_matches(['[', ']']);
        format!("l{number}: {{address: \"{address}\", port: {port}}}")
    });
    let listeners: Vec<String> = listeners.collect();
    format!("listeners: {{{}}}", listeners.join(", "))
}

async fn is_closed(address: SocketAddr) -> anyhow::Result<()> {
    wait::until(&format!("{address} is closed"), SOON, async || {
        http::get(address, "localhost", "/")
            .await
            .is_err()
            .then_some(())
    })
    .await
}
