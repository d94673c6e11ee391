//! The page of all keys of both planes' configuration, made from what stands beside each key in the
//! sources: who has the chart has no sources.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, ensure};
use roadstead_data_plane::config::Config as DataPlane;
use serde_json::Value;

use crate::deploy::chart;
use crate::program::built::workspace;

/// The page, in the chart's folder.
pub const PAGE: &str = "CONFIGURATION.md";

/// What it has to say.
pub fn page() -> anyhow::Result<String> {
    let schema = fs::read_to_string(chart::folder().join("values.schema.json"))?;
    let schema: Value = serde_json::from_str(&schema)?;
    let mut page = HEAD.to_owned();
    for (title, value, sources, defaults) in [
        ("Control plane", "controlPlane", CONTROL_PLANE, Value::Null),
        (
            "Data plane",
            "dataPlane",
            DATA_PLANE,
            serde_json::to_value(DataPlane::default())?,
        ),
    ] {
        write!(page, "\n## {title}\n\n")?;
        let at = format!("/properties/{value}/properties/config");
        let plane = Plane {
            structs: structs(sources)?,
            defaults,
        };
        plane.list("Config", "", schema.pointer(&at), &mut page)?;
    }
    Ok(page)
}

struct Plane {
    structs: BTreeMap<String, Struct>,
    /// What holds without a key, where the type can tell.
    defaults: Value,
}

#[derive(Default)]
struct Struct {
    about: String,
    fields: Vec<Field>,
}

struct Field {
    key: String,
    about: String,
    of: String,
}

impl Plane {
    /// The keys of a struct and of those in it, each with its path.
    fn list(
        &self,
        name: &str,
        below: &str,
        values: Option<&Value>,
        page: &mut String,
    ) -> anyhow::Result<()> {
        let of = self.structs.get(name).context(name.to_owned())?;
        let keys = |of: &Value| of.get("properties")?.as_object().cloned();
        for key in values.and_then(keys).unwrap_or_default().keys() {
            let known = of.fields.iter().any(|field| field.key == *key);
            ensure!(known, "the sources that are read have no {below}{key}");
        }
        for Field { key, about, of } in &of.fields {
            let path = format!("{below}{key}");
            let words = of.split(|c: char| !c.is_alphanumeric());
            let inner = words
                .rev()
                .find_map(|word| Some((word, self.structs.get(word)?)));
            let about = match inner {
                Some((_, inner)) if about.is_empty() => &inner.about,
                Some(_) | None => about,
            };
            ensure!(!about.is_empty(), "{path} has no documentation");
            let value = values.and_then(|values| values.pointer(&format!("/properties/{key}")));
            let marked = if value.is_some() {
                ""
            } else {
                " (kept by the chart)"
            };
            let parts = value.is_some_and(|value| value["properties"].is_object());
            ensure!(
                !parts || inner.is_some(),
                "the sources that are read have no {of}"
            );
            let default = self.default(&path).filter(|_| !about.contains("Default"));
            let default = default.map(|value| format!(" Default: {value}."));
            let default = default.unwrap_or_default();
            writeln!(page, "- `{path}`{marked}: {about}{default}")?;
            if let Some((inner, _)) = inner {
                let below = match of.split('<').next() {
                    Some("BTreeMap") => ".NAME.",
                    Some("Vec") => "[].",
                    Some(_) | None => ".",
                };
                self.list(inner, &format!("{path}{below}"), value, page)?;
            }
        }
        Ok(())
    }

    fn default(&self, path: &str) -> Option<String> {
        let found = self
            .defaults
            .pointer(&format!("/{}", path.replace('.', "/")))?;
        match found {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(found.to_string()),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// The structs of these files, which rustfmt has made regular.
fn structs(sources: &[&str]) -> anyhow::Result<BTreeMap<String, Struct>> {
    let mut structs: BTreeMap<String, Struct> = BTreeMap::new();
    for source in sources {
        let text =
            fs::read_to_string(workspace().join(source)).with_context(|| (*source).to_owned())?;
        let (mut within, mut about): (Option<&str>, Vec<&str>) = (None, Vec::new());
        for line in text.lines() {
            let code = line.trim();
            if let Some(said) = code.strip_prefix("///") {
                about.push(said.trim());
                continue;
            }
            if code.starts_with("#[") {
                continue;
            }
            let said = std::mem::take(&mut about).join(" ");
            let public = code.strip_prefix("pub ");
            if let Some(name) = public.and_then(|code| code.strip_prefix("struct ")) {
                within = name.strip_suffix(" {");
                if let Some(name) = within {
                    structs.entry(name.to_owned()).or_default().about = said;
                }
            } else if let (Some(name), Some((field, of))) =
                (within, public.and_then(|code| code.split_once(": ")))
            {
                let field = Field {
                    key: camel(field),
                    about: said,
                    of: of.trim_end_matches(',').to_owned(),
                };
                structs
                    .entry(name.to_owned())
                    .or_default()
                    .fields
                    .push(field);
            } else if line == "}" {
                within = None;
            }
        }
    }
    Ok(structs)
}

/// As serde writes it.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let mut key = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        key.push_str(letters.as_str());
    }
    key
}

const CONTROL_PLANE: &[&str] = &[
    "control-plane/src/config.rs",
    "control-plane/src/config/access.rs",
    "control-plane/src/config/acme.rs",
    "control-plane/src/config/beside.rs",
    "control-plane/src/config/certificates.rs",
    "control-plane/src/config/dns01.rs",
    "control-plane/src/config/guard.rs",
    "control-plane/src/config/ingress_status.rs",
    "control-plane/src/config/listener.rs",
];
const DATA_PLANE: &[&str] = &[
    "data-plane/src/config.rs",
    "data-plane/src/limits.rs",
    "data-plane/src/telemetry/settings.rs",
];
const HEAD: &str = "\
# Configuration

The keys of both planes' files, which are `controlPlane.config` and `dataPlane.config` among the values
of the chart. A key that the chart keeps to itself is marked, and is not among them; those of `acme`,
`certificates`, `listeners` and some others are values of the chart's own. Every key may be left out, and one that is
not known is refused. Times are written as `15s`, `500ms` or `1m30s`.

(Made from the sources by `cargo run --bin roadstead-reference`; a test holds that it was done.)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_all_keys_is_that_of_the_sources() {
        let shipped = fs::read_to_string(chart::folder().join(PAGE)).unwrap();
        assert!(
            shipped == page().unwrap(),
            "run cargo run --bin roadstead-reference: {PAGE} is not of these sources"
        );
    }
}
