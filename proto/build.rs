//! Compiles `roadstead/v1/*.proto` with protox, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is how Cargo speaks to a build script"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "roadstead/v1/resource.proto",
        "roadstead/v1/distribution.proto",
        "roadstead/v1/snapshots.proto",
        "roadstead/v1/events.proto",
        "roadstead/v1/proxies.proto",
        "roadstead/v1/certificates.proto",
        "roadstead/v1/guard.proto",
        "roadstead/v1/hosts.proto",
        "roadstead/v1/tls_certificates.proto",
        "roadstead/v1/replication.proto",
        "roadstead/v1/secrets.proto",
        "roadstead/v1/challenges.proto",
    ];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .bytes(".roadstead.v1.Resource")
        .bytes(".roadstead.v1.Secret.body")
        // They hold private keys: see `secret.rs`.
        .skip_debug([".roadstead.v1.Secret", ".roadstead.v1.CertificateBundle"])
        .compile_fds(descriptors)?;
    Ok(())
}
