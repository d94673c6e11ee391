//! HTTPS through both planes: certificates of Secrets, asked for by real clients.

#![cfg(test)]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
};

use anyhow::{Context, bail, ensure};
use http::Method;
use http_body_util::BodyExt;
use roadstead_tests::{
    echo::{Echo, Seen},
    http::{Reply, get, request},
    planes::{
        ControlPlane, HTTP, HTTPS, Proxy, SOON, TWO_LISTENERS, answers,
        certificates::{Authority, Secure},
        objects::Site,
    },
    sandbox::{self, Sandbox},
    wait,
};
use tokio::process::Command;

const ADMIN: u16 = 8082;

#[test]
fn curl_and_openssl_accept_what_a_secret_holds_and_are_refused_for_other_names() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let authority = Authority::new()?;
        let roots = authority.save(sandbox)?;
        let secret = authority.issue(&["apple.example"])?.secret("apple");
        site(sandbox, "apple.example", echo.address(), &secret)?;
        let _control = ControlPlane::start(sandbox, TWO_LISTENERS).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        serves(&authority, "apple.example").await?;

        for options in [
            &["--http1.1", "--tlsv1.3"][..],
            &["--http2", "--tlsv1.3"],
            &["--http2", "--tls-max", "1.2"],
        ] {
            let answer = curl(&roots, "apple.example", HTTPS, options).await?;
            ensure!(answer.status.success(), "{options:?}: {answer:?}");
            let seen: Seen = serde_json::from_slice(&answer.stdout)?;
            for (header, value) in [
                ("x-forwarded-proto", "https"),
                ("x-forwarded-port", "8081"),
                ("x-forwarded-for", "127.0.0.1"),
            ] {
                assert_eq!(seen.header(header), value, "{options:?} {header}");
            }
        }
        let shown = openssl(&roots, "apple.example", &[]).await?;
        let text = String::from_utf8_lossy(&shown.stdout);
        ensure!(text.contains("Verify return code: 0 (ok)"), "{text}");
        ensure!(text.contains("ALPN protocol: h2"), "{text}");
        // RFC 6066, section 3: the alert unrecognized_name.
        let refused = openssl(&roots, "pear.example", &[]).await?;
        let text = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            !refused.status.success() && text.contains("unrecognized name"),
            "{text}"
        );
        Ok(())
    });
}

#[test]
fn http_is_served_until_there_is_a_certificate_and_then_sent_to_https_unless_the_ingress_says_no() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let authority = Authority::new()?;
        let roots = authority.save(sandbox)?;
        let secret = authority.issue(&["apple.example"])?.secret("apple");
        site(sandbox, "apple.example", echo.address(), "")?;
        let control = ControlPlane::start(sandbox, TWO_LISTENERS).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, "apple.example", "/", "apple").await?;

        save(sandbox, &secret)?;
        let location = "https://apple.example:8081/a?b";
        redirects("apple.example", "/a?b", location).await?;
        // Who follows it arrives.
        let answer = curl(&roots, "apple.example", HTTP, &["--location"]).await?;
        ensure!(answer.status.success(), "{answer:?}");
        let seen: Seen = serde_json::from_slice(&answer.stdout)?;
        assert_eq!(seen.header("x-forwarded-proto"), "https");

        let no = "roadstead.dev/redirect-to-https: \"false\"";
        ingress(sandbox, "apple.example", echo.address(), no)?;
        answers(HTTP, "apple.example", "/", "apple").await?;
        ingress(sandbox, "apple.example", echo.address(), "")?;
        redirects("apple.example", "/a?b", location).await?;
        let port = TWO_LISTENERS.replace("port: 8081,", "port: 8081, publicPort: 443,");
        control.configure(&port)?;
        redirects("apple.example", "/", "https://apple.example/").await?;
        control.configure(&format!("{TWO_LISTENERS}\nredirectToHttps: false"))?;
        answers(HTTP, "apple.example", "/", "apple").await?;
        Ok(())
    });
}

