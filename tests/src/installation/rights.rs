//! What the ServiceAccounts of control planes may do, as YAML: so much as a test gives them.

use serde_json::{Value, json};

/// An account.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

/// That of a control plane in a namespace of its own.
pub const CONTROL_PLANE: Account<'_> = Account {
    namespace: "roadstead",
    name: "control-plane",
};

/// To know what is to be served, and to tell users what is not.
pub const WATCH: [&str; 5] = [
    "{apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}",
    "{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}",
    "{apiGroups: [''], resources: [services], verbs: [get, list, watch]}",
    CERTIFICATES,
    "{apiGroups: [events.k8s.io], resources: [events], verbs: [create]}",
];
/// Of the above, to know certificates.
pub const CERTIFICATES: &str = "{apiGroups: [''], resources: [secrets], verbs: [get, list, watch]}";
/// To know which cluster it is: of all, like the ones above.
pub const CLUSTER: &str =
    "{apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}";
/// To ask who somebody is and what they may.
pub const REVIEWS: [&str; 2] = [
    "{apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}",
    "{apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}",
];
/// To lead: in its own namespace, like those below.
pub const LEASES: &str =
    "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}";
/// To keep recovery records, the authority and the installation's id.
pub const SECRETS: &str =
    "{apiGroups: [''], resources: [secrets], verbs: [get, list, watch, create, update, delete]}";
/// To know which proxies a CA may come to.
pub const PODS: &str = "{apiGroups: [''], resources: [pods], verbs: [list, watch]}";
/// To give proxies the authority's certificates.
pub const BUNDLE: [&str; 2] = [
    "{apiGroups: [''], resources: [configmaps], verbs: [create]}",
    "{apiGroups: [''], resources: [configmaps], resourceNames: [roadstead-ca], verbs: [get, update]}",
];

impl Account<'_> {
    /// The account with what the chart gives a control plane, and these rules everywhere.
    pub fn of_the_chart<'a>(self, also: impl IntoIterator<Item = &'a str>) -> String {
        let everywhere = WATCH.into_iter().chain([CLUSTER]).chain(also);
        let home = [LEASES, SECRETS, PODS].into_iter().chain(BUNDLE);
        join(&[
            self.yaml(),
            self.may("roadstead", everywhere),
            self.may_at_home("roadstead", home),
        ])
    }

    /// The account and its namespace.
    pub fn yaml(self) -> String {
        let Self { namespace, name } = self;
        join(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": namespace},
            }),
        ])
    }

    /// It may do this everywhere; what it was given under this name before it no longer may.
    pub fn may<'a>(self, named: &str, rules: impl IntoIterator<Item = &'a str>) -> String {
        self.bound("ClusterRole", &json!({"name": named}), rules)
    }

    /// The same in its own namespace.
    pub fn may_at_home<'a>(self, named: &str, rules: impl IntoIterator<Item = &'a str>) -> String {
        let metadata = json!({"name": named, "namespace": self.namespace});
        self.bound("Role", &metadata, rules)
    }

    fn bound<'a>(
        self,
        kind: &str,
        metadata: &Value,
        rules: impl IntoIterator<Item = &'a str>,
    ) -> String {
        let rules: Vec<&str> = rules.into_iter().collect();
        let name = metadata.get("name");
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": format!("{kind}Binding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{
                "kind": "ServiceAccount", "name": self.name, "namespace": self.namespace,
            }],
        });
        format!(
            "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {metadata}\nrules:\n- {}\n---\n{binding}\n",
            rules.join("\n- ")
        )
    }
}

/// Documents as one text.
pub fn join(documents: &[impl ToString]) -> String {
    let documents: Vec<String> = documents.iter().map(ToString::to_string).collect();
    documents.join("\n---\n")
}
