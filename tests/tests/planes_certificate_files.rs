//! Certificates of files that the configuration names: for all namespaces, instead of orders.

#![cfg(test)]

use std::{fs, path::PathBuf};

use anyhow::ensure;
use roadstead_tests::{
    echo::Echo,
    pebble::{Behaviour, Pebble},
    planes::{
        ControlPlane, HTTPS, Proxy, SOON,
        certificates::{Authority, Pair},
        objects::Site,
        obtained::{save, serves, settings},
    },
    sandbox::{self, Sandbox},
    wait,
};

#[test]
fn files_serve_all_namespaces_are_read_again_and_are_ordered_for_only_when_they_are_gone() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let [ours, theirs, ordered] = ["a.apple.example", "b.apple.example", "pear.example"];
        for host in [ours, ordered] {
            save(sandbox, host, echo.address(), ", secretName: nowhere")?;
        }
        let backends = [echo.address()];
        let site = Site {
            name: "theirs",
            host: theirs,
            path: "/",
            backends: &backends,
        };
        // Without a word of TLS.
        let yaml = site.yaml();
        let yaml = yaml.replace("{name: theirs", "{namespace: two, name: theirs");
        let backend = "{namespace: two, name: theirs, port:";
        site.replace(sandbox, &yaml.replace(backend, "{name: theirs, port:"))?;

        let authority = Authority::new()?;
        let first = authority.issue(&["*.apple.example"])?;
        let folder = write(sandbox, &first)?;
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        let without = settings(&pebble, "");
        let with = format!(
            "{}\ncertificates: {{fruit: {{certificateFile: {folder}/tls.crt, \
             keyFile: {folder}/tls.key}}}}",
            without.replace(
                "protocol: https",
                "protocol: https, tls: {defaultCertificate: fruit}"
            ),
            folder = folder.display()
        );
        let mut control = ControlPlane::start(sandbox, &with).await?;
        let _proxy = Proxy::start(sandbox, "proxy", 8082, "").await?;
        let (root, ca) = (authority.root(), pebble.issuing_root().await?);
        for host in [ours, theirs] {
            serves(&root, host).await?;
        }
        // It is the listener's default, too.
        authority.connect(HTTPS, "nobody.apple.example").await?;
        serves(&ca, ordered).await?;
        ensure!(pebble.orders()? == 1, "what a file has was ordered");

        let second = authority.issue(&["*.apple.example"])?;
        write(sandbox, &second)?;
        shows(&authority, ours, &second).await?;
        fs::write(folder.join("tls.key"), &first.key)?;
        let told = "keeps serving object=Secret fruit@configuration";
        let line = control.program().logged(told, SOON).await?;
        ensure!(line.contains("keyFile: is not the key"), "{line}");
        shows(&authority, theirs, &second).await?;

        control.configure(&without)?;
        serves(&ca, ours).await?;
        ensure!(pebble.orders()? == 2, "who wants no certificate gets none");
        let refused = authority.connect(HTTPS, theirs).await;
        ensure!(refused.is_err(), "it is served on");
        Ok(())
    });
}

fn write(sandbox: &Sandbox, pair: &Pair) -> anyhow::Result<PathBuf> {
    sandbox.write("files/tls.key", &pair.key)?;
    sandbox.write("files/tls.crt", &pair.chain)?;
    Ok(sandbox.folder().join("files"))
}

async fn shows(authority: &Authority, host: &str, pair: &Pair) -> anyhow::Result<()> {
    wait::until_ok("the certificate is the new one", SOON, async || {
        let secure = authority.connect(HTTPS, host).await?;
        ensure!(secure.shown == pair.der, "another is shown");
        Ok(())
    })
    .await
}
