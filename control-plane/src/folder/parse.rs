//! A file becomes the objects in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use roadstead_proto::digest::body_hash;
use serde_json::Value;

use crate::folder::catalogue::Contents;
use crate::observe::Seen;
use crate::observe::convert::{self, Document, Place};

/// Reads a file below the root.
pub(super) fn read(root: &Path, path: &Path) -> Contents {
    match text(path) {
        Ok(text) => parse(&super::name(root, path), &text),
        Err(error) => Contents::Unreadable(error.to_string()),
    }
}

/// The objects of a text: YAML of one or more documents, of which JSON is a part. A `List` is
/// its items.
pub(super) fn parse(file: &str, text: &str) -> Contents {
    let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
        Ok(documents) => documents,
        Err(error) => return Contents::Unreadable(error.to_string()),
    };
    let mut objects = Vec::new();
    let mut position = 0;
    for document in &documents {
        let kind = document.get("kind").and_then(Value::as_str);
        match (kind, document.get("items").and_then(Value::as_array)) {
            (Some(kind), Some(items)) if kind.ends_with("List") => {
                for item in items {
                    objects.extend(object(file, position, item));
                    position += 1;
                }
            }
            (_, _) => {
                objects.extend(object(file, position, document));
                position += 1;
            }
        }
    }
    Contents::Objects(objects)
}

fn object(file: &str, position: usize, document: &Value) -> Option<Seen> {
    if document.is_null() {
        return None;
    }
    // As text, positions must come in the order of numbers.
    let rank = format!("{file}:{position:06}");
    let hash = u128::from_be_bytes(body_hash(document.to_string().as_bytes()));
    let version = format!("{hash:032x}");
    let place = Place::Folder {
        rank: &rank,
        version: &version,
    };
    match convert::read(place, document) {
        Document::Object(seen) => Some(seen),
        Document::Foreign => {
            tracing::debug!(file, position, "not of a kind that is served");
            None
        }
        Document::Nameless(error) => {
            tracing::error!(file, position, %error, "the object is passed over");
            None
        }
        Document::Unknown => {
            tracing::error!(
                file,
                position,
                "passed over: apiVersion and kind are missing"
            );
            None
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_FILE) {
        return Err(io::Error::other("larger than 16 MiB: split it"));
    }
    Ok(text)
}

const MAX_FILE: u64 = 16 << 20;
