//! The shape of all that is stored: what is new in it is a new schema.
//!
//! A release that meets a field or a value that it does not know would read a record as another
//! fact than it is, or not at all. By the schema it knows that it cannot read it, and sets its log
//! aside, or stays apart from a leader whose log it is. `logs/schema-N.shapes` holds, line by line,
//! what records and checkpoints of that schema consist of, and never changes.
//!
//! What stands in one text, as the pattern of a host does, is one value here: who reads more into
//! it raises the schema, too.

#![cfg(test)]

#[path = "shapes/tracer.rs"]
mod tracer;

use std::path::Path;

use roadstead_control_plane::event::{Event, codec};
use roadstead_control_plane::model::key::ObjectKey;
use roadstead_control_plane::state::{Head, Held};
use roadstead_control_plane::versions::Made;

use tracer::Shapes;

const BUNDLE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn what_is_new_in_what_is_stored_is_a_new_schema() {
    let shapes = Shapes::new([
        ("Listener.address", "::"),
        ("Endpoint.address", "::"),
        ("Listener.proxyProtocol", "10.0.0.0/8"),
        ("Certificate.bundle", BUNDLE),
        ("TicketSecret.bundle", BUNDLE),
        ("Text::exact", "/"),
        ("Text::prefix", "/"),
        ("Text::bytePrefix", "/"),
    ]);
    // Of records, and of the entries of checkpoints.
    shapes.trace::<Event>();
    shapes.trace::<ObjectKey>();
    shapes.trace::<Head>();
    shapes.trace::<Held>();
    shapes.trace::<Made>();
    let found = shapes.to_string();
    let schema = codec::SCHEMA;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let file = file.join(format!("schema-{schema}.shapes"));
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    if known != found {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema.shapes");
        std::fs::write(&new, found).unwrap();
        panic!(
            "what is stored is not what schema {schema} stores: raise codec::SCHEMA, begin \
             tests/logs/schema-N.log, .checkpoint and .shapes for it, and leave those of schema \
             {schema} as they are. The shapes of now are in {}",
            new.display()
        );
    }
}
