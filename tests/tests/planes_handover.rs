//! A proxy takes the place of another on the same machine, as in an upgrade. No port is ever closed.

#![cfg(test)]

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    http,
    planes::{ControlPlane, GRPC, HTTP, ONE_LISTENER, SOON, answers, load::Load, objects::Site},
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};

#[test]
fn no_request_fails_while_proxies_take_each_others_place_with_and_without_a_control_plane() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let mut serving = scene.proxy("first", 2).await?;
        answers(HTTP, HOST, "/", "backend").await?;
        let mut load = Load::start(HTTP, HOST, "/");
        load_of(&mut load, &mut serving).await?;
        for (name, threads) in [("second", 1), ("third", 3), ("fourth", 2)] {
            if name == "third" {
                scene.control.kill()?;
            }
            let next = scene.proxy(name, threads).await?;
            load_of(&mut load, &mut serving).await?;
            // Whoever scrapes sees the new one, and the old one no longer.
            ensure!(scraped().await? == name, "{}", scraped().await?);
            serving.program.stop(SOON).await?;
            serving = next;
            load_of(&mut load, &mut serving).await?;
        }
        Ok(())
    });
}

#[test]
fn a_proxy_that_dies_leaves_its_place_to_the_other_and_the_next() {
    sandbox::run(async |sandbox| {
        let scene = Scene::start(sandbox).await?;
        let mut first = scene.proxy("first", 2).await?;
        answers(HTTP, HOST, "/", "backend").await?;
        // One that takes over and is killed: the first has all again, the scraper's port too.
        let mut second = scene.proxy("second", 3).await?;
        second.program.kill()?;
        answered(50).await?;
        wait::until_ok("the first is scraped again", SOON, async || {
            let who = scraped().await?;
            ensure!(who == "first", "{who}");
            Ok(())
        })
        .await?;
        // The next takes over all the same, and then the first is killed.
        let mut third = scene.proxy("third", 1).await?;
        first.program.kill()?;
        answered(50).await?;
        let _fourth = scene.proxy("fourth", 2).await?;
        third.program.stop(SOON).await?;
        answered(50).await
    });
}

/// A control plane with one site.
struct Scene<'a> {
    sandbox: &'a Sandbox,
    control: ControlPlane,
    _backend: Echo,
}

/// One of the proxies that follow each other.
struct Proxy {
    program: Program,
}

impl<'a> Scene<'a> {
    async fn start(sandbox: &'a Sandbox) -> anyhow::Result<Self> {
        let backend = Echo::start("backend", "10.1.0.1:80".parse()?).await?;
        let site = Site {
            name: "site",
            host: HOST,
            path: "/",
            backends: &[backend.address()],
        };
        site.save(sandbox)?;
        let control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        fs::create_dir(sandbox.folder().join("run"))?;
        Ok(Self {
            sandbox,
            control,
            _backend: backend,
        })
    }

    /// Starts a proxy with the same ports, the same folders and a socket for probes of its own,
    /// and waits until it is ready.
    async fn proxy(&self, name: &str, threads: usize) -> anyhow::Result<Proxy> {
        let folder = self.sandbox.folder().display();
        let config = format!(
            "proxy: node/{name}\n\
             controlPlane:\n\
             \x20 addresses: [\"https://{GRPC}\"]\n\
             \x20 caFile: {folder}/control-plane/keys/ca.pem\n\
             \x20 tokenFile: {folder}/control-plane/keys/proxy.token\n\
             stateFolder: {folder}/state\n\
             threads: {threads}\n\
             handoverSocket: {folder}/run/handover.sock\n\
             admin: {{address: \"{ADMIN}\", socket: {folder}/{name}.sock}}\n"
        );
        let file = self.sandbox.write(&format!("{name}.yaml"), &config)?;
        let executable = built::binary("roadstead-data-plane")?;
        let arguments = ["--config".into(), file.into_os_string()];
        let mut program = Program::start(self.sandbox, name, &executable, arguments)?;
        let socket = self.sandbox.folder().join(format!("{name}.sock"));
        program
            .until("it is ready", SOON, async || probe(&executable, &socket))
            .await?;
        Ok(Proxy { program })
    }
}

/// Asks as the kubelet does.
fn probe(executable: &PathBuf, socket: &PathBuf) -> Option<()> {
    let mut probe = Command::new(executable);
    let asked = probe.arg("probe").arg(socket).arg("readyz").output().ok()?;
    asked.status.success().then_some(())
}

async fn load_of(load: &mut Load, proxy: &mut Proxy) -> anyhow::Result<()> {
    load.goes_on(200).await?;
    ensure!(proxy.program.ended()?.is_none(), "it has ended");
    Ok(())
}

/// So many requests, each by a connection of its own.
async fn answered(requests: usize) -> anyhow::Result<()> {
    for number in 0..requests {
        let reply = http::get(HTTP, HOST, "/").await;
        let reply = reply.with_context(|| format!("request {number}"))?;
        ensure!(reply.status.is_success(), "{}", reply.status);
    }
    Ok(())
}

/// The proxy that answers at the admin port.
async fn scraped() -> anyhow::Result<String> {
    let summary = http::get(ADMIN, "admin", "/snapshot").await?.text();
    let summary: serde_json::Value = serde_json::from_str(&summary)?;
    let proxy = summary["proxy"].as_str().unwrap_or_default();
    Ok(proxy.trim_start_matches("node/").to_owned())
}

const HOST: &str = "site.example";
const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8082);
