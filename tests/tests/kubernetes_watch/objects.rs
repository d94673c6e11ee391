//! Objects that the API server is given: bad ones, and rights.

/// A service account, and what it may do: all that it needs, or all but watch Services.
pub(crate) fn rights(services: bool) -> String {
    let core = if services {
        "[endpoints, services]"
    } else {
        "[endpoints]"
    };
    format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: roadstead}}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata: {{name: roadstead}}\n\
         rules:\n\
         - {{apiGroups: [\"\"], resources: {core}, verbs: [get, list, watch]}}\n\
         - {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}}\n\
         - apiGroups: [networking.k8s.io]\n\
        \x20 resources: [ingresses, ingressclasses]\n\
        \x20 verbs: [get, list, watch]\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRoleBinding\n\
         metadata: {{name: roadstead}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: roadstead}}\n\
         subjects: [{{kind: ServiceAccount, name: roadstead, namespace: default}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata: {{name: roadstead}}\n\
         rules:\n\
         - {{apiGroups: [\"\"], resources: [secrets], verbs: [get, list, create, update, delete]}}\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\n\
         metadata: {{name: roadstead}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: roadstead}}\n\
         subjects: [{{kind: ServiceAccount, name: roadstead, namespace: default}}]\n"
    )
}

/// An Ingress that the API server takes and we do not, with another host than the site has.
pub(crate) fn bad(name: &str) -> String {
    let backend = format!("backend: {{service: {{name: {name}, port: {{number: 80}}}}}}");
    format!(
        "apiVersion: networking.k8s.io/v1\n\
         kind: Ingress\n\
         metadata: {{name: {name}}}\n\
         spec:\n\
        \x20 ingressClassName: roadstead\n\
        \x20 rules:\n\
        \x20 - host: more.{name}.example\n\
        \x20   http:\n\
        \x20     paths:\n\
        \x20     - {{path: /a/../b, pathType: ImplementationSpecific, {backend}}}\n"
    )
}

/// A site's slice that the API server takes and we do not.
pub(crate) fn bad_slice(name: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\n\
         kind: EndpointSlice\n\
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\n\
         ports: [{{name: web, port: 8080}}]\n\
         endpoints: [{{addresses: [239.1.1.1]}}]\n"
    )
}
