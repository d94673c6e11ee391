//! What both planes tell goes to nobody but the collector that they are to tell it to.

#![cfg(test)]

use std::{ffi::OsString, path::Path};

use anyhow::ensure;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roadstead_tests::{
    planes::{ControlPlane, ONE_LISTENER, Proxy, SOON, collector::Collector},
    program::{Program, built},
    sandbox::{self, Sandbox},
};
use tonic::transport::Identity;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> anyhow::Result<Ca> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn identity(ca: &Ca, name: &str) -> anyhow::Result<Identity> {
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec![name.to_owned()])?;
    let certificate = params.signed_by(&key, ca)?;
    Ok(Identity::from_pem(certificate.pem(), key.serialize_pem()))
}

/// Starts a program of ours on a machine that trusts this CA and no other.
fn trusting(
    sandbox: &Sandbox,
    ca: &Path,
    name: &str,
    binary: &str,
    config: &Path,
) -> anyhow::Result<Program> {
    let mut trusted = OsString::from("SSL_CERT_FILE=");
    trusted.push(ca);
    let binary = built::binary(binary)?.into_os_string();
    let config = config.to_owned().into_os_string();
    let arguments = [trusted, binary, "--config".into(), config];
    Program::start(sandbox, name, Path::new("env"), arguments)
}

/// Both planes from their start to their end, with a collector at this URL. `said` is what both
/// say of it first.
async fn tell(
    sandbox: &Sandbox,
    ca: &Path,
    endpoint: &str,
    said: Option<&str>,
) -> anyhow::Result<()> {
    let otlp = format!("otlp: {{endpoint: \"{endpoint}\"}}");
    let settings = format!("{ONE_LISTENER}\n{otlp}");
    let mut control = ControlPlane::start_by(sandbox, &settings, |config| {
        trusting(
            sandbox,
            ca,
            "control-plane",
            "roadstead-control-plane",
            config,
        )
    })
    .await?;
    // A proxy that was here before would begin with what it has kept, and tell of no version.
    let name = &format!("proxy-{}", endpoint.rsplit(':').next().unwrap_or_default());
    let mut proxy = Proxy::begin_by(sandbox, name, 8082, &otlp, |config| {
        trusting(sandbox, ca, name, "roadstead-data-plane", config)
    })?;
    proxy.is_ready().await?;
    if let Some(said) = said {
        for program in [control.program(), proxy.program()] {
            let line = program.logged(said, SOON).await?;
            ensure!(line.contains("WARN") && line.contains(endpoint), "{line}");
        }
    }
    ensure!(proxy.stop().await?.success());
    ensure!(control.stop().await?.success());
    Ok(())
}

#[test]
fn a_collector_is_believed_if_the_machine_trusts_its_certificate_and_name() {
    sandbox::run(async |sandbox| {
        let (ours, theirs) = (ca()?, ca()?);
        let trusted = sandbox.write("trusted.pem", &ours.pem())?;
        for (port, identity, said) in [
            (
                4317,
                identity(&theirs, "127.0.0.1")?,
                "invalid peer certificate",
            ),
            (
                4318,
                identity(&ours, "collector.example")?,
                "not valid for name",
            ),
        ] {
            let at = format!("127.0.0.1:{port}");
            let collector = Collector::start_as(identity, at.parse()?).await?;
            tell(sandbox, &trusted, &format!("https://{at}"), Some(said)).await?;
            assert!(collector.received().is_empty(), "{said}");
        }
        let at = "127.0.0.1:4319";
        let collector = Collector::start_as(identity(&ours, "127.0.0.1")?, at.parse()?).await?;
        tell(sandbox, &trusted, &format!("https://{at}"), None).await?;
        let received = collector.received();
        for expected in [
            "roadstead-control-plane roadstead.published.seq",
            "roadstead-data-plane roadstead_version_seq",
            "roadstead-control-plane turn",
            "roadstead-data-plane version",
        ] {
            ensure!(
                received.iter().any(|line| line == expected),
                "{expected:?} is missing of {received:#?}"
            );
        }
        Ok(())
    });
}
