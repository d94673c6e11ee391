//! What is counted and measured, with labels from closed sets only.
//!
//! One file for each owner, which is given its instruments and alone records them; together
//! here, because names are what dashboards and alerts are made of, and this is their table.
//!
//! | name as Prometheus shows it | labels | meaning |
//! |---|---|---|
//! | `roadstead_log_records_total` | `class` | records appended |
//! | `roadstead_log_append_seconds` | | time to make a batch durable |
//! | `roadstead_log_size_bytes` | | size of the log's folder |
//! | `roadstead_log_writable` | | 1 while the log can be written |
//! | `roadstead_engine_turn_seconds` | | time of a turn, from inbox to publication |
//! | `roadstead_publications_total` | | publications |
//! | `roadstead_published_epoch`, `roadstead_published_seq` | | the version served now |
//! | `roadstead_resources` | `type` | resources of the snapshot served now |
//! | `roadstead_objects_refused` | `kind`, `reason` | objects that cannot be used as they are now |
//! | `roadstead_watch_state` | `origin`, `kind`, `state` | 1 for the state that a watch is in |
//! | `roadstead_watch_failures_total` | `origin`, `kind` | lists and watches that failed |
//! | `roadstead_recovery_records` | `origin`, `state` | recovery records that are wanted, stored, left out |
//! | `roadstead_recovery_failures_total` | `origin`, `cause` | recovery records that could not be read, written, removed |
//! | `roadstead_proxies` | `state` | connected proxies that hold the version served now, or do not yet |
//! | `roadstead_streams_total` | `end` | streams of proxies that ended, by why |
//! | `roadstead_transfers_total` | `scope` | transfers to proxies |
//! | `roadstead_transfer_bytes_total` | | bytes of transfers |
//! | `roadstead_acks_total` | | acknowledgements of transfers |
//! | `roadstead_nacks_total` | | transfers that a proxy could not use |
//! | `roadstead_ack_seconds` | | from the end of a transfer to its acknowledgement |
//! | `roadstead_calls_refused_total` | `cause` | calls without the right token |

pub mod engine;
pub mod log;
pub mod recovery;
pub mod sources;
pub mod streams;

use opentelemetry::metrics::{Histogram, Meter};

/// A histogram of seconds, from half a millisecond to ten seconds.
fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(SECONDS.to_vec())
        .build()
}

const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

#[cfg(test)]
mod tests;
