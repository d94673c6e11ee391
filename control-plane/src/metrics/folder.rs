//! Instruments of the folder.

use opentelemetry::metrics::{Counter, Gauge, Meter};

/// Counters and gauges, without labels.
#[derive(Clone, Debug)]
pub struct FolderMetrics {
    pub files: Gauge<u64>,
    pub objects: Gauge<u64>,
    pub broken: Gauge<u64>,
    pub reads: Counter<u64>,
    pub unused: Counter<u64>,
}

impl FolderMetrics {
    /// Registers them.
    pub fn new(meter: &Meter) -> Self {
        Self {
            files: meter
                .u64_gauge("roadstead.folder.files")
                .with_description("Files of the folder.")
                .build(),
            objects: meter
                .u64_gauge("roadstead.folder.objects")
                .with_description("Objects in the folder's files.")
                .build(),
            broken: meter
                .u64_gauge("roadstead.folder.broken.files")
                .with_description("Files that cannot be read in full.")
                .build(),
            reads: meter
                .u64_counter("roadstead.folder.reads")
                .with_description("Files that were read.")
                .build(),
            unused: meter
                .u64_counter("roadstead.folder.unused.documents")
                .with_description(
                    "Documents that were read and not used: without a name, or a second time.",
                )
                .build(),
        }
    }
}
