//! Upstreams by id, in a table whose versions share what did not change.
//!
//! Apart from the router: endpoints change far more often than routes.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::router::UpstreamId;
use crate::snapshot::{Endpoint, Target};

/// One port of a Service, with the addresses that requests may go to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub id: UpstreamId,
    /// `service/NAMESPACE/NAME:PORT`.
    pub name: Arc<str>,
    pub target: Target,
    /// The ready ones, or the draining ones when nothing is ready. Empty for an external target.
    pub endpoints: Arc<[Endpoint]>,
}

/// All upstreams of one version. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct UpstreamTable {
    slots: Vector<Option<Arc<Upstream>>>,
    /// Those among them whose addresses are looked up here, by place.
    externals: OrdMap<u32, Arc<Upstream>>,
    len: usize,
}

impl UpstreamTable {
    /// The upstream that has this id; `None` while there is none of that name.
    pub fn find(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.slots
            .get(id.index as usize)?
            .as_ref()
            .filter(|upstream| upstream.id == id)
    }

    /// Puts an upstream at the place that its id names.
    pub fn insert(&mut self, upstream: Arc<Upstream>) {
        let index = upstream.id.index as usize;
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        match upstream.target {
            Target::External { .. } => {
                self.externals.insert(upstream.id.index, upstream.clone());
            }
            Target::Discovered => {
                self.externals.remove(&upstream.id.index);
            }
        }
        if self.slots.set(index, Some(upstream)).is_none() {
            self.len += 1;
        }
    }

    /// Takes away the upstream that has this id.
    pub fn remove(&mut self, id: UpstreamId) -> Option<Arc<Upstream>> {
        self.find(id)?;
        self.len -= 1;
        self.externals.remove(&id.index);
        self.slots.set(id.index as usize, None)
    }

    /// Every upstream, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.slots.iter().flatten()
    }

    /// The external ones, in the order of the table.
    pub fn externals(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.externals.values()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(index: u32, generation: u32) -> Arc<Upstream> {
        Arc::new(Upstream {
            id: UpstreamId { index, generation },
            name: "service/a/b:http".into(),
            target: Target::Discovered,
            endpoints: [].into(),
        })
    }

    #[test]
    fn an_upstream_is_found_by_its_own_generation_only() {
        let mut table = UpstreamTable::default();
        table.insert(upstream(3, 1));
        let found = |generation| {
            table
                .find(UpstreamId {
                    index: 3,
                    generation,
                })
                .is_some()
        };
        assert_eq!([found(0), found(1), found(2)], [false, true, false]);
        assert!(
            table
                .find(UpstreamId {
                    index: 9,
                    generation: 0
                })
                .is_none()
        );
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn external_upstreams_are_found_without_looking_at_the_others() {
        let mut table = UpstreamTable::default();
        let external = |generation| {
            let mut upstream = Upstream::clone(&upstream(1, generation));
            upstream.target = Target::External {
                hostname: "a.example".into(),
                port: 80,
                allow_local: false,
            };
            Arc::new(upstream)
        };
        table.insert(upstream(0, 0));
        table.insert(external(0));
        let ids = |table: &UpstreamTable| table.externals().map(|u| u.id).collect::<Vec<_>>();
        assert_eq!(ids(&table), [external(0).id]);
        table.insert(upstream(1, 0));
        assert_eq!(ids(&table), []);
        table.insert(external(1));
        table.remove(external(1).id);
        assert_eq!(ids(&table), []);
    }

    #[test]
    fn an_older_copy_of_the_table_keeps_what_a_newer_one_drops() {
        let mut table = UpstreamTable::default();
        let id = UpstreamId {
            index: 0,
            generation: 0,
        };
        table.insert(upstream(0, 0));
        let older = table.clone();
        assert!(table.remove(id).is_some());
        assert!(table.is_empty());
        assert!(older.find(id).is_some());
    }
}
