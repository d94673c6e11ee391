//! The repository keeps its rules: ranks, purity, seams, and the shape of files.
//!
//! The tables are the architecture's; a change to one is a change of the design and is reviewed as
//! such. What is held without a table is in `roadstead_tests::tidy`.

#![cfg(test)]

use roadstead_tests::{
    program::built::workspace,
    tidy::{Naming, Ranks, Rules, Tree},
};

/// Low to high; modules of one rank do not name each other.
const CONTROL_PLANE: Ranks<'_> = Ranks {
    sources: "control-plane/src",
    levels: &[
        &["model"],
        &["event"],
        &["snapshot"],
        &["versions"],
        &["presence", "state"],
        &["replication"],
        &["observe", "plan", "project"],
        &["checkpoint"],
        // What every part with I/O may name, and which itself names no part.
        &[
            "backoff",
            "clock",
            "config",
            "keys",
            "metrics",
            "private_file",
        ],
        &["store"],
        &[
            "acme",
            "certificate_files",
            "event_log",
            "folder",
            "follow",
            "health",
            "history",
            "identity",
            "installation",
            "lease",
            "pki",
            "publish",
            "recovery",
            "review",
            "status",
            "telemetry",
            "tickets",
            "tokens",
            "watch",
        ],
        // Show what the parts say of themselves, and what was logged.
        &["admin", "serve"],
        &["engine"],
        &["app"],
    ],
};

const DATA_PLANE: Ranks<'_> = Ranks {
    sources: "data-plane/src",
    levels: &[
        &["recent", "snapshot"],
        &["bundle", "filter", "router"],
        &["balance"],
        &["active"],
        // What every part with I/O may name, and which itself names no part.
        &["clock", "limits", "protocol", "reason"],
        &[
            "alarm",
            "buffers",
            "challenge",
            "drain",
            "metrics",
            "report",
            "resolve",
            "telemetry",
        ],
        &["access_log", "aside", "tasks"],
        &["config", "thread"],
        &["message"],
        &[
            "h1",
            "journal",
            "keys",
            "low_ports",
            "meter",
            "prepare",
            "probe",
            "unix_socket",
        ],
        &[
            "control",
            "front",
            "handover",
            "listen",
            "proxy_protocol",
            "readiness",
            "tls",
            "upstream",
        ],
        // Shows what the parts say of themselves.
        &["admin"],
        &["proxy"],
        &["worker"],
        &["app"],
    ],
};

/// Modules that compute and do nothing else.
const PURE: &[&str] = &[
    "control-plane/src/model",
    "control-plane/src/event",
    "control-plane/src/snapshot",
    "control-plane/src/versions",
    "control-plane/src/state",
    "control-plane/src/presence",
    "control-plane/src/observe",
    "control-plane/src/plan",
    "control-plane/src/project",
    "control-plane/src/checkpoint",
    "data-plane/matcher/src",
    "data-plane/src/snapshot",
    "data-plane/src/balance",
    "data-plane/src/filter",
    "data-plane/src/router",
];

/// What a request passes on its way, and what that stands on.
const REQUEST_PATH: &[&str] = &[
    "data-plane/matcher/src",
    "data-plane/src/access_log",
    "data-plane/src/active",
    "data-plane/src/alarm",
    "data-plane/src/balance",
    "data-plane/src/buffers",
    "data-plane/src/challenge",
    "data-plane/src/clock",
    "data-plane/src/drain",
    "data-plane/src/filter",
    "data-plane/src/front",
    "data-plane/src/h1",
    "data-plane/src/limits",
    "data-plane/src/message",
    "data-plane/src/metrics",
    "data-plane/src/protocol",
    "data-plane/src/proxy",
    "data-plane/src/proxy_protocol",
    "data-plane/src/reason",
    "data-plane/src/resolve",
    "data-plane/src/router",
    "data-plane/src/snapshot",
    "data-plane/src/tasks",
    "data-plane/src/telemetry/trace",
    "data-plane/src/thread",
    "data-plane/src/tls",
    "data-plane/src/upstream",
    "data-plane/src/worker",
];

const NAMES: &[Naming<'_>] = &[
    Naming {
        because: "the request path takes no lock",
        paths: &[
            "*::Condvar",
            "*::FairMutex",
            "*::Mutex",
            "*::ReentrantMutex",
            "*::RwLock",
            "parking_lot",
            "std::sync::Mutex",
            "std::sync::RwLock",
            "tokio::sync::Mutex",
            "tokio::sync::RwLock",
        ],
        within: REQUEST_PATH,
        except: &[],
    },
    Naming {
        because: "a pure module names no runtime, clock, chance, file, network or client",
        paths: &[
            "tokio",
            "tokio_stream",
            "futures",
            "tonic",
            "hyper",
            "h2",
            "kube",
            "rand",
            "getrandom",
            "fastrand",
            "notify",
            "rustix",
            "socket2",
            "sled",
            "std::env",
            "std::fs",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::ToSocketAddrs",
            "std::net::UdpSocket",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "*::now",
        ],
        within: PURE,
        except: &[],
    },
    Naming {
        because: "only the conversion names Kubernetes' types",
        paths: &["k8s_openapi"],
        within: PURE,
        except: &[("control-plane/src/observe/convert", "it is the conversion")],
    },
    Naming {
        because: "one file turns errors into status codes",
        paths: &[
            "*::BAD_GATEWAY",
            "*::BAD_REQUEST",
            "*::GATEWAY_TIMEOUT",
            "*::INTERNAL_SERVER_ERROR",
            "*::METHOD_NOT_ALLOWED",
            "*::NOT_FOUND",
            "*::REQUEST_TIMEOUT",
            "*::SERVICE_UNAVAILABLE",
            "*::TOO_MANY_REQUESTS",
        ],
        within: &["data-plane/src"],
        except: &[
            ("data-plane/src/proxy/rescue", "it is that file"),
            (
                "data-plane/src/admin",
                "a port of its own, apart from traffic",
            ),
        ],
    },
    Naming {
        because: "connections are seen through our own `Head` and `Body`",
        paths: &["h2", "h3", "hyper", "hyper_util"],
        within: &["control-plane/src", "data-plane/src"],
        except: &[
            ("data-plane/src/front", "the codec towards clients"),
            ("data-plane/src/upstream", "the codec towards upstreams"),
            (
                "data-plane/src/control",
                "tonic takes a connection in hyper's wrapper",
            ),
            (
                "data-plane/src/admin",
                "a port of its own, apart from traffic",
            ),
            (
                "control-plane/src/acme/transport",
                "requests to a CA, which is no upstream",
            ),
            ("control-plane/src/admin", "a port of its own"),
            (
                "control-plane/src/serve",
                "tonic takes connections in hyper's wrapper",
            ),
        ],
    },
];

#[test]
fn the_sources_keep_their_rules() {
    let tree = Tree::read(&workspace()).unwrap();
    let rules = Rules {
        ranks: &[CONTROL_PLANE, DATA_PLANE],
        names: NAMES,
        one_file: &["sled"],
    };
    let faults = tree.faults(&rules);
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} faults:\n{}",
        lines.len(),
        lines.join("\n")
    );
}
