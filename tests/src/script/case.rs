//! One case while it is played: what it applied, who answers for it, what was seen wrong.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::DynamicObject};
use serde_json::{Value, json};

use super::{Answer, Script, Stage, Step};
use crate::{echo::Echo, installation::HTTP, installation::SOON, wait};

/// A case on the stage.
pub(super) struct Case<'a> {
    stage: &'a mut Stage,
    /// As applied last, with the object that it became, by kind, namespace and name.
    applied: BTreeMap<String, (Value, DynamicObject)>,
    echoes: Vec<Echo>,
    /// The keys of the configuration that the case has set.
    configured: Value,
}

impl<'a> Case<'a> {
    pub(super) fn new(stage: &'a mut Stage) -> Self {
        Self {
            stage,
            applied: BTreeMap::new(),
            echoes: Vec::new(),
            configured: json!({}),
        }
    }

    pub(super) async fn play(&mut self, script: &Script) -> anyhow::Result<()> {
        for step in &script.steps {
            self.step(step).await?;
        }
        Ok(())
    }

    /// Deletes what was applied, and waits until that is served everywhere.
    pub(super) async fn clear(mut self) -> anyhow::Result<()> {
        for (object, _) in std::mem::take(&mut self.applied).into_values() {
            let objects = self.stage.cluster.objects();
            objects.delete(&object.to_string()).await?;
        }
        self.configure(&json!({})).await?;
        self.stage.settle().await
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Apply(object) => self.apply(object).await,
            Step::Backends(names) => self.backends(names).await,
            Step::Echo(endpoints) => {
                for (who, address) in endpoints {
                    self.echoes.push(Echo::start(who, *address).await?);
                }
                Ok(())
            }
            Step::Expect(table) => {
                self.stage.settle().await?;
                answers(table).await
            }
            Step::Eventually(table) => {
                let until_it_comes = wait::until_ok("Kubernetes' controllers", SOON, async || {
                    answers(table).await
                });
                until_it_comes.await
            }
            Step::Events(table) => self.events(table).await,
            Step::Delete(names) => {
                for name in names {
                    self.delete(name).await?;
                }
                Ok(())
            }
            Step::Configure(keys) => self.configure(keys).await,
            Step::Younger(()) => self.younger().await,
            Step::Refused { object, says } => {
                let objects = self.stage.cluster.objects();
                let applied = objects.apply(&object.to_string()).await;
                let error = applied.err().context("it was not refused")?;
                let text = format!("{error:#}");
                ensure!(text.contains(says), "refused, but: {text}");
                Ok(())
            }
        }
    }

    async fn apply(&mut self, object: &Value) -> anyhow::Result<()> {
        let objects = self.stage.cluster.objects();
        let applied = objects.apply(&object.to_string()).await?;
        let applied = applied.into_iter().next().context("an object")?;
        self.applied.insert(key(object), (object.clone(), applied));
        Ok(())
    }

    async fn backends(&mut self, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            let address = self.stage.address()?;
            self.echoes.push(Echo::start(name, address).await?);
            for object in [service(namespace, name), slice(namespace, name, address)] {
                self.apply(&object).await?;
            }
        }
        Ok(())
    }

    /// Events are written after the fact, so that these are waited for.
    async fn events(&self, table: &BTreeMap<String, Answer>) -> anyhow::Result<()> {
        let api: Api<Event> = Api::all(self.stage.cluster.client());
        for (object, expected) in table {
            let (_, applied) = self.applied.get(&named(object)).context("not applied")?;
            let uid = applied.metadata.uid.as_deref().context("a uid")?;
            for text in expected.texts() {
                let what = format!("an Event on {object}: {text}");
                wait::until_ok(&what, SOON, async || {
                    let found = of_object(&api, uid).await?;
                    if !found.iter().any(|event| is(event, text)) {
                        bail!("there is {found:?}");
                    }
                    Ok(())
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn delete(&mut self, name: &str) -> anyhow::Result<()> {
        let (object, _) = self.applied.remove(&named(name)).context("not applied")?;
        let objects = self.stage.cluster.objects();
        objects.delete(&object.to_string()).await
    }

    async fn configure(&mut self, keys: &Value) -> anyhow::Result<()> {
        if self.configured == *keys {
            return Ok(());
        }
        self.configured = keys.clone();
        let operator = self.stage.control_plane.operator()?;
        let before = operator.count_events("Configured").await?;
        self.stage.control_plane.configure(keys)?;
        wait::until_ok("the configuration is read anew", SOON, async || {
            let now = operator.count_events("Configured").await?;
            ensure!(now > before, "{now} times");
            Ok(())
        })
        .await
    }

    async fn younger(&self) -> anyhow::Result<()> {
        let created = self.applied.values().filter_map(|(_, object)| {
            let created = object.metadata.creation_timestamp.as_ref()?;
            Some(created.0.as_second())
        });
        let newest = created.max().unwrap_or_default();
        wait::until("the next second", SOON, async || {
            (Timestamp::now().as_second() > newest).then_some(())
        })
        .await
    }
}

async fn answers(table: &BTreeMap<String, Answer>) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (asked, answer) in table {
        if let Err(error) = answer.comes(HTTP, asked).await {
            wrong.push(format!("{error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Type, reason and note of all Events on an object.
async fn of_object(api: &Api<Event>, uid: &str) -> anyhow::Result<Vec<[String; 3]>> {
    let events = api.list(&Default::default()).await?;
    let about = |event: &Event| {
        let regarding = event.regarding.as_ref();
        regarding.and_then(|object| object.uid.as_deref()) == Some(uid)
    };
    let events = events.items.into_iter().filter(about);
    let texts = events.map(|event| [event.type_, event.reason, event.note]);
    Ok(texts
        .map(|texts| texts.map(Option::unwrap_or_default))
        .collect())
}

/// Whether an Event is what `Type Reason words of the note` says.
fn is([kind, reason, note]: &[String; 3], text: &str) -> bool {
    let mut words = text.splitn(3, ' ');
    words.next() == Some(kind)
        && words.next() == Some(reason)
        && note.contains(words.next().unwrap_or_default())
}

/// `Kind namespace/name` of an object, in small letters.
fn key(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = &object["metadata"];
    let kind = text(&object["kind"]).unwrap_or_default();
    let name = text(&metadata["name"]).unwrap_or_default();
    match text(&metadata["namespace"]) {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// The same of what a step names.
fn named(text: &str) -> String {
    text.replacen(" default/", " ", 1)
}

fn service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": in_namespace(namespace, name, &json!({})),
        "spec": {"ports": [{"name": "http", "port": 80}]},
    })
}

fn slice(namespace: &str, name: &str, address: SocketAddr) -> Value {
    let labels = json!({"kubernetes.io/service-name": name});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": in_namespace(namespace, name, &labels),
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address.ip()]}],
        "ports": [{"name": "http", "port": address.port()}],
    })
}

/// As a file would say it: what is in `default` names no namespace.
fn in_namespace(namespace: &str, name: &str, labels: &Value) -> Value {
    if namespace == "default" {
        json!({"name": name, "labels": labels})
    } else {
        json!({"name": name, "namespace": namespace, "labels": labels})
    }
}
