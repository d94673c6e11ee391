//! The other replicas: who leads as they see it, and who has more of the log.

use std::future::Future;

use futures::future::join_all;

use crate::app::replica::Replica;
use crate::config::Config;
use crate::follow::dial::{Peer, resolve};
use crate::follow::{self, Answer, bundles};
use crate::keys::Keys;
use crate::replication::Place;

/// Who leads, as the replicas say that can be reached. This one does not, whatever they say: its
/// address may have been another's a moment ago.
pub(super) async fn heard_of(replica: &Replica) -> Option<Peer> {
    let own = own_address(&replica.config);
    let answers = ask_all(replica).await.into_iter();
    let mut leaders = answers.filter_map(|(_, answer)| answer.leader);
    leaders.find(|leader| *leader.address != *own)
}

/// Where others reach this replica.
pub(super) fn own_address(config: &Config) -> String {
    let told = config.lease.address.clone();
    told.unwrap_or_else(|| format!("https://{}", config.grpc.address))
}

/// Of the replicas that can be reached, the one whose log is farthest ahead of this one's.
pub(super) async fn ahead(replica: &Replica) -> Option<(Peer, Place)> {
    let here = replica.progress.borrow().place.clone();
    let answers = ask_all(replica).await.into_iter();
    answers
        .map(|(peer, answer)| (peer, answer.place))
        // Another installation's log is no help, and would take the place of this one.
        .filter(|(_, place)| here.lineage.is_empty() || place.lineage == here.lineage)
        .filter(|(_, place)| place.is_ahead_of(&here))
        .reduce(|a, b| if b.1.is_ahead_of(&a.1) { b } else { a })
}

/// Fetches the bundles of chain and key that this replica lacks, from whoever leads, else from all.
pub(super) fn lacking(replica: &Replica, keys: Keys) -> impl Future<Output = ()> + Send + use<> {
    let (role, peers) = (replica.role.subscribe(), replica.config.lease.peers.clone());
    let others = move || {
        let leader = role.borrow().elsewhere();
        let peers = peers.clone();
        async move {
            if let Some(address) = leader {
                return vec![Peer {
                    address,
                    name: None,
                }];
            }
            let peers = join_all(peers.iter().map(|peers| resolve(peers))).await;
            peers.into_iter().flatten().collect()
        }
    };
    bundles::run(replica.dialer.clone(), others, keys)
}

async fn ask_all(replica: &Replica) -> Vec<(Peer, Answer)> {
    let peers = replica
        .config
        .lease
        .peers
        .iter()
        .map(|peers| resolve(peers));
    let peers = join_all(peers).await.into_iter().flatten();
    let dialer = &replica.dialer;
    let asked = peers.map(|peer| async move {
        let answer = follow::ask(dialer, &peer).await;
        answer.ok().map(|answer| (peer, answer))
    });
    join_all(asked).await.into_iter().flatten().collect()
}
