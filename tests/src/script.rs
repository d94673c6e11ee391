//! A case as a file: objects to apply and answers to expect, in the order of the documents.
//!
//! What a user would write and ask is then all there is to read of a case. A document with an
//! `apiVersion` is an object, applied as it stands; every other has one key, which is a [`Step`].
//! An `expect` is asked once everything before it is served everywhere, and its first answers
//! count.

mod answer;
mod case;
mod stage;

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

pub use answer::Answer;
pub use stage::Stage;

/// A case: what is done, in order.
#[derive(Debug)]
pub struct Script {
    pub(crate) steps: Vec<Step>,
}

/// One document of a case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// An object of Kubernetes.
    #[serde(skip)]
    Apply(Value),
    /// Services of port 80 (`http`) with one endpoint each, which answers by the Service's name:
    /// `name`, or `namespace/name`.
    Backends(Vec<String>),
    /// Endpoints by the name that they answer by, for EndpointSlices that are written out.
    Echo(BTreeMap<String, SocketAddr>),
    /// Answers by host and path: who answers, or the proxy's own status and reason.
    Expect(BTreeMap<String, Answer>),
    /// The same where Kubernetes' own controllers have a part in it, and take their time.
    Eventually(BTreeMap<String, Answer>),
    /// Kubernetes Events by the object that they are about (`Ingress web`): type, reason, and
    /// what the note has in it.
    Events(BTreeMap<String, Answer>),
    /// Objects that were applied, as `Ingress web` or `Ingress namespace/web`.
    Delete(Vec<String>),
    /// Keys of the control plane's configuration that are to be so from here on.
    Configure(Value),
    /// What is made from here on is younger than what is there, by the whole seconds of the API
    /// server's clock.
    Younger(()),
    /// An object that the API server itself refuses, and what it says.
    Refused { object: Value, says: String },
}

impl Script {
    /// Reads a case's file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("read YAML")?;
        let documents = documents.into_iter().filter(|document| !document.is_null());
        let steps = documents.map(|document| {
            if document.get("apiVersion").is_some() {
                return Ok(Step::Apply(document));
            }
            let shown = document.to_string();
            serde_json::from_value(document).with_context(|| format!("no step: {shown}"))
        });
        let steps = steps.collect::<anyhow::Result<_>>()?;
        Ok(Self { steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_objects_and_steps_in_order() {
        let text = "backends: [a, two/b]\n---\n{apiVersion: v1, kind: Service}\n---\n\
                    expect:\n  x.example/a: a\n  x.example/b: [a, b]\n---\n\
                    younger:\n";
        let Script { steps } = Script::parse(text).unwrap();
        let [
            Step::Backends(backends),
            Step::Apply(object),
            Step::Expect(table),
            Step::Younger(_),
        ] = &*steps
        else {
            panic!("{steps:?}");
        };
        assert_eq!(backends, &["a", "two/b"]);
        assert_eq!(object["kind"], "Service");
        let answers: Vec<Vec<&str>> = table.values().map(|a| a.texts().collect()).collect();
        assert_eq!(answers, [vec!["a"], vec!["a", "b"]]);
    }

    #[test]
    fn an_unknown_step_is_an_error() {
        Script::parse("expekt: {x.example/: a}").unwrap_err();
        Script::parse("expect: {x.example/: a}\nevents: {}").unwrap_err();
    }
}
