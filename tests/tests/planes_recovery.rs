//! The event log of the folder mode is lost while objects are refused: what they last were is
//! served on.

#![cfg(test)]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    operator::Operator,
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, ONE_LISTENER, Proxy, SOON, answers, load::Load,
        metric_is, objects::Site, refuses,
    },
    sandbox::{self, Sandbox},
    wait,
};
use rustix::process::Signal;

const ADMIN: u16 = 8082;

const STORED: &str = "roadstead_recovery_records{origin=\"folder\",state=\"stored\"}";

#[test]
fn what_was_good_before_is_served_on_when_the_log_is_lost() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("echo", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let names = ["edited", "spoilt", "away", "mended", "deleted"];
        let [edited, spoilt, away, mended, deleted] = names.map(|name| site(name, &backends));
        let all = [edited, spoilt, away, mended, deleted];
        for site in all {
            site.save(sandbox)?;
        }
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        for site in all {
            answers(HTTP, site.host, "/", "echo").await?;
        }
        metric_is(CONTROL_ADMIN, STORED, 0.0).await?;

        // Of one the Ingress is bad, of the others nothing can be read: three objects each.
        control.stop().await?;
        away.replace(sandbox, "{")?;
        control.start_again().await?;
        metric_is(CONTROL_ADMIN, STORED, 3.0).await?;
        let bad = edited
            .yaml()
            .replacen("pathType: Prefix", "pathType: Any", 1);
        edited.replace(sandbox, &bad)?;
        for site in [spoilt, mended, deleted] {
            site.replace(sandbox, "{")?;
        }
        metric_is(CONTROL_ADMIN, STORED, 13.0).await?;
        let records = records(sandbox)?;
        assert_eq!(records.len(), 13);
        for record in &records {
            assert_eq!(mode(record)?, 0o600, "{}", record.display());
        }

        let mut load = Load::start(HTTP, edited.host, "/");
        control.kill()?;
        control.lose("log")?;
        Site {
            path: "/new",
            ..mended
        }
        .save(sandbox)?;
        fs::remove_file(deleted.file(sandbox))?;
        control.start_again().await?;
        let operator = control.operator()?;
        is_current(&operator).await?;
        for site in [edited, spoilt, away] {
            answers(HTTP, site.host, "/", "echo").await?;
        }
        answers(HTTP, mended.host, "/new", "echo").await?;
        refuses(HTTP, mended.host, "/", "no-route").await?;
        refuses(HTTP, deleted.host, "/", "no-route").await?;
        load.goes_on(100).await?;
        operator
            .event("ObjectRecovered", "Ingress default/edited@folder")
            .await?;
        let refusal = "use Prefix, Exact or ImplementationSpecific; its last good version keeps \
                       serving";
        control
            .program()
            .logged(refusal, SOON)
            .await
            .context("a refusal")?;
        metric_is(CONTROL_ADMIN, STORED, 7.0).await?;

        // And once more, with nothing but what was recovered.
        control.stop().await?;
        control.lose("log")?;
        control.start_again().await?;
        is_current(&control.operator()?).await?;
        for site in [edited, spoilt, away] {
            answers(HTTP, site.host, "/", "echo").await?;
        }
        for site in [edited, spoilt, away] {
            site.save(sandbox)?;
        }
        metric_is(CONTROL_ADMIN, STORED, 0.0).await?;
        wait::until_ok("no record is left", SOON, async || {
            let left = records_left(sandbox)?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
    });
}

#[test]
fn what_was_good_after_the_log_that_was_put_back_is_served_on() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("echo", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let before = Site {
            path: "/before",
            ..site("edited", &backends)
        };
        before.save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, before.host, "/before", "echo").await?;
        let log = sandbox.folder().join("control-plane/log");
        let copy = sandbox.folder().join("a-copy-of-the-log");
        // As a snapshot of the volume is taken, in the midst of a term.
        control.program().signal(Signal::STOP)?;
        copy_folder(&log, &copy)?;
        control.program().signal(Signal::CONT)?;

        let since = Site {
            path: "/since",
            ..before
        };
        since.save(sandbox)?;
        answers(HTTP, since.host, "/since", "echo").await?;
        before.replace(sandbox, "{")?;
        metric_is(CONTROL_ADMIN, STORED, 3.0).await?;

        control.kill()?;
        control.lose("log")?;
        copy_folder(&copy, &log)?;
        control.start_again().await?;
        is_current(&control.operator()?).await?;
        answers(HTTP, since.host, "/since", "echo").await?;
        refuses(HTTP, since.host, "/before", "no-route").await?;
        metric_is(CONTROL_ADMIN, STORED, 3.0).await
    });
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[test]
fn a_spoilt_record_ends_nothing_and_stays() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("echo", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let site = site("edited", &backends);
        site.save(sandbox)?;
        let spoilt = sandbox.write("control-plane/keys/recovery/last-good-x.json", "{")?;
        let newer = sandbox.write(
            "control-plane/keys/recovery/last-good-y.json",
            "{\"schema\": 999, \"event\": \"of a later release\"}",
        )?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, site.host, "/", "echo").await?;
        for (file, why) in [(&spoilt, "cannot be read"), (&newer, "newer release")] {
            let name = file.file_name().context("a name")?.to_string_lossy();
            let told = format!("{name} is left alone");
            let line = control.program().logged(&told, SOON).await?;
            assert!(line.contains("ERROR") && line.contains(why), "{line}");
            assert!(file.exists());
        }
        Ok(())
    });
}

async fn is_current(operator: &Operator) -> anyhow::Result<()> {
    let current = operator.proxy("proxy", "it holds the version of now", |proxy| {
        proxy.current
    });
    current.await.map(drop)
}

fn records(sandbox: &Sandbox) -> anyhow::Result<Vec<PathBuf>> {
    let folder = sandbox.folder().join("control-plane/keys/recovery");
    assert_eq!(mode(&folder)?, 0o700);
    records_left(sandbox)
}

fn records_left(sandbox: &Sandbox) -> anyhow::Result<Vec<PathBuf>> {
    let folder = sandbox.folder().join("control-plane/keys/recovery");
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// A site on a host of its own.
fn site<'a>(name: &'a str, backends: &'a [SocketAddr]) -> Site<'a> {
    Site {
        name,
        host: match name {
            "edited" => "edited.example",
            "spoilt" => "spoilt.example",
            "away" => "away.example",
            "mended" => "mended.example",
            _ => "deleted.example",
        },
        path: "/",
        backends,
    }
}
