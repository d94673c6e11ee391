//! A newcomer's path: start the quickstart, ask, edit a file, see it live, ask what changed, stop.
//!
//! What it prints is what is run here, word for word.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use roadstead_tests::{
    echo::Seen,
    planes::SOON,
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::{Value, json};

#[test]
fn what_it_prints_works_and_what_is_edited_is_live() {
    sandbox::run(async |sandbox| {
        let mut quickstart = Quickstart::start(sandbox, None).await?;
        let folder = quickstart.folder()?;
        for who in ["apple", "banana"] {
            assert_eq!(answered_by(&quickstart.run(&format!(":8080/{who}"))?)?, who);
        }
        let before = quickstart.json("ListVersions")?["versions"][0]["version"].clone();

        // The edit that it proposes: another path.
        quickstart.run("sed -i")?;
        wait::until_ok("/pear is live", SOON, async || {
            let who = answered_by(&quickstart.run(":8080/pear")?)?;
            ensure!(who == "apple", "{who} answered");
            Ok(())
        })
        .await?;
        assert_eq!(answered_by(&quickstart.run(":8080/apple")?)?, "banana");

        let services = quickstart.run(" list")?;
        for service in ["SnapshotService", "EventService", "ProxyService"] {
            let service = format!("roadstead.v1.{service}");
            assert!(services.lines().any(|line| line == service), "{services}");
        }

        let newest = quickstart.json("ListVersions")?["versions"][0].clone();
        assert_eq!(newest["cause"], "Ingress default/apple@folder changed");
        let version = &newest["version"];
        assert_ne!(version, &before);

        let snapshot = quickstart.json("GetSnapshot")?;
        assert_eq!(&snapshot["version"], version);
        let resources = snapshot["resources"].as_array().context("resources")?;
        let apple = resources.iter().find(|found| found["name"] == APPLE);
        let path = &apple.context("the route")?["route"]["rules"][0]["path"];
        assert_eq!(
            path,
            &json!({"kind": "KIND_ELEMENT_PREFIX", "value": "/pear"})
        );

        let difference = quickstart.json("DiffVersions")?;
        assert_eq!((&difference["from"], &difference["to"]), (&before, version));
        let mut changes = difference["routes"].as_array().context("routes")?.iter();
        let paths: BTreeSet<(&str, bool, bool)> = changes
            .by_ref()
            .filter_map(|change| {
                let there = |when| change.get(when).is_some();
                let path = change["path"]["value"].as_str()?;
                Some((path, there("before"), there("after")))
            })
            .collect();
        assert_eq!(
            paths,
            [("/apple", true, false), ("/pear", false, true)].into()
        );

        let proxy = quickstart.json("ListProxies")?["proxies"][0].clone();
        assert_eq!(proxy["name"], "quickstart");
        assert_eq!(&proxy["acknowledged"], version);
        assert_eq!(proxy["current"], true);

        let events = quickstart.json("ListEvents")?;
        let events = events["events"].as_array().context("events")?;
        let of_apple = |event: &&Value| event["object"] == "Ingress default/apple@folder";
        let of_apple: Vec<&Value> = events.iter().filter(of_apple).collect();
        assert_eq!(of_apple.len(), 2, "accepted at start, and as edited");
        assert_eq!(of_apple[1]["seq"], version["seq"]);

        assert_eq!(quickstart.run(":8445/readyz")?, "ready\n");
        assert_eq!(quickstart.run(":8082/readyz")?, "ready\n");
        let seq = version["seq"].as_str().context("a number")?;
        for (metrics, line) in [
            (":8445/metrics", "roadstead_published_seq"),
            (":8082/metrics", "roadstead_version_seq"),
        ] {
            let metrics = quickstart.run(metrics)?;
            let line = format!("{line} {seq}");
            assert!(metrics.lines().any(|found| found == line), "{metrics}");
        }
        let live: Value = serde_json::from_str(&quickstart.run(":8082/snapshot")?)?;
        assert_eq!(live["version"]["seq"].to_string(), seq);

        assert_eq!(quickstart.program.stop(SOON).await?.code(), Some(0));
        assert!(!folder.exists(), "the temporary folder is removed");
        assert_eq!(left_behind()?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_named_folder_stays_and_is_gone_on_with() {
    sandbox::run(async |sandbox| {
        let folder = sandbox.folder().join("my site");
        let mut quickstart = Quickstart::start(sandbox, Some(&folder)).await?;
        let lineage = |answer: &Value| answer["version"]["lineage"].clone();
        let before = quickstart.json("GetSnapshot")?;

        // Other endpoints for the same route.
        let file = folder.join("objects/apple.yaml");
        let text = fs::read_to_string(&file)?;
        fs::write(&file, text.replace("port: 9001", "port: 9002"))?;
        wait::until_ok("the other backend", SOON, async || {
            let who = answered_by(&quickstart.run(":8080/apple")?)?;
            ensure!(who == "banana", "{who} answered");
            Ok(())
        })
        .await?;
        // However it ends, its parts end with it.
        quickstart.program.kill()?;
        wait::until("the end of all parts", SOON, async || {
            left_behind().ok()?.is_empty().then_some(())
        })
        .await?;

        quickstart.program.start_again()?;
        quickstart.is_up(2).await?;
        assert_eq!(answered_by(&quickstart.run(":8080/apple")?)?, "banana");
        let after = quickstart.json("GetSnapshot")?;
        assert_eq!(lineage(&after), lineage(&before));
        assert_eq!(after["version"]["epoch"], "2");
        assert_eq!(quickstart.program.stop(SOON).await?.code(), Some(0));
        assert!(file.exists());
        assert_eq!(left_behind()?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_taken_port_is_named_before_anything_starts() {
    sandbox::run(async |sandbox| {
        for (port, part) in [
            (8080, "proxy"),
            (8444, "control plane"),
            (9002, "backend banana"),
        ] {
            let taken = TcpListener::bind(("127.0.0.1", port))?;
            let folder = sandbox.folder().join("never");
            let mut program = start(sandbox, &port.to_string(), Some(&folder))?;
            assert_eq!(program.end(SOON).await?.code(), Some(1));
            let expected = format!("port {port} of 127.0.0.1 is taken, and the {part} needs it");
            assert!(program.log()?.contains(&expected), "{}", program.log()?);
            assert!(!folder.exists());
            drop(taken);
        }
        Ok(())
    });
}

#[test]
fn a_part_that_fails_ends_it_and_shows_its_log() {
    sandbox::run(async |sandbox| {
        let folder = sandbox.folder().join("broken");
        fs::create_dir(&folder)?;
        fs::write(folder.join("proxy.yaml"), "treads: 2\n")?;
        let mut program = start(sandbox, "broken", Some(&folder))?;
        assert_eq!(program.end(SOON).await?.code(), Some(1));
        let log = program.log()?;
        for expected in ["unknown field `treads`", "the proxy has ended by itself"] {
            assert!(log.contains(expected), "{expected:?} is missing:\n{log}");
        }
        assert_eq!(left_behind()?, Vec::<String>::new());
        Ok(())
    });
}

struct Quickstart {
    program: Program,
}

impl Quickstart {
    async fn start(sandbox: &Sandbox, folder: Option<&Path>) -> anyhow::Result<Self> {
        let program = start(sandbox, "quickstart", folder)?;
        let mut quickstart = Self { program };
        quickstart.is_up(1).await?;
        Ok(quickstart)
    }

    /// Waits until it has said for the nth time all that it has to say.
    async fn is_up(&mut self, times: usize) -> anyhow::Result<()> {
        let log = self.program.log_file().to_owned();
        let up = async || {
            let log = fs::read_to_string(&log).ok()?;
            (log.matches(LAST_LINE).count() == times).then_some(())
        };
        self.program.until("it is up", BUILT, up).await
    }

    /// The folder that it serves.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let log = self.program.log()?;
        let mut lines = log.lines();
        let folder = lines.find_map(|line| {
            let line = line.strip_prefix("Roadstead serves the folder ")?;
            line.split_once("/objects on port 8080")
        });
        Ok(folder.context("no line names the folder")?.0.into())
    }

    /// Runs the last printed command that holds these words; what it writes.
    fn run(&self, words: &str) -> anyhow::Result<String> {
        let log = self.program.log()?;
        let commands = log.lines().filter_map(|line| line.strip_prefix("  "));
        let mut commands = commands.filter(|line| {
            ["curl ", "grpcurl ", "sed "]
                .iter()
                .any(|c| line.starts_with(c))
        });
        let command = commands.rfind(|line| format!("{line} ").contains(&format!("{words} ")));
        let command = command.with_context(|| format!("nothing printed has {words:?}"))?;
        let script = format!("PATH=$PATH:{GRPCURL}; {command}");
        let output = Command::new("sh").args(["-c", &script]).output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{command}: {} {errors}", output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn json(&self, call: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.run(call)?)?)
    }
}

fn start(sandbox: &Sandbox, name: &str, folder: Option<&Path>) -> anyhow::Result<Program> {
    // So that its own build has nothing to do, and takes no time of waiting.
    built::binary("roadstead-echo")?;
    let temporary = sandbox.folder().join("temporary");
    fs::create_dir_all(&temporary)?;
    let mut arguments: Vec<OsString> = vec![
        format!("TMPDIR={}", temporary.display()).into(),
        built::workspace().join("deploy/quickstart").into(),
    ];
    arguments.extend(folder.map(|folder| folder.as_os_str().to_owned()));
    Program::start(sandbox, name, Path::new("env"), arguments)
}

fn answered_by(body: &str) -> anyhow::Result<String> {
    let seen: Seen = serde_json::from_str(body).with_context(|| body.to_owned())?;
    Ok(seen.who)
}

/// Processes of the sandbox's network, by pid.
fn left_behind() -> anyhow::Result<Vec<String>> {
    let ours = fs::read_link("/proc/thread-self/ns/net")?;
    let is_inside = |pid: &String| {
        let net = fs::read_link(format!("/proc/{pid}/ns/net"));
        net.is_ok_and(|net| net == ours)
    };
    let entries = fs::read_dir("/proc")?.flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let pids = names.filter(|name| name.parse::<u32>().is_ok());
    Ok(pids.filter(is_inside).collect())
}

const APPLE: &str = "ingress/default/apple@folder";

const LAST_LINE: &str = "\nLogs: ";

/// Where `tests/run` puts it, for who runs these tests by hand.
const GRPCURL: &str = "$(echo ${XDG_CACHE_HOME:-~/.cache}/roadstead/tools/grpcurl-*/bin)";

/// It builds in its own profile, which need not be that of the tests.
const BUILT: Duration = Duration::from_secs(250);
