//! What breaks: the control plane, its folder, its disk. Traffic goes on.

#![cfg(test)]

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context, ensure};
use roadstead_proto::v1::Version;
use roadstead_tests::{
    echo::Echo,
    http,
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, ONE_LISTENER, Proxy, SOON, answers, load::Load,
        metric_is, objects::Site, refuses,
    },
    program::{Program, built},
    sandbox::{self, Sandbox},
    small_disk::SmallDisk,
    wait,
};

const ADMIN: u16 = 8082;

#[test]
fn no_request_fails_while_the_control_plane_is_away_and_when_it_is_back() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let site = site("apple", &backends);
        site.save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, site.host, "/", "apple").await?;
        let mut load = Load::start(HTTP, site.host, "/");
        load.goes_on(100).await?;
        let begun = control.operator()?.version().await?;
        let begun = begun.context("a version")?;

        // It comes back with its log, and then without: by the keys alone the epoch rises.
        for (loses, path) in [("", "/with-log"), ("log", "/without-log")] {
            control.kill()?;
            metric_is(proxy.admin(), "roadstead_control_plane_connected", 0.0).await?;
            load.goes_on(100).await?;
            if !loses.is_empty() {
                control.lose(loses)?;
            }
            let edited = Site {
                name: "more",
                path,
                ..site
            };
            edited.save(sandbox)?;
            control.start_again().await?;
            let operator = control.operator()?;
            operator
                .proxy("proxy", "it holds the version of now", |proxy| {
                    proxy.current
                })
                .await?;
            answers(HTTP, site.host, path, "apple").await?;
            load.goes_on(100).await?;
        }
        let now = control.operator()?.version().await?;
        let now = now.context("a version")?;
        assert_eq!(now.lineage, begun.lineage);
        assert_eq!(now.epoch, begun.epoch + 2);
        metric_is(proxy.admin(), "roadstead_version_epoch", now.epoch as f64).await?;
        Ok(())
    });
}

#[test]
fn a_proxy_serves_what_it_kept_with_no_control_plane_anywhere() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let site = site("apple", &backends);
        site.save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, site.host, "/", "apple").await?;
        control.kill()?;

        // It is asked to end, and then it is not.
        assert_eq!(proxy.stop().await?.code(), Some(0));
        proxy.start_again().await?;
        answers(HTTP, site.host, "/", "apple").await?;
        refuses(HTTP, "banana.example", "/", "no-route").await?;
        proxy.program().kill()?;
        proxy.start_again().await?;
        answers(HTTP, site.host, "/", "apple").await?;
        Ok(())
    });
}

#[test]
fn a_new_lineage_is_for_who_holds_nothing_or_was_told_to_accept_it() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let site = site("apple", &backends);
        site.save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let mut holds = Proxy::start(sandbox, "holds", ADMIN, "").await?;
        answers(HTTP, site.host, "/", "apple").await?;
        let old = control.operator()?.version().await?.context("a version")?;
        let mut load = Load::start(HTTP, site.host, "/");

        control.stop().await?;
        control.lose("")?;
        fs::remove_file(site.file(sandbox))?;
        let elsewhere = Site {
            name: "other",
            host: "other.example",
            ..site
        };
        elsewhere.save(sandbox)?;
        control.configure("listeners: {http: {address: 127.0.0.1, port: 8081}}")?;
        control.start_again().await?;
        let new = control.operator()?.version().await?.context("a version")?;
        ensure!(new.lineage != old.lineage, "{new:?}");

        let line = holds.program().logged("transfer refused", SOON).await?;
        for word in ["OtherLineage", &*old.lineage, &*new.lineage] {
            assert!(line.contains(word), "{line}");
        }
        wait::until_ok("the control plane counts it", SOON, async || {
            let nacks = roadstead_tests::planes::metric(CONTROL_ADMIN, "roadstead_nacks_total");
            ensure!(nacks.await?.context("no nacks")? >= 1.0);
            Ok(())
        })
        .await?;
        load.goes_on(100).await?;

        let mut empty = Proxy::start(sandbox, "empty", 8083, "").await?;
        let other: SocketAddr = "127.0.0.1:8081".parse()?;
        answers(other, elsewhere.host, "/", "apple").await?;
        answers(HTTP, site.host, "/", "apple").await?;
        load.goes_on(100).await?;
        drop(load);

        // What the refusal advises. Two proxies of one machine cannot have the same port.
        empty.stop().await?;
        let config = sandbox.folder().join("holds.yaml");
        let settings = fs::read_to_string(&config)?;
        let accepting = format!("{settings}acceptLineage: {}\n", new.lineage);
        sandbox.write("holds.yaml", &accepting)?;
        let operator = control.operator()?;
        operator
            .proxy("holds", "it holds the version of now", |proxy| {
                proxy.current
            })
            .await?;
        answers(other, elsewhere.host, "/", "apple").await?;
        refuses(other, site.host, "/", "no-route").await?;
        // It is held now, and nothing that was accepted is needed any more.
        sandbox.write("holds.yaml", &settings)?;
        holds.stop().await?;
        holds.start_again().await?;
        answers(other, elsewhere.host, "/", "apple").await?;
        Ok(())
    });
}

