//! Objects of any kind as YAML: applied, read, patched, deleted.
//!
//! Cases of a test are then what a user would write. Kinds are looked up at the API server, so
//! that nothing here has a list of them; typed access is by [`Cluster::client`](super::Cluster).

use anyhow::{Context, anyhow, ensure};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{self, Scope},
};
use serde_json::Value;

/// Access to the objects of a cluster.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

impl Objects {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes every object of a stream of YAML documents be as written (server-side apply); returns
    /// what the API server made of them. Without a namespace it is `default`.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<Vec<DynamicObject>> {
        let parameters = PatchParams::apply("roadstead-tests").force();
        let mut applied = Vec::new();
        for object in parse(yaml)? {
            let api = self.api(&object).await?;
            let name = object.name_any();
            let kind = object
                .types
                .clone()
                .map(|types| types.kind)
                .unwrap_or_default();
            let object = api
                .patch(&name, &parameters, &Patch::Apply(&object))
                .await
                .with_context(|| format!("apply {kind} {name}"))?;
            applied.push(object);
        }
        Ok(applied)
    }

    /// Deletes every object that the documents name; an absent one is as good as deleted.
    pub async fn delete(&self, yaml: &str) -> anyhow::Result<()> {
        for object in parse(yaml)? {
            let name = object.name_any();
            match self
                .api(&object)
                .await?
                .delete(&name, &DeleteParams::default())
                .await
            {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(anyhow!(error).context(format!("delete {name}"))),
            }
        }
        Ok(())
    }

    /// Reads the object that a document names.
    pub async fn read(&self, yaml: &str) -> anyhow::Result<Option<DynamicObject>> {
        let object = one(yaml)?;
        Ok(self.api(&object).await?.get_opt(&object.name_any()).await?)
    }

    /// Changes the object that a document names by a JSON merge patch; `subresource` may be
    /// `status`, or empty for the object itself.
    pub async fn patch(
        &self,
        yaml: &str,
        subresource: &str,
        patch: &Value,
    ) -> anyhow::Result<DynamicObject> {
        let object = one(yaml)?;
        let api = self.api(&object).await?;
        let (name, parameters) = (object.name_any(), PatchParams::default());
        let patch = Patch::Merge(patch);
        Ok(match subresource {
            "" => api.patch(&name, &parameters, &patch).await?,
            _ => {
                api.patch_subresource(subresource, &name, &parameters, &patch)
                    .await?
            }
        })
    }

    async fn api(&self, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
        let types = object
            .types
            .as_ref()
            .context("an object without apiVersion and kind")?;
        let kind = GroupVersionKind::try_from(types)?;
        let (resource, capabilities) = discovery::pinned_kind(&self.client, &kind)
            .await
            .with_context(|| format!("look up {}", types.kind))?;
        let client = self.client.clone();
        Ok(match capabilities.scope {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Namespaced => {
                let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
                Api::namespaced_with(client, &namespace, &resource)
            }
        })
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

fn one(yaml: &str) -> anyhow::Result<DynamicObject> {
    parse(yaml)?.into_iter().next().context("no document")
}

fn parse(yaml: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("read YAML")?;
    let documents = documents.into_iter().filter(|document| !document.is_null());
    let objects = documents.map(|document| {
        let object: DynamicObject = serde_json::from_value(document.clone())
            .with_context(|| format!("not an object: {document}"))?;
        ensure!(
            object.metadata.name.is_some(),
            "an object without a name: {document}"
        );
        Ok(object)
    });
    objects.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_objects_and_an_empty_one_is_passed_over() {
        let yaml = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n---\n\
                    {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {x: 1}}\n";
        let objects = parse(yaml).unwrap();
        let names: Vec<_> = objects.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(objects[1].data["spec"]["x"], 1);
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        parse("{apiVersion: v1, kind: Pod, metadata: {}}").unwrap_err();
    }
}
