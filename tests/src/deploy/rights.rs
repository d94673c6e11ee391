//! What a ServiceAccount may do: as the README lists it, and as the API server says.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};
use k8s_openapi::api::authorization::v1::{
    ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use crate::deploy::chart::NAMESPACE;
use crate::program::built::workspace;

/// A right: API group, resource, name (`*` for all), verb.
pub type Right = [String; 4];

/// A row of the README's table.
#[derive(Debug)]
pub struct Row {
    pub place: String,
    pub when: String,
    pub rights: BTreeSet<Right>,
}

/// The switches of the chart that a row may hang on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode<'a> {
    /// `watch.namespaces`; empty: all.
    pub namespaces: &'a [&'a str],
    pub when: &'a [&'a str],
}

/// The table under the README's heading "Rights in the cluster".
pub fn documented() -> anyhow::Result<Vec<Row>> {
    let readme = fs::read_to_string(workspace().join("README.md"))?;
    let (_, section) = readme.split_once(HEADING).context(HEADING)?;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows: Vec<Row> = rows
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(row)
        .collect::<anyhow::Result<_>>()?;
    ensure!(!rows.is_empty(), "no table under {HEADING}");
    Ok(rows)
}

fn row(line: &str) -> anyhow::Result<Row> {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [place, when, group, resources, names, verbs, _why] = cells.as_slice() else {
        anyhow::bail!("not seven cells: {line}");
    };
    let words = |cell: &&str| -> Vec<String> {
        let words = cell.split_whitespace();
        words
            .map(|word| word.trim_matches('`').to_owned())
            .collect()
    };
    let group = if *group == "core" { "" } else { group };
    let names = match *names {
        "all" => vec!["*".to_owned()],
        "that one" => vec![SERVICE.to_owned()],
        _ => words(names),
    };
    Ok(Row {
        place: place.trim_matches('`').to_owned(),
        when: when.trim_matches('`').to_owned(),
        rights: product(
            &[group.to_owned()],
            &words(resources),
            &names,
            &words(verbs),
        ),
    })
}

/// What of the table holds in a namespace.
pub fn expected(table: &[Row], mode: Mode<'_>, namespace: &str) -> BTreeSet<Right> {
    let holds = |row: &&Row| {
        let place = match row.place.as_str() {
            "own namespace" => namespace == NAMESPACE,
            "default" => namespace == "default",
            "served" => mode.namespaces.is_empty() || mode.namespaces.contains(&namespace),
            _ => true,
        };
        place && (row.when == "always" || mode.when.contains(&row.when.as_str()))
    };
    let rows = table.iter().filter(holds);
    rows.flat_map(|row| row.rights.clone()).collect()
}

/// What the bearer of this client may do in a namespace, as `kubectl auth can-i --list` asks.
pub async fn held(client: &Client, namespace: &str) -> anyhow::Result<BTreeSet<Right>> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    let status = answer.status.context("no status")?;
    ensure!(!status.incomplete, "{:?}", status.evaluation_error);
    Ok(status.resource_rules.into_iter().flat_map(rights).collect())
}

fn rights(rule: ResourceRule) -> BTreeSet<Right> {
    let all = || vec!["*".to_owned()];
    let names = rule.resource_names.filter(|names| !names.is_empty());
    product(
        &rule.api_groups.unwrap_or_default(),
        &rule.resources.unwrap_or_default(),
        &names.unwrap_or_else(all),
        &rule.verbs,
    )
}

fn product(
    groups: &[String],
    resources: &[String],
    names: &[String],
    verbs: &[String],
) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for group in groups {
        for resource in resources {
            for name in names {
                for verb in verbs {
                    rights.insert([group, resource, name, verb].map(Clone::clone));
                }
            }
        }
    }
    rights
}

/// What `ingressStatus.service` names in the tests, in our own namespace.
pub const SERVICE: &str = "edge";
const HEADING: &str = "### Rights in the cluster";
