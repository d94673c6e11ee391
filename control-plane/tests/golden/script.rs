//! A golden file as steps.
//!
//! `#: settings {…}` changes settings, `#: then` begins another step, `#: delete` one whose
//! objects are gone, `#: list KIND` one whose objects are all there are of that kind, and
//! `#: file NAME` says that what follows stands in a file of the folder.

use roadstead_control_plane::model::key::{Kind, Origin};
use roadstead_control_plane::model::settings::Settings;
use roadstead_control_plane::observe::convert::{Document, Place, read};
use roadstead_control_plane::observe::{Observation, Seen};
use serde_json::Value;

pub(super) struct Step {
    pub(super) title: String,
    pub(super) observations: Vec<Observation>,
}

pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps = vec![];
    let mut step = Raw {
        settings: Some(settings("{}")),
        ..Raw::default()
    };
    for line in text.lines() {
        let Some(directive) = line.strip_prefix("#: ") else {
            step.part().1.push_str(line);
            step.part().1.push('\n');
            continue;
        };
        let (verb, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match verb {
            "settings" => step.settings = Some(settings(rest)),
            "file" => step.parts.push((Some(rest.into()), String::new())),
            "then" | "delete" | "list" => {
                steps.push(std::mem::take(&mut step).read());
                step.verb = directive.into();
            }
            _ => panic!("{line}"),
        }
    }
    steps.push(step.read());
    steps
}

#[derive(Default)]
struct Raw {
    verb: String,
    settings: Option<Settings>,
    /// File name and text.
    parts: Vec<(Option<String>, String)>,
}

impl Raw {
    fn part(&mut self) -> &mut (Option<String>, String) {
        if self.parts.is_empty() {
            self.parts.push((None, String::new()));
        }
        self.parts.last_mut().unwrap()
    }

    fn read(self) -> Step {
        let mut observations = vec![];
        observations.extend(self.settings.map(Observation::Configured));
        let objects: Vec<Seen> = self
            .parts
            .iter()
            .flat_map(|(file, text)| objects(file.as_deref(), text))
            .collect();
        let title = match self.verb.as_str() {
            "" | "then" => {
                observations.extend(objects.into_iter().map(Observation::Changed));
                String::new()
            }
            "delete" => {
                let keys = objects.into_iter().map(|seen| seen.key);
                observations.extend(keys.map(Observation::Deleted));
                ": deleted".into()
            }
            list => {
                let kind = list.strip_prefix("list ").unwrap();
                observations.push(Observation::Listed {
                    origin: Origin::Kubernetes,
                    kind: Kind::ALL
                        .into_iter()
                        .find(|known| known.as_str() == kind)
                        .unwrap(),
                    objects,
                    unreadable: vec![],
                });
                format!(": all of kind {kind}")
            }
        };
        Step {
            title,
            observations,
        }
    }
}

fn objects(file: Option<&str>, text: &str) -> Vec<Seen> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).unwrap();
    let documents = documents.into_iter().filter(|document| !document.is_null());
    documents
        .enumerate()
        .filter_map(|(position, document)| {
            let rank = file.map(|file| format!("{file}:{position:06}"));
            let place = match &rank {
                Some(rank) => Place::Folder { rank, version: "1" },
                None => Place::Kubernetes,
            };
            match read(place, &document) {
                Document::Object(seen) => Some(*seen),
                Document::Foreign if file.is_some() => None,
                other @ (Document::Foreign | Document::Nameless(_) | Document::Unknown) => {
                    panic!("{other:?}: {document}")
                }
            }
        })
        .collect()
}

fn settings(yaml: &str) -> Settings {
    let mut settings = serde_json::to_value(Settings::default()).unwrap();
    let changes: Value = serde_saphyr::from_str(yaml).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    serde_json::from_value(settings).unwrap()
}