#[test]
fn a_full_disk_freezes_the_configuration_and_not_the_endpoints() {
    sandbox::run(async |sandbox| {
        let apple = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let banana = Echo::start("banana", "10.1.0.2:80".parse()?).await?;
        let (apples, bananas) = ([apple.address()], [banana.address()]);
        let pods = site("apple", &apples);
        let Served {
            mut control,
            disk,
            proxy: _proxy,
            durable,
            mut load,
        } = served_from_a_small_disk(sandbox, pods).await?;
        let operator = control.operator()?;
        metric_is(CONTROL_ADMIN, "roadstead_log_writable", 1.0).await?;

        let filler = disk.fill()?;
        // More than what the log has reserved.
        let many = site("many", &apples);
        many.replace(sandbox, &many.yaml_with_many_paths())?;
        metric_is(CONTROL_ADMIN, "roadstead_log_writable", 0.0).await?;
        wait::until_ok("it is not ready, and says why", SOON, async || {
            let ready = http::get(CONTROL_ADMIN, "localhost", "/readyz").await?;
            let text = ready.text();
            ensure!(ready.status == 503, "{text}");
            ensure!(text.contains("the event log cannot be written"), "{text}");
            Ok(())
        })
        .await?;
        let line = control.program().logged("stands still", SOON).await?;
        assert!(line.contains("ERROR"), "{line}");

        // A route waits; Pods roll.
        let path = "/later";
        let later = Site {
            name: "later",
            path,
            ..pods
        };
        later.save(sandbox)?;
        let backends = &bananas;
        Site { backends, ..pods }.save(sandbox)?;
        answers(HTTP, pods.host, "/", "banana").await?;
        answers(HTTP, pods.host, path, "banana").await?;
        assert_eq!(operator.version().await?, durable);
        load.goes_on(100).await?;

        // What the log has reserved is enough to start with, as often as may be.
        for (backends, who) in [(&apples, "apple"), (&bananas, "banana")].repeat(3) {
            control.kill()?;
            control.program().start_again()?;
            metric_is(CONTROL_ADMIN, "roadstead_log_writable", 0.0).await?;
            Site { backends, ..pods }.save(sandbox)?;
            answers(HTTP, pods.host, "/", who).await?;
            refuses(HTTP, many.host, "/0/", "no-route").await?;
        }
        load.goes_on(100).await?;

        fs::remove_file(&filler)?;
        let seen = answers(HTTP, pods.host, path, "apple").await?;
        assert_eq!(seen.path, path);
        let path = format!("/0/{}", "x".repeat(300));
        answers(HTTP, many.host, &path, "apple").await?;
        metric_is(CONTROL_ADMIN, "roadstead_log_writable", 1.0).await?;
        operator.event("LogInterrupted", "").await?;
        control
            .program()
            .logged("can be written again", SOON)
            .await?;
        load.goes_on(100).await?;
        Ok(())
    });
}

