//! Which nodes' proxies serve, or did until a moment ago.
//!
//! A proxy that is replaced, or that loses its stream, is gone for a moment: two writes to each
//! Ingress, and a change of everyone's DNS, would be made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Each node, and since when no proxy of it serves.
#[derive(Debug, Default)]
pub(super) struct Serving(BTreeMap<Arc<str>, Option<Instant>>);

impl Serving {
    /// Takes in which proxies serve now.
    pub(super) fn look(&mut self, now: Instant, proxies: impl Iterator<Item = Arc<str>>) {
        let serving: BTreeSet<Arc<str>> = proxies.map(|proxy| node(&proxy)).collect();
        for (node, since) in &mut self.0 {
            if !serving.contains(node) {
                since.get_or_insert(now);
            }
        }
        self.0
            .retain(|_, since| since.is_none_or(|since| now < since + GRACE));
        self.0.extend(serving.into_iter().map(|node| (node, None)));
    }

    /// Those nodes, in order of name.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    pub(super) fn contains(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// When the next of them is given up, if its proxy does not come back.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().flatten().min().map(|since| *since + GRACE)
    }
}

/// The node of a proxy, whose name is `NODE`, or `NODE/…` where a node has several.
fn node(proxy: &Arc<str>) -> Arc<str> {
    match proxy.split_once('/') {
        Some((node, _)) => node.into(),
        None => proxy.clone(),
    }
}

/// Longer than a proxy takes to be replaced.
const GRACE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stays_for_a_while_and_is_one_however_many_proxies_it_has() {
        let begun = Instant::now();
        let mut serving = Serving::default();
        let mut look = |after: u64, proxies: &[&str]| -> (Vec<String>, Option<u64>) {
            let proxies = proxies.iter().map(|name| Arc::from(*name));
            serving.look(begun + Duration::from_secs(after), proxies);
            let nodes = serving.nodes().map(ToString::to_string).collect();
            let next = serving.next().map(|next| (next - begun).as_secs());
            (nodes, next)
        };
        let both = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(look(0, &["a/1", "a/2", "b"]), (both.clone(), None));
        assert_eq!(look(1000, &["a/2"]), (both.clone(), Some(1030)));
        // Another at the same name counts.
        assert_eq!(look(1010, &["a/3", "b/1"]), (both.clone(), None));
        assert_eq!(look(1020, &["a/3"]), (both.clone(), Some(1050)));
        assert_eq!(look(1049, &[]), (both, Some(1050)));
        assert_eq!(look(1050, &[]), (vec!["a".to_owned()], Some(1079)));
        assert_eq!(look(1079, &[]), (vec![], None));
    }
}
