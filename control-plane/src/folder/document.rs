//! The text of a file becomes objects.
//!
//! Pure, and apart from files: one bad document spoils neither the others of its file nor the
//! order in which they stand.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::key::Kind;
use crate::observe::Seen;
use crate::observe::convert::{Document, Place, read, read_as};

/// What a document holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// Objects of the kinds that are watched, good or not.
    pub(super) objects: Vec<Seen>,
    /// What cannot be read: objects may be missing.
    pub(super) broken: Vec<String>,
    /// What can be read and is not used, and why.
    pub(super) unused: Vec<String>,
}

/// The form of a file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Yaml,
}

/// Cuts a text into documents. As kubectl does, by lines that begin with `---`: within a
/// document of YAML none does.
pub(super) fn documents(form: Form, text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if form == Form::Json {
        return vec![text];
    }
    let mut documents = Vec::new();
    let (mut rest, mut end, mut begun) = (text, 0, false);
    for line in text.split_inclusive('\n') {
        // Directives and comments belong to the document that follows.
        if is_separator(line) {
            if begun {
                let (document, after) = rest.split_at(end);
                documents.push(document);
                (rest, end) = (after, 0);
            }
            begun = true;
        } else {
            begun = begun || is_content(line);
        }
        end += line.len();
    }
    documents.push(rest);
    documents
}

/// Reads one of a file's documents.
pub(super) fn parse(form: Form, file: &str, position: usize, text: &str) -> Contents {
    let mut contents = Contents::default();
    let place = format!("{file}:{position:06}");
    match form {
        Form::Json => {
            let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            for (position, value) in values.enumerate() {
                match value {
                    Ok(value) => contents.take(&format!("{file}:{position:06}"), &value),
                    Err(error) => contents.broken.push(error.to_string()),
                }
            }
        }
        Form::Yaml if !text.lines().any(|l| is_content(l) && !is_bare_separator(l)) => {}
        Form::Yaml => contents.take_yaml(&place, position, text),
    }
    contents
}

impl Contents {
    /// Adds what another document of the same file holds.
    pub(super) fn extend(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.broken.extend(other.broken);
        self.unused.extend(other.unused);
    }

    fn take_yaml(&mut self, place: &str, position: usize, text: &str) {
        if let Some(kind) = plain_kind(text) {
            let version = hash(text.as_bytes());
            let version = Place::Folder {
                rank: place,
                version: &version,
            };
            let read = serde_saphyr::with_deserializer_from_str_with_options(
                text,
                options(false),
                |yaml| read_as(version, kind, yaml),
            );
            match read {
                Ok(Ok(seen)) => return self.objects.push(seen),
                Ok(Err(error)) => return self.unused.push(format!("{place}: {error}")),
                // What is wrong with it is found below.
                Err(_) => {}
            }
        }
        match serde_saphyr::from_str_with_options::<Value>(text, options(true)) {
            Ok(value) => self.take(place, &value),
            Err(error) => self
                .broken
                .push(format!("document {}: {error}", position + 1)),
        }
    }

    /// Takes an object, or each of a list.
    fn take(&mut self, place: &str, value: &Value) {
        let kind = value.get("kind").and_then(Value::as_str);
        let items = value.get("items").and_then(Value::as_array);
        if let (true, Some(items)) = (kind.is_some_and(|kind| kind.ends_with("List")), items) {
            for (position, item) in items.iter().enumerate() {
                self.take_object(&format!("{place}.{position:06}"), item);
            }
        } else if !value.is_null() {
            self.take_object(place, value);
        }
    }

    fn take_object(&mut self, place: &str, value: &Value) {
        let version = hash(value.to_string().as_bytes());
        let version = Place::Folder {
            rank: place,
            version: &version,
        };
        match read(version, value) {
            Document::Object(seen) => self.objects.push(*seen),
            Document::Foreign => {
                tracing::debug!(place, "an object of a kind that is not served: left out");
            }
            Document::Nameless(error) => self.unused.push(format!("{place}: {error}")),
            Document::Unknown => self.unused.push(format!(
                "{place}: is no Kubernetes object: it has no apiVersion and kind"
            )),
        }
    }
}

/// The kind of a document that says plainly, at the beginning of lines of their own, that it is
/// an object that is served: it can be read without being made a tree of first, which takes
/// half the time. What looks otherwise takes the long way and comes to the same.
fn plain_kind(text: &str) -> Option<Kind> {
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines
            .next()
            .map(|value| value.trim_matches([' ', '\r', '"']))
    };
    let (kind, served) = match field("kind:")? {
        "EndpointSlice" => (Kind::EndpointSlice, "discovery.k8s.io/v1"),
        "Ingress" => (Kind::Ingress, "networking.k8s.io/v1"),
        "IngressClass" => (Kind::IngressClass, "networking.k8s.io/v1"),
        "Service" => (Kind::Service, "v1"),
        _ => return None,
    };
    (field("apiVersion:")? == served).then_some(kind)
}

/// A tree must not take `no` or `on` for a truth value where a name is meant; a type knows.
fn options(for_a_tree: bool) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: MAX_EVENTS, max_nodes: MAX_EVENTS },
        strict_booleans: for_a_tree,
        // An error must not show what stands in a file.
        with_snippet: false,
    }
}

fn hash(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(32);
    for byte in Sha256::digest(bytes).iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn is_bare_separator(line: &str) -> bool {
    is_separator(line) && !is_content(line.trim_start_matches('-'))
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', '%'])
}

/// A file of the greatest size that is read has fewer.
const MAX_EVENTS: usize = 20_000_000;