#[test]
fn a_start_on_a_disk_without_room_for_records_serves_what_is_durable_until_there_is() {
    sandbox::run(async |sandbox| {
        let apple = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let banana = Echo::start("banana", "10.1.0.2:80".parse()?).await?;
        let (apples, bananas) = ([apple.address()], [banana.address()]);
        let pods = site("apple", &apples);
        let Served {
            mut control,
            disk,
            proxy,
            durable,
            mut load,
        } = served_from_a_small_disk(sandbox, pods).await?;

        control.kill()?;
        disk.trim()?;
        let filler = disk.fill()?;
        // sled cannot open its store without any room at all: it ends what it recovered.
        let filled = File::options().write(true).open(&filler)?;
        filled.set_len(filled.metadata()?.len() - (6 << 20))?;
        drop(filled);
        let path = "/later";
        let later = Site {
            name: "later",
            path,
            ..pods
        };
        later.save(sandbox)?;
        control.program().start_again()?;
        metric_is(CONTROL_ADMIN, "roadstead_log_writable", 0.0).await?;
        metric_is(proxy.admin(), "roadstead_control_plane_connected", 1.0).await?;
        assert_eq!(control.operator()?.version().await?, durable);
        let backends = &bananas;
        Site { backends, ..pods }.save(sandbox)?;
        answers(HTTP, pods.host, "/", "banana").await?;
        answers(HTTP, pods.host, path, "banana").await?;
        load.goes_on(100).await?;

        fs::remove_file(&filler)?;
        let seen = answers(HTTP, pods.host, path, "apple").await?;
        assert_eq!(seen.path, path);
        metric_is(CONTROL_ADMIN, "roadstead_log_writable", 1.0).await?;
        load.goes_on(100).await?;
        Ok(())
    });
}

/// A site that is served and asked for, by a control plane whose disk is small.
struct Served {
    control: ControlPlane,
    disk: SmallDisk,
    proxy: Proxy,
    /// What is served.
    durable: Option<Version>,
    load: Load,
}

async fn served_from_a_small_disk(sandbox: &Sandbox, site: Site<'_>) -> anyhow::Result<Served> {
    site.save(sandbox)?;
    let (control, disk) = on_a_small_disk(sandbox).await?;
    let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
    answers(HTTP, site.host, "/", "apple").await?;
    let durable = control.operator()?.version().await?;
    Ok(Served {
        control,
        disk,
        proxy,
        durable,
        load: Load::start(HTTP, site.host, "/"),
    })
}

/// A control plane whose event log lies on a disk of its own, which stays when it ends.
async fn on_a_small_disk(sandbox: &Sandbox) -> anyhow::Result<(ControlPlane, SmallDisk)> {
    let folder = sandbox.folder().join("control-plane/log");
    let disk = SmallDisk::mount(sandbox, "disk", &folder, 48).await?;
    let executable = built::binary("roadstead-control-plane")?;
    let control = ControlPlane::start_by(sandbox, ONE_LISTENER, |config| {
        let [enter, namespace] = disk.seen_by();
        let arguments = [
            namespace,
            executable.into_os_string(),
            "--config".into(),
            config.as_os_str().to_owned(),
        ];
        Program::start(sandbox, "control-plane", Path::new(&enter), arguments)
    })
    .await?;
    Ok((control, disk))
}

/// A site on a host of its own.
fn site<'a>(name: &'a str, backends: &'a [SocketAddr]) -> Site<'a> {
    Site {
        name,
        host: match name {
            "apple" => "apple.example",
            _ => "many.example",
        },
        path: "/",
        backends,
    }
}
