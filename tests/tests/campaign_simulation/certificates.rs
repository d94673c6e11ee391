//! What befalls certificates, and what a CA finds that looks for its challenges.

use roadstead_control_plane::model::key::ObjectKey;
use roadstead_control_plane::model::managed::Managed;
use roadstead_control_plane::project;

use super::{World, leads, now, term};
use crate::issuer::Turn;
use crate::ports::shared;

impl World {
    /// A leader does something about certificates.
    pub(super) fn issue(&mut self, side: usize) {
        let process = self.processes[side].as_mut();
        let running = process.filter(|process| process.stopped_until <= now());
        let Some(process) = running.filter(|_| leads(side)) else {
            return;
        };
        let Some(issuer) = &mut process.issuer else {
            return;
        };
        match issuer.turn(&mut self.random) {
            Turn::Tell(observation) => process.see(*observation),
            Turn::Validates(key, managed) => self.look(side, &key, &managed),
            Turn::Nothing => {}
        }
    }

    /// The CA looks at the proxies of this leader. While two believe that they lead a proxy may be
    /// the other's already.
    fn look(&self, side: usize, key: &ObjectKey, managed: &Managed) {
        let (id, challenge) = project::challenge(key, managed);
        for proxy in &self.proxies {
            let stream = proxy.stream.as_ref();
            let is_ours = stream.is_some_and(|s| (s.side, s.term) == (side, term(side)));
            if is_ours && !proxy.answers(&id, challenge.as_ref()) {
                shared(|shared| {
                    if !shared.meddled {
                        shared.breaks(format!("{} does not answer for {key}", proxy.name));
                    }
                });
            }
        }
    }
}
