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
//! | `roadstead_objects_held` | `origin`, `kind` | objects that were not found any more and are held back |
//! | `roadstead_kinds_unlistable` | `origin`, `kind` | 1 for a kind that cannot be listed now |
//! | `roadstead_watch_lists_total` | `kind` | complete lists from the Kubernetes API |
//! | `roadstead_watch_failures_total` | `kind`, `cause` | lists and watches that failed |
//! | `roadstead_watch_unnamed_objects_total` | `kind` | objects without a usable name, left out |
//! | `roadstead_folder_files`, `roadstead_folder_objects` | | files of the folder, objects in them |
//! | `roadstead_folder_broken_files` | | files that cannot be read in full |
//! | `roadstead_folder_reads_total` | | files that were read |
//! | `roadstead_folder_unused_documents_total` | | documents without a name, or there a second time |
//! | `roadstead_recovery_records` | `origin`, `state` | recovery records that are wanted, stored, left out |
//! | `roadstead_recovery_failures_total` | `origin`, `cause` | recovery records that could not be read, written, removed |
//! | `roadstead_ingress_status_writes_total` | `outcome` | statuses of Ingresses that were to be written |
//! | `roadstead_proxies` | `state` | connected proxies that hold the version served now, or do not yet |
//! | `roadstead_streams_total` | `end` | streams of proxies that ended, by why |
//! | `roadstead_transfers_total` | `scope` | transfers to proxies |
//! | `roadstead_transfer_bytes_total` | | bytes of transfers |
//! | `roadstead_acks_total` | | acknowledgements of transfers |
//! | `roadstead_nacks_total` | | transfers that a proxy could not use |
//! | `roadstead_differences_total` | | times that a proxy held something else than it had acknowledged |
//! | `roadstead_ack_seconds` | | from the end of a transfer to its acknowledgement |
//! | `roadstead_calls_refused_total` | `cause` | calls without the right token |
//! | `roadstead_secrets_bundles` | `state` | certificates with their keys that this replica holds, or that are referred to and missing here |
//! | `roadstead_secrets_calls_total` | `outcome` | calls of proxies and replicas for secrets |
//! | `roadstead_secrets_asked_total` | `outcome` | secrets that were asked for, and given or not held |
//! | `roadstead_log_lines_dropped_total` | | log lines that standard output did not take in time |

pub mod acme;
pub mod engine;
pub mod folder;
pub mod leadership;
pub mod log;
pub mod recovery;
pub mod secrets;
pub mod status;
pub mod streams;
pub mod watch;

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

/// Shows how many log lines were dropped so far. Its own, because the log cannot tell.
pub fn lines_dropped(meter: &Meter, count: impl Fn() -> u64 + Send + Sync + 'static) {
    meter
        .u64_observable_counter("roadstead.log.lines.dropped")
        .with_description("Log lines that standard output did not take in time.")
        .with_callback(move |observer| observer.observe(count(), &[]))
        .build();
}

const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

#[cfg(test)]
mod tests;
