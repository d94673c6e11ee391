//! Objects that the API server is given: bad ones, and rights.

use roadstead_tests::installation::rights::{Account, BUNDLE, SECRETS, WATCH, join};

/// Of the control plane.
pub(crate) const ACCOUNT: Account<'_> = Account {
    namespace: "default",
    name: "roadstead",
};

/// The account, and what it may do: all that it needs, or all but watch Services.
pub(crate) fn rights(services: bool) -> String {
    let may = |rule: &&str| services || !rule.contains("services");
    let home = [SECRETS].into_iter().chain(BUNDLE);
    join(&[
        ACCOUNT.yaml(),
        ACCOUNT.may("roadstead", WATCH.into_iter().filter(may)),
        ACCOUNT.may_at_home("roadstead", home),
    ])
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
