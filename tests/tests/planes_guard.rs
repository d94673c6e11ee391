//! A folder that is emptied, or not mounted, takes no site down before somebody says that it may.

#![cfg(test)]

use std::fs;

use anyhow::ensure;
use roadstead_tests::{
    echo::Echo,
    http,
    operator::Operator,
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, ONE_LISTENER, Proxy, SOON, answers, objects::Site,
        refuses,
    },
    sandbox::{self, Sandbox},
    wait,
};
use std::net::SocketAddr;

#[test]
fn an_emptied_folder_is_served_until_it_is_confirmed() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("echo", "10.1.0.1:80".parse()?).await?;
        let names: Vec<String> = (0..SITES).map(|number| format!("s{number:02}")).collect();
        for name in &names {
            save(sandbox, name, echo.address())?;
        }
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let _proxy = Proxy::start(sandbox, "proxy", 8082, "").await?;
        let operator = control.operator()?;
        let version = operator.version().await?;

        // All of it in one step, as where another folder is mounted over it.
        let objects = sandbox.folder().join("objects");
        let aside = sandbox.folder().join("aside");
        fs::rename(&objects, &aside)?;
        fs::create_dir(&objects)?;
        let held = held(&operator, &["EndpointSlice", "Ingress", "Service"]).await?;
        let ingresses = &held[1];
        assert_eq!(
            (&*ingresses.origin, ingresses.missing),
            ("folder", Some(SITES))
        );
        assert_eq!((ingresses.routes, ingresses.of_routes), (SITES, SITES));
        for name in &names {
            answers(HTTP, &host(name), "/", "echo").await?;
        }
        assert_eq!(operator.version().await?, version);
        let ready = http::get(CONTROL_ADMIN, "localhost", "/readyz").await?;
        assert!(ready.status.is_success());
        let banner = format!(
            "(hold {}): 12 objects of kind Ingress (folder)",
            ingresses.id
        );
        assert!(ready.text().contains(&banner), "{}", ready.text());

        // A restart finds the same, and is no confirmation.
        control.stop().await?;
        control.start_again().await?;
        assert_eq!(
            self::held(&operator, &["EndpointSlice", "Ingress", "Service"]).await?,
            held
        );
        answers(HTTP, &host("s00"), "/", "echo").await?;

        // Some are put back, which says nothing of the others.
        for name in &names[..6] {
            let file = format!("{name}.yaml");
            fs::rename(aside.join(&file), objects.join(&file))?;
        }
        wait::until_ok("six are still missing", SOON, async || {
            let holds = operator.holds().await?;
            let missing: Vec<_> = holds.iter().map(|hold| hold.missing).collect();
            ensure!(missing == [Some(6); 3], "{holds:?}");
            Ok(())
        })
        .await?;
        answers(HTTP, &host("s11"), "/", "echo").await?;

        let id = ingresses.id.clone();
        let keys = format!("{ONE_LISTENER}\ndeletionGuard: {{confirm: ['{id}']}}");
        control.configure(&keys)?;
        refuses(HTTP, &host("s11"), "/", "no-route").await?;
        answers(HTTP, &host("s00"), "/", "echo").await?;
        let confirmed = operator.event("DeletionConfirmed", "").await?;
        assert!(
            confirmed.summary.contains("by the configuration"),
            "{confirmed:?}"
        );
        let rest = self::held(&operator, &["EndpointSlice", "Service"]).await?;
        operator.confirm(&rest).await?;
        assert_eq!(operator.holds().await?, []);
        Ok(())
    });
}

/// Waits until objects of these kinds are held, and returns their holds.
async fn held(
    operator: &Operator,
    kinds: &[&str],
) -> anyhow::Result<Vec<roadstead_proto::v1::Hold>> {
    wait::until_ok("what vanished is held", SOON, async || {
        let mut holds = operator.holds().await?;
        holds.sort_by(|a, b| a.kind.cmp(&b.kind));
        let found: Vec<&str> = holds.iter().map(|hold| &*hold.kind).collect();
        ensure!(
            found == kinds && holds.iter().all(|hold| hold.missing.is_some()),
            "{holds:?}"
        );
        Ok(holds)
    })
    .await
}

fn save(sandbox: &Sandbox, name: &str, backend: SocketAddr) -> anyhow::Result<()> {
    let (host, backends) = (&host(name), &[backend]);
    let path = "/";
    Site {
        name,
        host,
        path,
        backends,
    }
    .save(sandbox)
}

fn host(name: &str) -> String {
    format!("{name}.example")
}

const SITES: u32 = 12;
