//! A term: this replica leads, from taking over until it is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::acme::Followed;
use crate::app::replica::{Machine, Replica};
use crate::app::sources::{Common, Sources};
use crate::config::Live;
use crate::engine::Settings;
use crate::health::Condition;
use crate::lease::Office;
use crate::observe::Observation;
use crate::recovery::Tenure;
use crate::serve::Role;
use crate::status::Status;

/// Leads for as long as the office counts and nobody says stop. Gives back the engine.
pub(super) async fn lead(
    replica: &Replica,
    mut engine: Machine,
    office: Office,
    lineage: Arc<str>,
) -> anyhow::Result<Machine> {
    let (inbox, observations) = mpsc::channel(INBOX);
    let (teller, status) = Status::new(engine.fold().standings());
    let known = engine.fold().state().settings();
    teller.silence(known.is_some_and(|settings| settings.is_beside()));
    let config = &replica.config;
    let sources = Sources::of(config);
    let settings = Settings {
        lineage: lineage.clone(),
        epoch: office.epoch(),
        binary_version: env!("CARGO_PKG_VERSION").into(),
        awaited: sources.awaited(),
    };
    tracing::info!(epoch = %office.epoch(), "this replica leads");
    replica.teller.store(Some(Arc::new(teller)));
    replica.office.store(Some(Arc::new(office.clone())));
    replica.health.set(Condition::Listed, false);
    replica.metrics.leads(true);
    // The first observation, so that the settings stand before any object does.
    let mut configured = replica.settings.clone();
    let first = configured.borrow_and_update().clone();
    for observation in first.observations() {
        inbox.send(observation).await?;
    }

    let floor = Duration::from_millis(config.publish_interval_milliseconds);
    let (over, runtime) = (office.clone(), Handle::current());
    // A thread of its own, so that no other waits for the disk.
    let mut turns = JoinSet::new();
    turns.spawn_blocking(move || {
        engine.lead(settings);
        runtime.block_on(engine.run(observations, floor, async move { over.over().await }));
        engine
    });
    let (demands, demanded) = mpsc::channel(DEMANDS);
    let reports = inbox.clone();
    replica
        .role
        .send_replace(Role::Leading { reports, demands });

    let mut tasks = JoinSet::new();
    let (ending, ends) = watch::channel(false);
    let (under_way, mut all_done) = mpsc::channel(1);
    let common = Common {
        tasks: &mut tasks,
        inbox: &inbox,
        relisted: &replica.relisted,
        configured: &replica.settings,
        in_use: &replica.in_use,
        followed: Followed {
            lacking: replica.lacking.clone(),
            publications: replica.publications.clone(),
            presence: replica.presence.clone(),
            // Unless a source knows more.
            ready: watch::channel(None).1,
            frozen: replica.frozen.clone(),
            relisted: replica.relisted.clone(),
            ending: ends,
        },
        demands: Some(demanded),
        under_way,
        tenure: Tenure {
            lineage,
            epoch: office.epoch(),
        },
        office: &office,
        wanted: replica.wanted.clone(),
        presence: &replica.presence,
        meter: &replica.meter,
    };
    let begun = sources.spawn(config, &replica.keys, status, common).await;
    tasks.spawn(configure(configured, replica.relisted.clone(), inbox));

    let mut machine = None;
    let outcome = tokio::select! {
        Err(error) = async { begun } => Err(error),
        () = replica.stopped() => Ok(()),
        () = office.over() => Ok(()),
        () = cannot_write(replica) => {
            tracing::error!("the event log cannot be written here, and another replica's may: stepping down");
            Ok(())
        }
        ended = tasks.join_next() => Err(match ended {
            Some(Ok(Ok(task))) => anyhow!("{task} ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            None => anyhow!("nothing runs"),
        }),
        ended = turns.join_next() => {
            machine = ended;
            Err(anyhow!("the engine ended by itself"))
        }
    };
    // The engine looks at the office, too, and may be the first to see that it is over; then those
    // who tell it something end.
    let outcome = outcome.or_else(|error| {
        if office.holds() {
            return Err(error);
        }
        tracing::debug!(%error, "the term is over");
        Ok(())
    });
    let role = Role::Following { leader: None };
    replica.role.send_replace(role);
    ending.send_replace(true);
    if office.holds() {
        // What was asked of a CA is answered in a moment, and not asked again if it is kept.
        let _late: Result<Option<()>, _> = timeout(LAST, all_done.recv()).await;
    }
    tasks.shutdown().await;
    // With those who might tell it something all gone, it goes on to the end of its inbox.
    if machine.is_none() {
        machine = turns.join_next().await;
    }
    replica.teller.store(None);
    replica.office.store(None);
    replica.metrics.leads(false);
    tracing::info!(epoch = %office.epoch(), "this replica no longer leads");
    outcome?;
    Ok(machine.ok_or_else(|| anyhow!("the engine is gone"))??)
}

/// Tells the engine of the settings whenever they change, and again when it takes in what it was
/// told once more: while it could not write its log all was lost on it.
async fn configure(
    mut settings: watch::Receiver<Live>,
    mut relisted: watch::Receiver<u64>,
    inbox: mpsc::Sender<Observation>,
) -> anyhow::Result<&'static str> {
    loop {
        let told = tokio::select! {
            changed = settings.changed() => changed,
            again = relisted.changed() => again,
        };
        if told.is_err() {
            break;
        }
        let configured = settings.borrow_and_update().clone();
        for observation in configured.observations() {
            inbox.send(observation).await?;
        }
    }
    std::future::pending().await
}

/// Ends when this replica's log cannot be written and another follows.
async fn cannot_write(replica: &Replica) {
    let mut frozen = replica.frozen.clone();
    loop {
        if frozen.wait_for(|frozen| *frozen).await.is_err() {
            return std::future::pending().await;
        }
        if replica.followers.count() > 0 {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How long a term waits at its end for what it began outside.
const LAST: Duration = Duration::from_secs(6);
/// Observations that wait; sources wait when it is full.
const INBOX: usize = 4096;
/// What operators demand at once.
const DEMANDS: usize = 64;
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[tokio::test(start_paused = true)]
    async fn the_settings_are_told_again_when_the_engine_takes_in_what_it_is_told_once_more() {
        let (_settings, configured) = watch::channel(Config::default().live());
        let (relist, relisted) = watch::channel(0);
        let (inbox, mut told) = mpsc::channel(8);
        let mut configuring = JoinSet::new();
        configuring.spawn(configure(configured, relisted, inbox));
        relist.send_replace(1);
        let told = timeout(LOOK, told.recv()).await;
        assert_eq!(told, Ok(Config::default().live().observations().next()));
    }
}
