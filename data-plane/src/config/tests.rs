//! Tests of the configuration: what is read, and what an error says.

use clap::Parser;

use super::*;
use crate::telemetry::TextOrJson;

const WHOLE: &str = "
proxy: node-1
controlPlane:
  addresses: [https://a.example:8443, http://127.0.0.1:8443]
  caFile: /etc/ca.pem
  tokenFile: /etc/token
  certificateFolder: /run/roadstead
  serverName: roadstead
stateFolder: /tmp/state
threads: 3
admin:
  address: 127.0.0.1:9000
accessLog: json
log:
  format: json
  level: info,roadstead_data_plane=debug
otlp:
  endpoint: http://127.0.0.1:4317
  requestShare: 0.5
gracePeriod: 10s
";

#[test]
fn the_admin_port_may_be_on_a_pods_address_of_either_family() {
    for (text, address) in [
        ("10.0.0.1:8082", Some("10.0.0.1:8082")),
        ("[fd00::1]:8082", Some("[fd00::1]:8082")),
        ("fd00::1:8082", Some("[fd00::1]:8082")),
        ("fd00:1:2:3:4:5:6:7", None),
        ("10.0.0.1", None),
        ("fd00::1", None),
        ("localhost:8082", None),
    ] {
        let cli = Cli::try_parse_from(["roadstead-data-plane", "--admin", text]);
        let read = cli.ok().and_then(|cli| cli.admin);
        assert_eq!(read, address.map(|it| it.parse().unwrap()), "{text}");
    }
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(WHOLE).unwrap();
    let addresses = config
        .control_plane
        .addresses
        .iter()
        .map(Address::to_string);
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        ["https://a.example:8443", "http://127.0.0.1:8443"]
    );
    assert_eq!(
        config.control_plane.server_name.as_deref(),
        Some("roadstead")
    );
    let folder = config.control_plane.certificate_folder.as_deref();
    assert_eq!(folder, Some(Path::new("/run/roadstead")));
    assert_eq!(config.threads().get(), 3);
    assert_eq!(config.access_log, LogFormat::Json);
    assert_eq!(config.log.format, TextOrJson::Json);
    assert_eq!(config.grace_period, Duration::from_secs(10));
}

#[test]
fn what_is_not_said_has_a_default() {
    for text in ["", "# nothing\n", "log: {}"] {
        assert_eq!(Config::parse(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn what_is_written_reads_back() {
    let config = Config::parse(WHOLE).unwrap();
    let text = serde_saphyr::to_string(&config).unwrap();
    assert_eq!(Config::parse(&text).unwrap(), config);
}

#[test]
fn an_error_names_the_key_and_what_to_do() {
    for (text, parts) in [
        ("treads: 3", ["treads", "threads"]),
        ("threads: 0", ["threads", "nonzero"]),
        ("log: {level: loud=2=3}", ["loud=2=3", "use error, warn"]),
        (
            "controlPlane: {addresses: [http://10.0.0.1:80]}",
            ["10.0.0.1", "write https://HOST:PORT"],
        ),
        ("accessLog: yes please", ["yes please", "json"]),
        ("gracePeriod: 10", ["gracePeriod", "10"]),
    ] {
        let error = Config::parse(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text}: no {part:?} in {error:?}");
        }
    }
}

#[test]
fn https_needs_a_ca() {
    let config = Config::parse("controlPlane: {addresses: ['https://a.example:1']}").unwrap();
    let error = config.finish().unwrap_err().to_string();
    assert!(error.contains("controlPlane.caFile"), "{error}");
    assert!(error.contains("--ca-file"), "{error}");
}

#[test]
fn a_certificate_is_shown_by_tls_only() {
    let text = "controlPlane: {addresses: ['http://127.0.0.1:1'], certificateFolder: /run/r}";
    let error = Config::parse(text)
        .unwrap()
        .finish()
        .unwrap_err()
        .to_string();
    assert!(error.contains("controlPlane.certificateFolder"), "{error}");
    assert!(error.contains("http://127.0.0.1:1"), "{error}");
}

#[test]
fn a_limit_that_cannot_work_is_refused() {
    let config = Config::parse("limits: {http2: {streamWindow: 2147483648}}").unwrap();
    let error = config.finish().unwrap_err().to_string();
    assert!(
        error.contains("limits.http2.streamWindow: 2147483648"),
        "{error}"
    );
    assert!(error.contains("set a value in that range"), "{error}");
}

#[test]
fn a_proxy_without_a_name_is_called_like_its_machine() {
    assert!(!Config::default().finish().unwrap().proxy.is_empty());
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, WHOLE).unwrap();
    let file = file.to_str().unwrap();
    let flags = [
        "roadstead-data-plane",
        "--config",
        file,
        "--proxy=other",
        "--control-plane=https://127.0.0.1:1",
        "--access-log=off",
        "--threads=2",
    ];
    let config = Cli::try_parse_from(flags).unwrap().config().unwrap();
    assert_eq!(config.proxy, "other");
    assert_eq!(config.control_plane.addresses.len(), 1);
    assert_eq!(config.access_log, LogFormat::Off);
    assert_eq!(config.threads().get(), 2);
    assert_eq!(config.state_folder, Path::new("/tmp/state"));
}

#[test]
fn a_flag_that_is_wrong_is_refused() {
    for flag in [
        "--access-log=loud",
        "--control-plane=nowhere",
        "--log-level=a=b=c",
    ] {
        assert!(
            Cli::try_parse_from(["roadstead-data-plane", flag]).is_err(),
            "{flag}"
        );
    }
}
