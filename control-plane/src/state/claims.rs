//! Who claims which host and path, and who has it.
//!
//! An index of its own, both ways, so that a change of one Ingress costs what it touches
//! and not what the cluster holds. The rule is in [`HostClaims::winner`].

pub mod wish;

use std::collections::{BTreeMap, BTreeSet};

use roadstead_matcher::host::HostPattern;

use crate::model::ingress::Ingress;
use crate::model::key::ObjectKey;
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
    hosts: BTreeMap<HostPattern, HostClaims>,
}

impl Claims {
    /// No claims, under this rule of ownership.
    pub(super) fn new(ownership: HostOwnership) -> Self {
        Self {
            ownership,
            hosts: BTreeMap::new(),
        }
    }

    /// The claim that has a slot, if any may have it.
    pub fn winner(&self, host: &HostPattern, slot: &Slot) -> Option<&Claim> {
        self.hosts.get(host)?.winner(self.ownership, slot)
    }

    /// The namespace that owns a host: that of its oldest claimant.
    pub fn owner(&self, host: &HostPattern) -> Option<&str> {
        self.hosts.get(host)?.owner()
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
        for (pattern, slots) in by_host {
            let host = self.hosts.entry(pattern.clone()).or_default();
            let before: Vec<Option<ObjectKey>> = slots
                .iter()
                .map(|(slot, _)| host.winning_ingress(self.ownership, slot).cloned())
                .collect();
            let owner_before: Option<Box<str>> = host.owner().map(Into::into);
            for (slot, claim) in &slots {
                host.edit_slot(edit, slot, claim);
            }
            let shares_changed = host.edit_claimant(edit, age, key, &ingress.shares_hosts_with);
            let owner = host.owner();
            if owner != owner_before.as_deref() || (shares_changed && owner == Some(&key.namespace))
            {
                // The host changed hands, or its owner shares it otherwise: every slot may have.
                touched.extend(host.claimants.iter().map(|(_, ingress)| ingress.clone()));
            }
            for ((slot, _), before) in slots.iter().zip(before) {
                if host.winning_ingress(self.ownership, slot) != before.as_ref() {
                    touched.extend(before);
                    touched.extend(host.contenders(slot).cloned());
                }
            }
            if host.slots.is_empty() {
                self.hosts.remove(&pattern);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Insert,
    Remove,
}

/// The claims on one host.
#[derive(Clone, Debug, Default)]
struct HostClaims {
    slots: BTreeMap<Slot, BTreeSet<Claim>>,
    /// Who claims anything of this host, oldest first.
    claimants: BTreeSet<(Age, ObjectKey)>,
    /// How many claimants of the first namespace share the host with the second.
    shares: BTreeMap<(Box<str>, Box<str>), usize>,
}

impl HostClaims {
    /// A host belongs to the namespace of its oldest claimant. Of the claims on a slot, those
    /// of that namespace and of the namespaces that it shares the host with count; the oldest has it.
    fn winner(&self, ownership: HostOwnership, slot: &Slot) -> Option<&Claim> {
        let mut claims = self.slots.get(slot)?.iter();
        match ownership {
            HostOwnership::Shared => claims.next(),
            HostOwnership::Namespace => {
                let owner = self.owner()?;
                claims.find(|claim| {
                    let namespace = &claim.ingress.namespace;
                    **namespace == *owner
                        || self.shares.contains_key(&(owner.into(), namespace.clone()))
                })
            }
        }
    }

    fn winning_ingress(&self, ownership: HostOwnership, slot: &Slot) -> Option<&ObjectKey> {
        self.winner(ownership, slot).map(|claim| &claim.ingress)
    }

    fn owner(&self) -> Option<&str> {
        let (_, oldest) = self.claimants.first()?;
        Some(&oldest.namespace)
    }

    fn contenders(&self, slot: &Slot) -> impl Iterator<Item = &ObjectKey> {
        let claims = self.slots.get(slot).into_iter().flatten();
        claims.map(|claim| &claim.ingress)
    }

    fn edit_slot(&mut self, edit: Edit, slot: &Slot, claim: &Claim) {
        match edit {
            Edit::Insert => {
                self.slots
                    .entry(slot.clone())
                    .or_default()
                    .insert(claim.clone());
            }
            Edit::Remove => {
                if let Some(claims) = self.slots.get_mut(slot) {
                    claims.remove(claim);
                    if claims.is_empty() {
                        self.slots.remove(slot);
                    }
                }
            }
        }
    }

    /// Returns whether any namespace is newly shared with, or no longer.
    fn edit_claimant(
        &mut self,
        edit: Edit,
        age: &Age,
        key: &ObjectKey,
        shares: &[Box<str>],
    ) -> bool {
        let claimant = (age.clone(), key.clone());
        let edited = match edit {
            Edit::Insert => self.claimants.insert(claimant),
            Edit::Remove => self.claimants.remove(&claimant),
        };
        if !edited {
            // An Ingress that is not ours never entered its claims: the counts below are others'.
            return false;
        }
        let mut changed = false;
        for with in shares {
            let pair = (key.namespace.clone(), with.clone());
            let count = self.shares.entry(pair.clone()).or_default();
            match edit {
                Edit::Insert => {
                    changed |= *count == 0;
                    *count += 1;
                }
                Edit::Remove => {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        changed = true;
                        self.shares.remove(&pair);
                    }
                }
            }
        }
        changed
    }
}
