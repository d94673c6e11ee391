mod acme;

use roadstead_matcher::host::HostPattern;
use serde_json::json;

use super::*;
use crate::model::settings::Settings;
use crate::observe::guard::Holds;

fn error(text: &str) -> String {
    match Config::parse(text) {
        Ok(config) => config.check().unwrap_err().to_string(),
        Err(message) => message,
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# nothing\n", "{}"] {
        let config = Config::parse(text).unwrap();
        assert_eq!(config, Config::default());
        config.check().unwrap();
    }
}

#[test]
fn named_listeners_replace_the_default_ones() {
    let text = "listeners:\n  web: {port: 8080}\n  inner: {port: 8081, address: 127.0.0.1}\n";
    let settings = Config::parse(text).unwrap().settings();
    let ports: Vec<_> = settings
        .listeners
        .values()
        .map(|l| (l.address.to_string(), l.port))
        .collect();
    assert_eq!(
        ports,
        [("127.0.0.1".to_owned(), 8081), ("::".to_owned(), 8080)]
    );
}

#[test]
fn what_cannot_be_used_is_refused_by_key() {
    let beside = |names: &str| format!("beside: {{controllers: [{names}]}}");
    let too_long = beside(&format!("a.example/{}", "x".repeat(241)));
    let too_many = beside(&["a.example/x"; 17].join(", "));
    let networks: Vec<_> = (0..257)
        .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
        .collect();
    let networks = networks.join(", ");
    let too_many_networks = format!("listeners: {{a: {{port: 80, proxyProtocol: [{networks}]}}}}");
    for (text, expected) in [
        ("listener: {}", "listener"),
        (
            "listeners: {web: {port: 0}}",
            "listeners.web.port: 0 is no port; use 1 to 65535",
        ),
        ("listeners: {web: {port: 70000}}", "port"),
        (
            "listeners: {a: {port: 80}, b: {port: 80}}",
            "listeners.b: listener a has the same address and port; give each listener its own",
        ),
        (
            "listeners: {a: {port: 80, proxyProtocol: [10.0.0.0/33]}}",
            "\"10.0.0.0/33\" is no network; write it as 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "listeners: {a: {port: 80, proxyProtocol: [192.0.2.7]}}",
            "192.0.2.7 is an address; write 192.0.2.7/32",
        ),
        (
            &too_many_networks,
            "listeners.a.proxyProtocol: 257 networks are too many; name at most 256",
        ),
        (
            "listeners: {a: {port: 80, tls: {minimumVersion: TLSv1.3}}}",
            "listeners.a.tls: its connections are not encrypted; set protocol: https, or leave it out",
        ),
        (
            "listeners: {a: {port: 80, protocol: https, tls: {minimumVersion: 1.3}}}",
            "TLSv1.2",
        ),
        (
            "listeners: {a: {port: 80, protocol: https, tls: {cipherSuites: [RC4]}}}",
            "TLS_AES_128_GCM_SHA256",
        ),
        (
            "listeners: {a: {port: 80, protocol: https, tls: {minimumVersion: TLSv1.3, \
             cipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}}",
            "listeners.a.tls.cipherSuites: none of them goes with TLS 1.3, and no other version is \
             spoken; name one of TLS 1.3, or leave it out",
        ),
        (
            "listeners: {a: {port: 80, protocol: https, tls: {defaultCertificate: web}}}",
            "listeners.a.tls.defaultCertificate: certificates has none of the name \"web\"; add it \
             there, or name a Secret as NAMESPACE/NAME",
        ),
        (
            "listeners: {a: {port: 80, protocol: https, tls: {defaultCertificate: Web/a}}}",
            "listeners.a.tls.defaultCertificate: \"Web/a\" names no Secret; write it as NAMESPACE/NAME",
        ),
        (
            "certificates: {Web: {certificateFile: a, keyFile: b}}",
            "certificates: \"Web\" cannot be its name; use 1 to 63 lower-case letters, digits, - and ., the \
             first no sign",
        ),
        ("certificates: {web: {certificateFile: a}}", "keyFile"),
        (
            "{sources: {kubernetes: {secrets: off}}, listeners: {a: {port: 80, protocol: https, \
             tls: {defaultCertificate: default/web}}}}",
            "listeners.a.tls.defaultCertificate: no Secrets are read; set sources.kubernetes.secrets \
             to watch or get, or leave it out",
        ),
        (
            "grpc: {operators: '0.0.0.0:1'}",
            "grpc.operators: 0.0.0.0:1 is not a loopback address",
        ),
        ("hostOwnership: mine", "mine"),
        ("sources: {folder: {}}", "path"),
        (
            "deletionGuard: {percent: 0}",
            "deletionGuard.percent: 0 is no share; use 1 to 100",
        ),
        (
            "deletionGuard: {confirm: [3.5, x]}",
            "deletionGuard.confirm: no hold has the name \"x\"",
        ),
        (
            "ingressStatus: {service: a/b, addresses: [192.0.2.1]}",
            "ingressStatus.addresses: addresses come from one place; set one of addresses, service, nodes",
        ),
        (
            "ingressStatus: {addresses: ['192.0.2.1:80']}",
            "is neither an IP address nor a DNS name",
        ),
        ("ingressStatus: {service: public}", "use namespace/name"),
        ("ingressStatus: {nodes: [hostname]}", "hostname"),
        ("ingressStatus: {most: 0}", "ingressStatus.most"),
        (
            "ingressStatus: {writesPerSecond: 0}",
            "ingressStatus.writesPerSecond",
        ),
        (
            "beside: {controllers: [nginx]}",
            "beside.controllers: \"nginx\" is no controller's name; use spec.controller",
        ),
        ("beside: {controllers: ['']}", "beside.controllers: \"\""),
        ("beside: {controllers: [A.example/x]}", "beside.controllers"),
        ("beside: {controllers: [a.example/]}", "beside.controllers"),
        (
            "beside: {controllers: [a.example/x y]}",
            "beside.controllers",
        ),
        (&too_long, "beside.controllers"),
        (
            &too_many,
            "beside.controllers: 17 are too many; name at most 16",
        ),
        (
            "beside: {controllers: [roadstead.dev/ingress-controller]}",
            "is Roadstead itself, whose classes are served anyway; name the controllers that it \
             shall run beside",
        ),
        (
            "{beside: {controllers: [a.example/x]}, ingressStatus: {addresses: [192.0.2.1]}}",
            "ingressStatus: nothing is written beside another controller, and beside.controllers \
             names one",
        ),
        ("history: {checkpointAfter: 0}", "history.checkpointAfter"),
        (
            "access: {certificateSeconds: 60}",
            "access.certificateSeconds: 60 is too short or too long; use 600 to 604800",
        ),
        (
            "access: {proxyAccounts: [proxies]}",
            "access.proxyAccounts: \"proxies\" is no ServiceAccount; write NAMESPACE/NAME",
        ),
        ("access: {audience: ''}", "access.audience"),
        (
            "access: {authoritySecret: ''}",
            "access.authoritySecret: \"\" is no name that an object can have",
        ),
        (
            "access: {authorityConfigMap: 'a b'}",
            "access.authorityConfigMap: \"a b\"",
        ),
        (
            "sources: {kubernetes: {watchSeconds: 300}}",
            "sources.kubernetes.watchSeconds: 300 is too short or too long; use 5 to 290",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn controllers_beside_us_are_settings_that_a_log_without_them_reads_as_none() {
    let longest = format!("a.example/{}", "x".repeat(240));
    let text = format!("beside: {{controllers: [k8s.io/ingress-nginx, {longest}]}}");
    let config = Config::parse(&text).unwrap();
    config.check().unwrap();
    let settings = config.settings();
    assert!(settings.is_beside() && settings.beside.contains("k8s.io/ingress-nginx"));
    assert_eq!(
        Config::default().differs_until_restart(&config),
        [""; 0],
        "it applies at once"
    );

    let alone = Config::default().settings();
    let stored = serde_json::to_value(&alone).unwrap();
    assert_eq!(stored.get("beside"), None);
    assert_eq!(serde_json::from_value::<Settings>(stored).unwrap(), alone);
}

#[test]
fn balancers_of_a_listener_are_settings_that_a_log_without_them_reads_as_none() {
    let listener = |more: &str| {
        let config = Config::parse(&format!("listeners: {{web: {{port: 80{more}}}}}")).unwrap();
        config.check().unwrap();
        config
    };
    let (without, with) = (
        listener(""),
        listener(", proxyProtocol: ['2001:db8::/32', 10.0.0.0/8, 10.0.0.0/8]"),
    );
    assert_eq!(
        without.differs_until_restart(&with),
        [""; 0],
        "it applies at once"
    );
    let stored = |config: &Config| serde_json::to_value(config.settings()).unwrap();
    assert_eq!(
        stored(&without)["listeners"]["web"].get("proxyProtocol"),
        None
    );
    let named = json!(["10.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(stored(&with)["listeners"]["web"]["proxyProtocol"], named);
    for config in [without, with] {
        let read: Settings = serde_json::from_value(stored(&config)).unwrap();
        assert_eq!(read, config.settings());
    }
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let started = Config::default();
    let edited =
        Config::parse("dataFolder: /elsewhere\ningressClass: other\nlog: {level: debug}").unwrap();
    assert_eq!(started.differs_until_restart(&edited), ["dataFolder"]);
}

#[test]
fn a_lease_that_would_let_two_lead_is_refused() {
    for (text, key) in [
        ("{duration: 1500ms}", "lease.duration"),
        ("{duration: 15s, renewWithin: 15s}", "lease.renewWithin"),
        (
            "{duration: 15s, renewWithin: 10s, retry: 6s}",
            "lease.retry",
        ),
        ("{retry: 1ms}", "lease.retry"),
        ("{address: \"http://a:1\"}", "lease.address"),
        ("{peers: [a]}", "lease.peers"),
    ] {
        let error = error(&format!("lease: {text}"));
        assert!(error.starts_with(key), "{text}: {error}");
    }
    let short = Config::parse("lease: {duration: 3s, renewWithin: 2s, retry: 500ms}").unwrap();
    short.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_good_edit_is_observed_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    fs::write(&path, "ingressClass: one").unwrap();
    let cli = Cli {
        command: None,
        config: Some(path.clone()),
        folder: None,
        data_folder: None,
        grpc: None,
        operators: None,
        lease_identity: None,
        lease_address: None,
        admin: None,
        log_level: None,
    };
    let config = cli.config().unwrap();
    let (live, mut seen) = tokio::sync::watch::channel(config.live());
    let watching = watch::run(cli, config, live, |_| {});
    let editing = async {
        for text in ["ingressClass: [broken", "ingressClass: seven"] {
            tokio::time::sleep(Duration::from_secs(3)).await;
            fs::write(&path, text).unwrap();
        }
        seen.changed().await.unwrap();
        seen.borrow().settings.ingress_class.clone()
    };
    let class = tokio::select! {
        () = watching => panic!("it stopped watching"),
        class = editing => class,
    };
    assert_eq!(&*class, "seven");
}

#[test]
fn holds_are_confirmed_by_name_or_by_turning_the_guard_off() {
    let confirmed = |text: &str| {
        let config = Config::parse(text).unwrap();
        config.check().unwrap();
        config.deletion_guard.confirmation().map(|found| found.of)
    };
    assert_eq!(confirmed("deletionGuard: {atLeast: 3}"), None);
    let id = "3.1204".parse().unwrap();
    assert_eq!(
        confirmed("deletionGuard: {confirm: ['3.1204']}"),
        Some(Holds::These([id].into()))
    );
    assert_eq!(confirmed("deletionGuard: {percent: 100}"), Some(Holds::All));
}

#[test]
fn addresses_for_statuses_come_from_where_the_file_says_and_else_from_nowhere() {
    let source = |text: &str| {
        let config = Config::parse(text).unwrap();
        config.check().unwrap();
        config.ingress_status.source()
    };
    assert_eq!(source(""), None);
    let service = AddressSource::Service {
        namespace: "roadstead".into(),
        name: "public".into(),
    };
    assert_eq!(
        source("ingressStatus: {service: roadstead/public}"),
        Some(service)
    );
    let nodes = AddressSource::Nodes(vec![NodeAddress::External, NodeAddress::Internal]);
    assert_eq!(
        source("ingressStatus: {nodes: [externalIP, internalIP]}"),
        Some(nodes)
    );
    let given = ["lb.example.com", "192.0.2.1"].map(|text| text.parse().unwrap());
    assert_eq!(
        source("ingressStatus: {addresses: [lb.example.com, 192.0.2.1]}"),
        Some(AddressSource::Given(given.into()))
    );
}
