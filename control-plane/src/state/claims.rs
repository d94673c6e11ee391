//! Who claims which host and path, and who has it.
//!
//! An index of its own, both ways, so that a change of one Ingress costs what it touches
//! and not what the cluster holds. The rule is in [`Claims::winner`].
//!
//! Flat sets, and no maps within maps: nearly every host has one claim, and a map of one
//! entry takes as much memory as one of eleven.

pub mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roadstead_matcher::host::HostPattern;

use crate::model::ingress::Ingress;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::Age;
use crate::model::settings::HostOwnership;
use crate::state::claims::wish::{Position, Slot, wishes};

/// One rule's wish for a slot. The least claim that may have the slot has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub age: Age,
    pub ingress: ObjectKey,
    pub position: Position,
}

/// All claims, by host and slot.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    ownership: HostOwnership,
    /// The claims on each slot of each host, the oldest first.
    claims: BTreeSet<(HostPattern, Slot, Claim)>,
    /// Who claims anything of a host, the oldest first.
    claimants: BTreeSet<(HostPattern, Age, ObjectKey)>,
    /// How many claimants of a host in the first namespace share it with the second.
    shares: BTreeMap<(HostPattern, Arc<str>, Arc<str>), usize>,
}

impl Claims {
    /// No claims, under this rule of ownership.
    pub(super) fn new(ownership: HostOwnership) -> Self {
        Self {
            ownership,
            ..Self::default()
        }
    }

    /// The claim that has a slot, if any may have it.
    ///
    /// A host belongs to the namespace of its oldest claimant. Of the claims on a slot, those
    /// of that namespace and of the namespaces that it shares the host with count; the oldest has it.
    pub fn winner(&self, host: &HostPattern, slot: &Slot) -> Option<&Claim> {
        let mut claims = self.on(host, slot);
        claims.find(|claim| self.admits(host, &claim.ingress.namespace))
    }

    /// The namespace that owns a host: that of its oldest claimant.
    pub fn owner(&self, host: &HostPattern) -> Option<&str> {
        self.owning_namespace(host).map(AsRef::as_ref)
    }

    /// The oldest claimant of a host.
    pub fn oldest(&self, host: &HostPattern) -> Option<&ObjectKey> {
        self.claimants(host).next()
    }

    /// Whether Ingresses of a namespace may have anything of a host that somebody claims.
    pub fn admits(&self, host: &HostPattern, namespace: &Arc<str>) -> bool {
        match self.ownership {
            HostOwnership::Shared => true,
            HostOwnership::Namespace => self.owning_namespace(host).is_some_and(|owner| {
                let share = || (host.clone(), owner.clone(), namespace.clone());
                namespace == owner || self.shares.contains_key(&share())
            }),
        }
    }

    /// Enters the claims of an Ingress; adds to `touched` the Ingresses that win or lose by it.
    pub(super) fn insert(
        &mut self,
        key: &ObjectKey,
        age: &Age,
        ingress: &Ingress,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        self.change(Edit::Insert, key, age, ingress, touched);
    }

    /// Takes away the claims of an Ingress, as they were entered; adds to `touched` the
    /// Ingresses that win or lose by it.
    pub(super) fn remove(
        &mut self,
        key: &ObjectKey,
        age: &Age,
        ingress: &Ingress,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        self.change(Edit::Remove, key, age, ingress, touched);
    }

    fn change(
        &mut self,
        edit: Edit,
        key: &ObjectKey,
        age: &Age,
        ingress: &Ingress,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        let mut by_host: BTreeMap<HostPattern, Vec<(Slot, Claim)>> = BTreeMap::new();
        for wish in wishes(ingress) {
            let claim = Claim {
                age: age.clone(),
                ingress: key.clone(),
                position: wish.position,
            };
            by_host
                .entry(wish.host)
                .or_default()
                .push((wish.slot, claim));
        }
        for (host, slots) in by_host {
            let before: Vec<Option<ObjectKey>> = slots
                .iter()
                .map(|(slot, _)| self.winning_ingress(&host, slot).cloned())
                .collect();
            let owner_before = self.owning_namespace(&host).cloned();
            for (slot, claim) in &slots {
                let claim = (host.clone(), slot.clone(), claim.clone());
                edit.apply(&mut self.claims, claim);
            }
            let shares_changed =
                self.edit_claimant(edit, &host, age, key, &ingress.shares_hosts_with);
            let owner = self.owning_namespace(&host);
            if owner != owner_before.as_ref() || (shares_changed && owner == Some(&key.namespace)) {
                // The host changed hands, or its owner shares it otherwise: every slot may have.
                touched.extend(self.claimants(&host).cloned());
            }
            for ((slot, _), before) in slots.iter().zip(before) {
                if self.winning_ingress(&host, slot) != before.as_ref() {
                    touched.extend(before);
                    touched.extend(self.on(&host, slot).map(|claim| claim.ingress.clone()));
                }
            }
        }
    }

    /// Returns whether any namespace is newly shared with, or no longer.
    fn edit_claimant(
        &mut self,
        edit: Edit,
        host: &HostPattern,
        age: &Age,
        key: &ObjectKey,
        shares: &[Box<str>],
    ) -> bool {
        let claimant = (host.clone(), age.clone(), key.clone());
        edit.apply(&mut self.claimants, claimant);
        let mut changed = false;
        for with in shares {
            let share = (host.clone(), key.namespace.clone(), (**with).into());
            let count = self.shares.entry(share.clone()).or_default();
            match edit {
                Edit::Insert => {
                    changed |= *count == 0;
                    *count += 1;
                }
                Edit::Remove => {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        changed = true;
                        self.shares.remove(&share);
                    }
                }
            }
        }
        changed
    }

    fn winning_ingress(&self, host: &HostPattern, slot: &Slot) -> Option<&ObjectKey> {
        self.winner(host, slot).map(|claim| &claim.ingress)
    }

    fn owning_namespace(&self, host: &HostPattern) -> Option<&Arc<str>> {
        Some(&self.oldest(host)?.namespace)
    }

    /// The claims on a slot, the oldest first.
    fn on(&self, host: &HostPattern, slot: &Slot) -> impl Iterator<Item = &Claim> {
        let first = (host.clone(), slot.clone(), Claim::before_all());
        let claims = self.claims.range(first..);
        claims
            .take_while(move |(of, at, _)| of == host && at == slot)
            .map(|(_, _, claim)| claim)
    }

    /// Who claims anything of a host, the oldest first.
    fn claimants(&self, host: &HostPattern) -> impl Iterator<Item = &ObjectKey> {
        let Claim { age, ingress, .. } = Claim::before_all();
        let claimants = self.claimants.range((host.clone(), age, ingress)..);
        claimants
            .take_while(move |(of, _, _)| of == host)
            .map(|(_, _, ingress)| ingress)
    }
}

impl Claim {
    /// Less than any claim.
    fn before_all() -> Self {
        Self {
            age: Age::before_all(),
            ingress: ObjectKey::before_all(Origin::Folder, Kind::Ingress),
            position: Position::DefaultBackend,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Insert,
    Remove,
}

impl Edit {
    fn apply<T: Ord>(self, set: &mut BTreeSet<T>, element: T) {
        match self {
            Self::Insert => set.insert(element),
            Self::Remove => set.remove(&element),
        };
    }
}
