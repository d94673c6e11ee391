//! BIND: a name server whose zones are updated, and another that follows it after a while.

use std::{
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RecordType,
};

use roadstead_control_plane::{acme::dns, config::TsigAlgorithm};

use crate::{program::Program, sandbox::Sandbox, wait};

/// Both servers of the zones.
#[derive(Debug)]
pub struct Bind {
    pub primary: Program,
    pub secondary: Program,
    secret_file: PathBuf,
}

impl Bind {
    /// Starts both with these zones, each with records as a zone's file has them, and waits until
    /// they answer. The second asks the first every few seconds and is told nothing.
    pub async fn start(sandbox: &Sandbox, zones: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut primary = String::new();
        let mut secondary = String::new();
        for (zone, records) in zones {
            let file = sandbox.write(
                &format!("bind/{zone}.zone"),
                &format!(
                    "$TTL 60\n@ SOA ns1.{zone}. admin.{zone}. 1 2 2 600 60\n NS ns1\n NS ns2\n\
                     ns1 A {PRIMARY}\nns2 A {SECONDARY}\n{records}\n"
                ),
            )?;
            primary += &format!(
                "zone \"{zone}\" {{ type primary; file \"{}\"; notify no; \
                 update-policy {{ grant {KEY} zonesub TXT; }}; }};\n",
                file.display()
            );
            secondary += &format!(
                "zone \"{zone}\" {{ type secondary; primaries {{ {PRIMARY}; }}; \
                 max-refresh-time 2; min-refresh-time 1; }};\n"
            );
        }
        let key =
            format!("key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n{primary}");
        let primary = start(sandbox, "ns1", PRIMARY, &key)?;
        // One that finds nobody to follow tries again much later.
        has_all(PRIMARY, zones).await?;
        let secondary = start(sandbox, "ns2", SECONDARY, &secondary)?;
        has_all(SECONDARY, zones).await?;
        Ok(Self {
            primary,
            secondary,
            secret_file: sandbox.write("bind/secret", &format!("{SECRET}\n"))?,
        })
    }

    /// What a control plane is to be told of it, in the flow style, as a part of `acme` that begins
    /// with a comma; for these hosts.
    pub fn settings(&self, hosts: &str) -> String {
        settings(hosts, &self.secret_file)
    }

    /// The key that the first server takes updates by.
    pub fn tsig(&self) -> dns::Tsig {
        dns::Tsig {
            name: KEY.to_owned(),
            algorithm: TsigAlgorithm::HmacSha256,
            secret_file: self.secret_file.clone(),
        }
    }

    /// What the TXT records of a name say at the first server.
    pub async fn texts(&self, name: &str) -> anyhow::Result<Vec<String>> {
        lookup(PRIMARY, name, RecordType::TXT).await
    }

    /// Waits until there are none.
    pub async fn has_no_texts(&self, name: &str) -> anyhow::Result<()> {
        wait::until_ok("the record is removed", SOON, async || {
            let texts = self.texts(name).await?;
            ensure!(texts.is_empty(), "{name}: {texts:?}");
            Ok(())
        })
        .await
    }
}

fn start(sandbox: &Sandbox, name: &str, address: Ipv4Addr, zones: &str) -> anyhow::Result<Program> {
    let folder = sandbox.folder().join("bind");
    let config = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; recursion yes; \
         dnssec-validation no; listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }}; \
         allow-transfer {{ any; }}; }};\ncontrols {{ }};\n{zones}",
        folder.display()
    );
    let config = sandbox.write(&format!("bind/{name}.conf"), &config)?;
    let config = config.to_str().context("a path of text")?;
    // To whoever asks it as a resolver it follows CNAMEs from one of its zones to another. Its log to
    // standard error, without a daemon.
    Program::start(sandbox, name, Path::new("named"), ["-g", "-c", config])
}

/// What a control plane is to be told of it, with the key of this file.
pub fn settings(hosts: &str, secret_file: &Path) -> String {
    format!(
        ", dns01: {{resolvers: [{PRIMARY}], zones: [{{hosts: [{hosts}], rfc2136: \
         {{server: {PRIMARY}, tsig: {{keyName: {KEY}, secretFile: {}}}}}}}]}}",
        secret_file.display()
    )
}

/// Has the first server take an update, such as `add a.example 60 TXT text`, by another client than ours.
pub fn update(line: &str) -> anyhow::Result<()> {
    let mut client = Command::new("nsupdate")
        .arg("-y")
        .arg(format!("hmac-sha256:{KEY}:{SECRET}"))
        .stdin(Stdio::piped())
        .spawn()
        .context("nsupdate")?;
    let mut input = client.stdin.take().context("no input")?;
    writeln!(input, "server {PRIMARY}\n{line}\nsend")?;
    drop(input);
    let status = client.wait()?;
    ensure!(status.success(), "nsupdate: {line}: {status}");
    Ok(())
}

/// Waits until a server answers for all of these zones.
async fn has_all(server: Ipv4Addr, zones: &[(&str, &str)]) -> anyhow::Result<()> {
    wait::until_ok("a name server answers", SOON, async || {
        for (zone, _) in zones {
            let found = lookup(server, zone, RecordType::SOA).await?;
            ensure!(!found.is_empty(), "{server} has no {zone}");
        }
        Ok(())
    })
    .await
}

/// What the records say; none if there is no such name.
async fn lookup(server: Ipv4Addr, name: &str, kind: RecordType) -> anyhow::Result<Vec<String>> {
    let servers = vec![NameServerConfig::udp_and_tcp(server.into())];
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    let found = builder.build()?.lookup(format!("{name}."), kind).await;
    match found {
        Ok(found) => Ok(found
            .answers()
            .iter()
            .filter(|record| record.record_type() == kind)
            .map(|record| record.data.to_string())
            .collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The server that takes updates. BIND listens at no address that no interface has.
pub const PRIMARY: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The one that follows: that of a sandbox's node.
pub const SECONDARY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const KEY: &str = "roadstead";
/// To be found nowhere but in its file.
pub const SECRET: &str = "Y2FuYXJ5LW9mLXRoZS1kbnMta2V5LW9mLXJvYWRzdGVhZA==";
const SOON: Duration = Duration::from_secs(20);