#[test]
fn a_new_certificate_cuts_no_connection_and_a_broken_one_keeps_the_last_good() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let authority = Authority::new()?;
        let [first, second] = [
            authority.issue(&["apple.example"])?,
            authority.issue(&["apple.example"])?,
        ];
        site(
            sandbox,
            "apple.example",
            echo.address(),
            &first.secret("apple"),
        )?;
        let control = ControlPlane::start(sandbox, TWO_LISTENERS).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        let mut kept = serves(&authority, "apple.example").await?;
        ensure!(kept.shown == first.der);

        save(sandbox, &second.secret("apple"))?;
        shows(&authority, "apple.example", &second.der).await?;
        let seen = ask(&mut kept, "apple.example").await?;
        assert_eq!(seen.who, "apple");

        // The key of the first is not that of the second.
        save(
            sandbox,
            &second
                .secret("apple")
                .replace(&key_line(&second.key)?, &key_line(&first.key)?),
        )?;
        let refused = control
            .operator()?
            .event("ObjectRefused", "Secret default/apple@folder")
            .await?;
        ensure!(format!("{refused:?}").contains("tls.key"), "{refused:?}");
        shows(&authority, "apple.example", &second.der).await?;

        // Without a Secret the route is served on, by HTTP.
        save(sandbox, "")?;
        let what = "HTTPS is refused";
        wait::until_ok(what, SOON, async || {
            match authority.connect(HTTPS, "apple.example").await {
                Ok(_) => bail!("it is served"),
                Err(_) => Ok(()),
            }
        })
        .await?;
        // Nor is anybody sent there.
        answers(HTTP, "apple.example", "/", "apple").await?;
        save(sandbox, &first.secret("apple"))?;
        shows(&authority, "apple.example", &first.der).await?;
        Ok(())
    });
}

#[test]
fn what_a_listener_says_of_encryption_holds_for_real_clients_at_once() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let authority = Authority::new()?;
        let roots = authority.save(sandbox)?;
        let pair = authority.issue(&["apple.example", "pear.example"])?;
        site(
            sandbox,
            "apple.example",
            echo.address(),
            &pair.secret("apple"),
        )?;
        let mut control = ControlPlane::start(sandbox, TWO_LISTENERS).await?;
        let _proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        serves(&authority, "apple.example").await?;
        let old = &["--tls-max", "1.2"];
        let answer = curl(&roots, "apple.example", HTTPS, old).await?;
        ensure!(answer.status.success(), "{answer:?}");

        let policy = "tls: {minimumVersion: TLSv1.3, cipherSuites: [TLS_AES_256_GCM_SHA384], \
                      defaultCertificate: default/apple}";
        let listeners =
            TWO_LISTENERS.replace("protocol: https", &format!("protocol: https, {policy}"));
        let missing = TWO_LISTENERS.replace(
            "protocol: https",
            "protocol: https, tls: {defaultCertificate: default/apples}",
        );
        control.configure(&missing)?;
        let told = "listeners.https.tls.defaultCertificate: there is no certificate";
        control.program().logged(told, SOON).await?;

        control.configure(&listeners)?;
        // No Ingress wants a certificate for this host.
        wait::until_ok("the default certificate is shown", SOON, async || {
            authority.connect(HTTPS, "pear.example").await.map(drop)
        })
        .await?;
        let shown = openssl(&roots, "apple.example", &[]).await?;
        let text = String::from_utf8_lossy(&shown.stdout);
        ensure!(
            text.contains("TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"),
            "{text}"
        );
        let answer = curl(&roots, "apple.example", HTTPS, old).await?;
        let said = String::from_utf8_lossy(&answer.stderr);
        ensure!(
            !answer.status.success() && said.contains("protocol version"),
            "{said}"
        );
        Ok(())
    });
}

#[test]
fn a_proxy_that_starts_without_a_control_plane_serves_https_and_resumes_by_what_it_kept() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let authority = Authority::new()?;
        let pair = authority.issue(&["*.apple.example"])?;
        site(
            sandbox,
            "a.apple.example",
            echo.address(),
            &pair.secret("apple"),
        )?;
        let mut control = ControlPlane::start(sandbox, TWO_LISTENERS).await?;
        // Memory, which every Linux has there.
        let keys = tempfile::tempdir_in("/dev/shm")?;
        let settings = format!("keysFolder: {}", keys.path().join("keys").display());
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, &settings).await?;
        serves(&authority, "a.apple.example").await?;
        let operator = control.operator()?;
        wait::until_ok("there is a secret of tickets", SOON, async || {
            let snapshot = operator.snapshot().await?;
            ensure!(!snapshot.names("ticket secrets").is_empty());
            Ok(())
        })
        .await?;
        operator
            .proxy("proxy", "it has all", |proxy| proxy.current)
            .await?;
        let roots = authority.save(sandbox)?;
        let session = sandbox.folder().join("session").display().to_string();
        let begun = ["-tls1_2", "-sess_out", &session];
        let begun = openssl(&roots, "a.apple.example", &begun).await?;
        let said = String::from_utf8_lossy(&begun.stdout);
        ensure!(said.contains("New, TLSv1.2"), "{said}");
        control.stop().await?;
        proxy.stop().await?;
        proxy.start_again().await?;
        shows(&authority, "a.apple.example", &pair.der).await?;
        let resumed = ["-tls1_2", "-sess_in", &session];
        let resumed = openssl(&roots, "a.apple.example", &resumed).await?;
        let said = String::from_utf8_lossy(&resumed.stdout);
        ensure!(said.contains("Reused, TLSv1.2"), "{said}");
        Ok(())
    });
}

