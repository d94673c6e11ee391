//! What an Ingress says that Roadstead does not act on.
//!
//! Named and not refused: who comes from another controller, or misspelt an annotation of ours,
//! is told what would be missed, and what can be served is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::observe::convert::ingress::{REDIRECT, SHARE};
use crate::observe::convert::shorten;

/// The fields by their paths, sorted; behind the most that are named stands how many more.
pub(super) fn ignored(metadata: &ObjectMeta) -> Vec<Box<str>> {
    let annotations = metadata.annotations.iter().flatten();
    let annotations = annotations
        .map(|(name, _)| name)
        .filter(|name| is_ignored(name))
        .map(|name| format!("metadata.annotations[{}]", shorten(name)).into());
    let mut fields: Vec<Box<str>> = annotations.collect();
    let more = fields.len().saturating_sub(MOST);
    if more > 0 {
        fields.truncate(MOST);
        fields.push(format!("{more} more fields").into());
    }
    fields
}

/// Whether an annotation is meant for who routes, and says nothing to us. Others are notes of
/// tools and people.
fn is_ignored(name: &str) -> bool {
    match name.split_once('/') {
        Some((OURS, _)) => !KNOWN.contains(&name),
        Some((domain, _)) => OTHERS.contains(&domain),
        None => false,
    }
}

const OURS: &str = "roadstead.dev";
const KNOWN: [&str; 2] = [REDIRECT, SHARE];
/// The domains of other controllers' annotations on Ingresses.
const OTHERS: [&str; 10] = [
    "alb.ingress.kubernetes.io",
    "haproxy-ingress.github.io",
    "haproxy.org",
    "ingress.kubernetes.io",
    "konghq.com",
    "nginx.com",
    "nginx.ingress.kubernetes.io",
    "nginx.org",
    "projectcontour.io",
    "traefik.ingress.kubernetes.io",
];
/// More tell nobody more.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(annotations: impl IntoIterator<Item = String>) -> Vec<String> {
        let annotations = annotations.into_iter().map(|name| (name, String::new()));
        let metadata = ObjectMeta {
            annotations: Some(annotations.collect::<BTreeMap<_, _>>()),
            ..ObjectMeta::default()
        };
        let fields = ignored(&metadata).into_iter();
        fields.map(str::into_string).collect()
    }

    #[test]
    fn annotations_of_every_controller_that_is_known_are_named_and_nobodys_notes() {
        for domain in OTHERS {
            let name = format!("{domain}/x");
            let expected = [format!("metadata.annotations[{name}]")];
            assert_eq!(of([name]), expected);
        }
        for name in [
            "kubernetes.io/ingress.class",
            "cert-manager.io/cluster-issuer",
            "nginx.org",
            "my-nginx.org/x",
            "x.nginx.org/x",
            "roadstead.dev/share-hosts-with",
            "roadstead.dev/redirect-to-https",
        ] {
            assert_eq!(of([name.into()]), [""; 0], "{name}");
        }
    }

    #[test]
    fn fields_are_sorted_and_a_misspelt_one_of_ours_is_among_them() {
        let names = [
            "roadstead.dev/share-host-with",
            "nginx.ingress.kubernetes.io/rewrite-target",
        ];
        assert_eq!(
            of(names.map(str::to_owned)),
            [
                "metadata.annotations[nginx.ingress.kubernetes.io/rewrite-target]",
                "metadata.annotations[roadstead.dev/share-host-with]",
            ]
        );
    }

    #[test]
    fn however_much_there_is_it_stays_short() {
        let names = (0..40).map(|number| format!("nginx.org/{number:02}{}", "x".repeat(300)));
        let fields = of(names);
        assert_eq!(fields.len(), MOST + 1);
        assert_eq!(fields[MOST], "8 more fields");
        assert!(fields.iter().all(|field| field.chars().count() < 230));
    }
}
