//! Key bytes are nowhere but in their own files (README, invariant 9).
//!
//! What is secret today: the authority's key, the two tokens, what users' Secrets and files hold, the
//! keys of what a CA gives us and of our account there, what session tickets are made by, and what
//! clients send to be let in. All that both planes say, keep or answer is searched for it.

#![cfg(test)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, header::AUTHORIZATION, header::COOKIE};
use roadstead_tests::{
    echo::Echo,
    http::{Connection, Protocol, get, request},
    pebble::{Behaviour, Pebble},
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, Proxy, SOON, answers,
        certificates::{Authority, Pair},
        objects::Site,
        obtained,
    },
    program::built,
    sandbox::{self, Sandbox},
    wait,
};
use rustix::process::Signal;

#[test]
fn no_secret_is_found_in_what_is_logged_shown_stored_or_answered() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("echo", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        let site = Site {
            name: "site",
            host: "site.example",
            path: "/",
            backends: &backends,
        };
        site.save(sandbox)?;
        let pair = Authority::new()?.issue(&[site.host])?;
        let tls = format!(
            "spec:\n  tls: [{{hosts: [{}], secretName: tls}}]\n",
            site.host
        );
        site.replace(sandbox, &site.yaml().replacen("spec:\n", &tls, 1))?;
        // A certificate that is served, a key in the place of a chain, a Secret that is somebody
        // else's, and one that cannot be read.
        sandbox.write("objects/tls.yaml", &pair.secret("tls"))?;
        let swapped = Pair {
            chain: pair.key.clone(),
            key: pair.chain.clone(),
            der: Vec::new(),
        };
        sandbox.write("objects/swapped.yaml", &swapped.secret("swapped"))?;
        // The same in files.
        let of_files = Authority::new()?.issue(&["files.example"])?;
        for (name, chain, key) in [
            ("good", &of_files.chain, &of_files.key),
            ("swapped", &of_files.key, &of_files.chain),
        ] {
            sandbox.write(&format!("files/{name}.crt"), chain)?;
            sandbox.write(&format!("files/{name}.key"), key)?;
        }
        sandbox.write("objects/users.yaml", &secret("auth"))?;
        sandbox.write("objects/broken.yaml", &secret("auth\n  broken: ["))?;
        // One that a CA gives us, and one for which no proxy will answer it.
        let pebble = Pebble::start(sandbox, &Behaviour::default()).await?;
        obtained::save(sandbox, OBTAINED, echo.address(), "")?;
        let settings = obtained::settings(&pebble, "");
        let file = |name: &str| {
            sandbox
                .folder()
                .join("files")
                .join(name)
                .display()
                .to_string()
        };
        let named = |name: &str| {
            let (chain, key) = (file(&format!("{name}.crt")), file(&format!("{name}.key")));
            format!("{name}: {{certificateFile: {chain}, keyFile: {key}}}")
        };
        let certificates = ["good", "swapped"].map(named).join(", ");
        let settings = format!(
            "{settings}\nredirectToHttps: false\nlog: {{level: trace}}\n\
             certificates: {{{certificates}}}"
        );
        let mut control = ControlPlane::start(sandbox, &settings).await?;
        let settings = "log: {level: trace}\naccessLog: json";
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, settings).await?;
        answers(HTTP, site.host, "/", "echo").await?;
        for name in [
            "secret/default/tls@folder",
            "secret//good@configuration",
            "tickets",
        ] {
            operator_has(&control, name).await?;
        }
        obtained::serves(&pebble.issuing_root().await?, OBTAINED).await?;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut client = Connection::open(HTTP, protocol).await?;
            let mut request = request(Method::GET, site.host, "/");
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(CLIENT));
            headers.insert(COOKIE, HeaderValue::from_static(CLIENT));
            client.send(request).await?;
        }
        // What is refused is told in more words.
        site.replace(sandbox, &site.yaml().replace("Prefix", "Any"))?;
        let operator = control.operator()?;
        operator
            .event("ObjectRefused", "Ingress default/site@folder")
            .await?;

        proxy.program().signal(Signal::STOP)?;
        obtained::save(sandbox, PENDING, echo.address(), "")?;
        let waits = format!("Certificate {PENDING}@folder waits for proxies");
        control.program().logged(&waits, SOON).await?;

        let mut said = vec![
            ("snapshot", format!("{:?}", operator.snapshot().await?)),
            ("events", format!("{:?}", operator.events().await?)),
            ("proxies", format!("{:?}", operator.proxies().await?)),
            ("hosts", format!("{:?}", operator.hosts(false).await?)),
        ];
        proxy.program().signal(Signal::CONT)?;
        for (what, admin) in [
            ("control plane's metrics", CONTROL_ADMIN),
            ("proxy's metrics", proxy.admin()),
        ] {
            said.push((what, get(admin, "localhost", "/metrics").await?.text()));
        }
        proxy.stop().await?;
        control.stop().await?;
        said.push(("export", export(sandbox)?));
        for (what, text) in &said {
            ensure!(!text.is_empty(), "{what}: nothing was said");
        }

        let mut said: Vec<(String, Vec<u8>)> = said
            .into_iter()
            .map(|(what, text)| (what.to_owned(), text.into_bytes()))
            .collect();
        let keys = sandbox.folder().join("control-plane/keys");
        for folder in [sandbox.folder(), &sandbox.logs()] {
            for file in files(folder)? {
                let users = ["objects", "files"].map(|name| sandbox.folder().join(name));
                let own =
                    file.starts_with(&keys) || users.iter().any(|users| file.starts_with(users));
                if !own {
                    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
                    said.push((file.display().to_string(), bytes));
                }
            }
        }
        let mut needles = needles(&keys)?;
        for pair in [&pair, &of_files] {
            let line = pair.key.lines().nth(2).context("a line of the key")?;
            needles.push(("a certificate's key".to_owned(), line.as_bytes().to_vec()));
            needles.push(("a certificate's key in DER".to_owned(), pair.secret_der()?));
        }
        // Else a log that moved would be a test that cannot fail.
        for kept in ["control-plane.log", "proxy.log", "/db", "/proxy/"] {
            ensure!(
                said.iter().any(|(what, _)| what.contains(kept)),
                "{kept} is not searched"
            );
        }
        for (what, bytes) in &said {
            for (secret, needle) in &needles {
                let found = bytes.windows(needle.len()).position(|part| part == needle);
                if let Some(at) = found {
                    let around = bytes.get(at.saturating_sub(200)..at).unwrap_or_default();
                    let around = String::from_utf8_lossy(around);
                    anyhow::bail!("{secret} is found in {what}, after {around:?}");
                }
            }
        }
        Ok(())
    });
}