/// Writes a site that wants HTTPS, and the Secret beside it.
fn site(sandbox: &Sandbox, host: &str, backend: SocketAddr, secret: &str) -> anyhow::Result<()> {
    ingress(sandbox, host, backend, "")?;
    save(sandbox, secret)
}

fn ingress(
    sandbox: &Sandbox,
    host: &str,
    backend: SocketAddr,
    annotations: &str,
) -> anyhow::Result<()> {
    let backends = [backend];
    let site = Site {
        name: "apple",
        host,
        path: "/",
        backends: &backends,
    };
    let tls = format!("spec:\n  tls: [{{hosts: [{host}], secretName: apple}}]\n");
    let annotated = format!("{{name: apple, annotations: {{{annotations}}}}}");
    let yaml = site.yaml().replacen("spec:\n", &tls, 1);
    site.replace(sandbox, &yaml.replacen("{name: apple}", &annotated, 1))
}

fn save(sandbox: &Sandbox, secret: &str) -> anyhow::Result<()> {
    let draft = sandbox.write("objects/.secret.draft", secret)?;
    Ok(std::fs::rename(
        draft,
        sandbox.folder().join("objects/secret.yaml"),
    )?)
}

/// The line of a key by which it differs from others.
fn key_line(pem: &str) -> anyhow::Result<String> {
    Ok(pem
        .lines()
        .nth(2)
        .context("a second line of the key")?
        .to_owned())
}

/// Waits until HTTPS is served for a host.
async fn serves(authority: &Authority, host: &str) -> anyhow::Result<Secure> {
    let what = format!("HTTPS is served for {host}");
    wait::until_ok(&what, SOON, async || {
        let mut secure = authority.connect(HTTPS, host).await?;
        ask(&mut secure, host).await?;
        Ok(secure)
    })
    .await
}

/// Waits until new connections are shown this certificate.
async fn shows(authority: &Authority, host: &str, der: &[u8]) -> anyhow::Result<()> {
    let what = format!("the certificate of {host} is the new one");
    wait::until_ok(&what, SOON, async || {
        let mut secure = authority.connect(HTTPS, host).await?;
        ensure!(secure.shown == der, "another is shown");
        ask(&mut secure, host).await.map(drop)
    })
    .await
}

async fn ask(secure: &mut Secure, host: &str) -> anyhow::Result<Seen> {
    let response = secure
        .sender
        .send_request(request(Method::GET, host, "/"))
        .await?;
    let (head, body) = response.into_parts();
    let reply = Reply {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    Seen::from_reply(&reply)
}

/// Waits until a request by HTTP is sent there.
async fn redirects(host: &str, path: &str, location: &str) -> anyhow::Result<()> {
    let what = format!("{host}{path} is sent to {location}");
    wait::until_ok(&what, SOON, async || {
        let reply = get(HTTP, host, path).await?;
        let to = reply.header("location");
        ensure!(
            reply.status == 308 && to == location,
            "{} {to}",
            reply.status
        );
        Ok(())
    })
    .await
}

/// Asks at this port, of HTTPS or not, and goes wherever it is sent.
async fn curl(
    roots: &Path,
    host: &str,
    first: SocketAddr,
    options: &[&str],
) -> anyhow::Result<Output> {
    let scheme = if first == HTTPS { "https" } else { "http" };
    let resolve = [HTTP, HTTPS].map(|at| format!("{host}:{}:{}", at.port(), at.ip()));
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "20",
            "--cacert",
        ])
        .arg(roots)
        .args(resolve.iter().flat_map(|of| ["--resolve", of]))
        .args(options)
        .arg(format!("{scheme}://{host}:{}/", first.port()))
        .output();
    output.await.context("curl")
}

async fn openssl(roots: &Path, host: &str, options: &[&str]) -> anyhow::Result<Output> {
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &HTTPS.to_string(),
            "-servername",
            host,
            "-alpn",
            "h2,http/1.1",
        ])
        .args(["-verify_return_error", "-CAfile"])
        .arg(roots)
        .args(options)
        .stdin(Stdio::null())
        .output();
    output.await.context("openssl")
}
