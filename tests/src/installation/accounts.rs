//! ServiceAccounts and the tokens that pods of theirs are given, by the API server itself.

use anyhow::Context;
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::cluster::Cluster;

/// The ServiceAccounts of one namespace.
#[derive(Debug)]
pub struct Accounts<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
}

impl Accounts<'_> {
    /// Makes accounts, and the namespace if there is none.
    pub async fn make(&self, names: &[&str]) -> anyhow::Result<()> {
        let namespace = self.namespace;
        let mut objects = vec![json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        })];
        objects.extend(names.iter().map(|name| {
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": namespace},
            })
        }));
        for object in objects {
            self.cluster.objects().apply(&object.to_string()).await?;
        }
        Ok(())
    }

    /// A pod of an account on a node.
    pub async fn pod(&self, name: &str, account: &str, node: &str) -> anyhow::Result<()> {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "serviceAccountName": account, "nodeName": node,
                "automountServiceAccountToken": false,
                "containers": [{"name": "proxy", "image": "roadstead"}],
            },
        });
        self.cluster.objects().apply(&pod.to_string()).await?;
        Ok(())
    }

    /// A token as the kubelet gets it for a volume of a pod, or one that is bound to none.
    pub async fn token(
        &self,
        account: &str,
        audience: &str,
        pod: Option<&str>,
    ) -> anyhow::Result<String> {
        let client = self.cluster.client();
        let bound = match pod {
            Some(name) => {
                let pods: Api<Pod> = Api::namespaced(client.clone(), self.namespace);
                Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(name.to_owned()),
                    uid: pods.get(name).await?.metadata.uid,
                })
            }
            None => None,
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![audience.to_owned()]),
                bound_object_ref: bound,
                expiration_seconds: Some(3600),
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client, self.namespace);
        let parameters = PostParams::default();
        let made: TokenRequest = accounts
            .create_subresource("token", account, &parameters, &request)
            .await
            .with_context(|| format!("a token of {account}"))?;
        let status = made.status.context("a status")?;
        status.token.context("a token")
    }
}