/// Waits until a certificate of this name is served.
async fn operator_has(control: &ControlPlane, name: &str) -> anyhow::Result<()> {
    let operator = control.operator()?;
    wait::until_ok("the certificate is served", SOON, async || {
        let snapshot = format!("{:?}", operator.snapshot().await?);
        ensure!(snapshot.contains(name), "it is not");
        Ok(())
    })
    .await
}

/// What must not be found: each secret under its name.
fn needles(keys: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut needles = vec![
        ("a user's Secret".to_owned(), SECRET.as_bytes().to_vec()),
        ("a client's header".to_owned(), CLIENT.as_bytes().to_vec()),
    ];
    for name in ["operator.token", "proxy.token"] {
        let token = fs::read_to_string(keys.join(name)).context(name)?;
        needles.push((name.to_owned(), token.trim().as_bytes().to_vec()));
    }
    let mut private = 0;
    for file in files(keys)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        // As in JSON.
        let text = text.replace("\\n", "\n");
        for key in text.split("BEGIN PRIVATE KEY").skip(1) {
            // The second line: the first begins alike for all keys of a kind.
            let line = key.lines().nth(2).context("a line of a key")?;
            needles.push((file.display().to_string(), line.as_bytes().to_vec()));
            let pem = format!("-----BEGIN PRIVATE KEY{key}");
            let pair = Pair {
                chain: String::new(),
                key: pem,
                der: Vec::new(),
            };
            needles.push((format!("{}, in DER", file.display()), pair.secret_der()?));
            private += 1;
        }
    }
    for file in files(&keys.join("tickets"))? {
        let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
        let secret = kept["secret"].as_str().context("a secret of tickets")?;
        needles.push(("tickets".to_owned(), secret.as_bytes().to_vec()));
        needles.push(("tickets, decoded".to_owned(), STANDARD.decode(secret)?));
    }
    // The authority's, our account's, and those of a certificate and of an order.
    ensure!(
        private >= 4,
        "{private} private keys are kept in {}",
        keys.display()
    );
    Ok(needles)
}

/// The log as its owner can export it.
fn export(sandbox: &Sandbox) -> anyhow::Result<String> {
    let output = Command::new(built::binary("roadstead-control-plane")?)
        .args(["export", "--config"])
        .arg(sandbox.folder().join("control-plane.yaml"))
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(self::files(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn secret(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: users\nstringData:\n  {name}: {SECRET}\n"
    )
}

const ADMIN: u16 = 8082;
const OBTAINED: &str = "obtained.example";
const PENDING: &str = "pending.example";
const SECRET: &str = "admin:$apr1$canary-of-a-user";
const CLIENT: &str = "canary-of-a-client";
