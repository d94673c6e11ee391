//! Whether the traffic threads still do what they are told.
//!
//! Apart from the admin port, which only says so: a thread that is stuck must be found by
//! asking it, and not by a probe that another thread answers.

use std::time::Duration;

use futures::future::join_all;
use tokio::{
    sync::watch,
    time::{error::Elapsed, sleep, timeout},
};
use tracing::{error, info};

use super::traffic::Workers;

/// Asks the threads again and again. Returns when one has ended.
pub(super) async fn watch(workers: Workers, alive: watch::Sender<bool>) {
    loop {
        let asked = join_all(
            workers
                .iter()
                .map(|worker| timeout(PATIENCE, worker.ping())),
        )
        .await;
        if asked.iter().any(|answer| matches!(answer, Ok(Err(_)))) {
            return;
        }
        let stuck = asked.iter().filter(|answer| is_late(answer)).count();
        let was_alive = alive.send_replace(stuck == 0);
        match (was_alive, stuck) {
            (true, 1..) => error!(stuck, "traffic threads do not answer"),
            (false, 0) => info!("all traffic threads answer again"),
            _ => {}
        }
        sleep(EVERY).await;
    }
}

fn is_late<T>(answer: &Result<T, Elapsed>) -> bool {
    answer.is_err()
}

const EVERY: Duration = Duration::from_secs(2);

/// Far longer than any step of a request takes.
const PATIENCE: Duration = Duration::from_secs(10);
