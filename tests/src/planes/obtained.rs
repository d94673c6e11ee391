//! Hosts for which nobody brings a certificate, and the CA that gives them one.

use std::net::SocketAddr;

use http::Method;
use http_body_util::BodyExt;
use rustls::pki_types::CertificateDer;

use crate::{
    echo::Seen,
    http::{Reply, request},
    pebble::Pebble,
    planes::{
        HTTPS, SOON, TWO_LISTENERS,
        certificates::{Secure, connect},
        objects::Site,
    },
    sandbox::Sandbox,
    wait,
};

/// The settings of a control plane that asks this CA; `more` is of `acme`, in the flow style, and
/// begins with a comma.
pub fn settings(pebble: &Pebble, more: &str) -> String {
    format!(
        "{TWO_LISTENERS}\nacme: {{directory: {}, acceptTerms: true, roots: {}{more}}}",
        pebble.directory(),
        pebble.roots().display()
    )
}

/// Writes a site of its own for a host, which wants HTTPS; `secret` is what names its Secret.
pub fn save(
    sandbox: &Sandbox,
    host: &str,
    backend: SocketAddr,
    secret: &str,
) -> anyhow::Result<()> {
    let backends = [backend];
    let name = name(host);
    let site = Site {
        name: &name,
        host,
        path: "/",
        backends: &backends,
    };
    let tls = format!("spec:\n  tls: [{{hosts: ['{host}']{secret}}}]\n");
    site.replace(sandbox, &site.yaml().replacen("spec:\n", &tls, 1))
}

/// Removes a host's site.
pub fn remove(sandbox: &Sandbox, host: &str) -> anyhow::Result<()> {
    let file = format!("objects/{}.yaml", name(host));
    Ok(std::fs::remove_file(sandbox.folder().join(file))?)
}

/// Waits until HTTPS is served for a host, with a certificate of this root.
pub async fn serves(root: &CertificateDer<'static>, host: &str) -> anyhow::Result<Secure> {
    let what = format!("HTTPS is served for {host}");
    wait::until_ok(&what, SOON, async || {
        let mut secure = connect(root, HTTPS, host).await?;
        let response = secure.sender.send_request(request(Method::GET, host, "/"));
        let (head, body) = response.await?.into_parts();
        let reply = Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        };
        Seen::from_reply(&reply)?;
        Ok(secure)
    })
    .await
}

fn name(host: &str) -> String {
    host.replace('*', "any").replace('.', "-")
}
