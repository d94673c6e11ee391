//! Orders that whoever makes them does not survive: stopped at each write, without its log, or
//! with another that believes to lead beside it. The CA is a real one, and counts.

#![cfg(test)]

#[path = "planes_acme_steps/disk.rs"]
mod disk;
#[path = "planes_acme_steps/leader.rs"]
mod leader;

use anyhow::{Context, ensure};
use disk::{Fault, Kept};
use leader::{Leader, now, set_clock};
use roadstead_control_plane::{
    acme::{Settings, dns},
    clock,
    model::managed::{ChallengeType, Managed},
    project::Fold,
};
use roadstead_matcher::host::HostPattern;
use roadstead_tests::{
    bind::{self, Bind},
    pebble::{Behaviour, Pebble},
    sandbox::{self, Sandbox},
};

#[test]
fn whoever_is_stopped_at_any_write_is_gone_on_from_with_its_log() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        let steps = Box::pin(stopped_at_each_write(&ca, "", true)).await?;
        // Account (2), intent, order, proofs, validation, proof, certificate, renewal.
        ensure!(steps >= 2 * 9, "{steps} steps");
        Ok(())
    });
}

#[test]
fn whoever_is_stopped_at_any_write_is_gone_on_from_without_its_log() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        let steps = Box::pin(stopped_at_each_write(&ca, "", false)).await?;
        ensure!(steps >= 2 * 9, "{steps} steps");
        Ok(())
    });
}

#[test]
fn whoever_is_stopped_at_any_write_leaves_no_record_in_the_dns() {
    sandbox::run(async |sandbox| {
        let bind = Bind::start(sandbox, &[("test", "")]).await?;
        let ca = Ca::that_asks_the_dns(sandbox, &bind).await?;
        let steps = Box::pin(stopped_at_each_write(&ca, "*.", false)).await?;
        // Before the validation the record's place, that it is there, and that it is seen; at the
        // end that it is gone.
        ensure!(steps >= 2 * (9 + 4), "{steps} steps");
        for at in 1..=steps / 2 {
            for done in [false, true] {
                bind.has_no_texts(&format!("_acme-challenge.{done}-{at}.test"))
                    .await?;
            }
        }
        Ok(())
    });
}

/// At each write until there is a certificate and nothing is left to be done; says how often. The
/// hosts have this before their names.
async fn stopped_at_each_write(ca: &Ca, prefix: &str, keeps_log: bool) -> anyhow::Result<usize> {
    let is_done = |leader: &Leader, host: &str| {
        let managed = leader.managed(host);
        leader.has(host) && managed.is_some_and(|managed| managed.leftovers.is_empty())
    };
    let mut steps = 0;
    'writes: for at in 1.. {
        for done in [false, true] {
            let (kept, host) = (Kept::default(), format!("{prefix}{done}-{at}.test"));
            let before = ca.pebble.orders()?;
            let fault = Fault::Stops { at, done };
            let mut first = Leader::begin(1, Fold::default(), kept.disk(fault), &ca.settings);
            first.want(&host);
            let ended =
                |leader: &Leader| is_done(leader, &host) || leader.progress.borrow().faulted;
            first.until("a certificate, or the stop", ended).await?;
            if !first.progress.borrow().faulted {
                break 'writes;
            }
            let log = first.kill().await;
            let unknown = kept.intends();
            let log = if keeps_log { log } else { Fold::default() };
            let mut second = Leader::begin(2, log, kept.disk(Fault::Never), &ca.settings);
            second.want(&host);
            let ended = |leader: &Leader| is_done(leader, &host);
            second.until("a certificate after the stop", ended).await?;
            let managed = second.managed(&host).context("none")?;
            // What was being placed may have reached the CA, and did if what came of it was about
            // to be written.
            let most = 1 + usize::from(unknown && !done);
            let orders = ca.pebble.orders()? - before;
            ensure!(orders == most, "{fault:?}: {orders} orders");
            let tried = 1 + usize::from(unknown);
            ensure!(managed.placed.len() == tried, "{fault:?}: {managed:?}");
            let waited = managed.placed.is_sorted_by(|a, b| a.later(MINUTE) <= *b);
            ensure!(waited, "{fault:?}: {managed:?}");
            second.kill().await;
            steps += 1;
        }
    }
    Ok(steps)
}

#[test]
fn a_write_whose_answer_is_lost_costs_no_order() {
    sandbox::run(async |sandbox| Box::pin(costs_one_order(sandbox, |at| Fault::Lost { at })).await);
}

#[test]
fn writes_that_are_refused_for_long_while_somebody_labels_the_record_cost_no_order() {
    sandbox::run(async |sandbox| {
        Box::pin(costs_one_order(sandbox, |at| Fault::Labelled { at })).await
    });
}

/// One order for each certificate, whichever write the fault befalls.
async fn costs_one_order(sandbox: &Sandbox, fault: fn(usize) -> Fault) -> anyhow::Result<()> {
    let ca = Ca::start(sandbox).await?;
    for at in 1.. {
        let (kept, host) = (Kept::default(), format!("write-{at}.test"));
        let before = ca.pebble.orders()?;
        let disk = kept.disk(fault(at));
        let mut leader = Leader::begin(1, Fold::default(), disk, &ca.settings);
        leader.want(&host);
        let has = |leader: &Leader| leader.has(&host);
        leader.until("a certificate", has).await?;
        ensure!(ca.pebble.orders()? - before == 1, "write {at}");
        let faulted = leader.progress.borrow().faulted;
        leader.kill().await;
        if !faulted {
            ensure!(at > 9, "{at} writes");
            break;
        }
    }
    Ok(())
}

#[test]
fn whoever_leads_no_more_and_goes_on_undoes_nothing() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        for at in 1.. {
            let (kept, host) = (Kept::default(), format!("deposed-{at}.test"));
            let before = ca.pebble.orders()?;
            let disk = kept.disk(Fault::Stops { at, done: false });
            let mut deposed = Leader::begin(1, Fold::default(), disk, &ca.settings);
            deposed.want(&host);
            let ended = |leader: &Leader| leader.has(&host) || leader.progress.borrow().faulted;
            deposed.until("a certificate, or the stop", ended).await?;
            if !deposed.progress.borrow().faulted {
                break;
            }
            let unknown = kept.intends();
            let mut next = Leader::begin(2, Fold::default(), kept.disk(Fault::Never), &ca.settings);
            next.want(&host);
            let has = |leader: &Leader| leader.has(&host);
            next.until("a certificate of the next", has).await?;
            let obtained = kept.all();
            let before_release = *deposed.progress.borrow();
            deposed
                .progress
                .send_modify(|progress| progress.released = true);
            let refused = |leader: &Leader| leader.progress.borrow().reads > before_release.reads;
            deposed.until("a look at what is there", refused).await?;
            let mut orders = ca.pebble.orders()? - before;
            if at > OF_ACCOUNT {
                // It goes on, and whatever it has in mind about the first has had its time.
                set_clock(now().later(HOUR));
                let other = format!("other-{at}.test");
                deposed.want(&other);
                let has = |leader: &Leader| leader.has(&other);
                deposed.until("another certificate", has).await?;
                orders = ca.pebble.orders()? - before - 1;
            }
            let kept = kept.all();
            ensure!(
                obtained.iter().all(|body| kept.contains(body)),
                "write {at}"
            );
            ensure!(orders == 1 + usize::from(unknown), "write {at}: {orders}");
            deposed.kill().await;
            next.kill().await;
        }
        Ok(())
    });
}

#[test]
fn two_who_believe_to_lead_place_one_order_between_them() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        // Of whoever led before is the account: so both are there at the same moment.
        let kept = Kept::default();
        let log = Fold::default();
        let mut before = Leader::begin(1, log, kept.disk(Fault::Never), &ca.settings);
        before.want("before.test");
        let has = |leader: &Leader| leader.has("before.test");
        before.until("a certificate", has).await?;
        before.kill().await;
        for round in 0..8 {
            let host = format!("both-{round}.test");
            let orders = ca.pebble.orders()?;
            let epochs = if round % 2 == 0 { [2, 3] } else { [3, 2] };
            let mut both = epochs.map(|epoch| {
                let disk = kept.disk(Fault::Never);
                Leader::begin(epoch, Fold::default(), disk, &ca.settings)
            });
            both.iter_mut().for_each(|leader| leader.want(&host));
            let leads = epochs
                .iter()
                .position(|epoch| *epoch == 3)
                .context("none")?;
            let mut turns = 0;
            while !both[leads].has(&host) {
                for leader in &mut both {
                    leader.turn().await?;
                }
                turns += 1;
                ensure!(turns < 2_000, "round {round}: no certificate");
            }
            ensure!(ca.pebble.orders()? - orders == 1, "round {round}");
            for leader in both {
                leader.kill().await;
            }
        }
        Ok(())
    });
}

#[test]
fn an_order_that_nobody_wants_for_an_hour_is_given_up() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        let disk = Kept::default().disk(Fault::Never);
        let mut leader = Leader::begin(1, Fold::default(), disk, &ca.settings);
        leader.want("gone.test");
        let order = |leader: &Leader| {
            let managed = leader.managed("gone.test");
            managed.is_some_and(|managed| managed.order.is_some())
        };
        leader.until("an order", order).await?;
        leader.want_no_more("gone.test");
        set_clock(now().later(HOUR));
        leader.until("its end", |leader| !order(leader)).await?;
        let managed = leader.managed("gone.test").context("none")?;
        ensure!(managed.issued.is_none() && managed.trouble.is_none());
        ensure!(ca.pebble.orders()? <= 1);
        Ok(())
    });
}

#[test]
fn what_nobody_wants_is_not_renewed_and_forgotten_when_it_has_expired() {
    sandbox::run(async |sandbox| {
        let ca = Ca::start(sandbox).await?;
        let kept = Kept::default();
        let mut leader = Leader::begin(1, Fold::default(), kept.disk(Fault::Never), &ca.settings);
        let (gone, stays) = ("gone.test", "stays.test");
        for host in [gone, stays] {
            leader.want(host);
        }
        let have = |leader: &Leader| leader.has(gone) && leader.has(stays);
        leader.until("two certificates", have).await?;
        leader.want_no_more(gone);
        let first = leader.managed(stays).cloned();
        let serial = |managed: Option<&Managed>| {
            let issued = managed.and_then(|managed| managed.issued.as_ref());
            issued.map(|issued| issued.certificate.serial.clone())
        };
        let unwanted = serial(leader.managed(gone));
        ensure!(unwanted.is_some());
        set_clock(now().later(80 * DAY));
        let renewed = |leader: &Leader| serial(leader.managed(stays)) != serial(first.as_ref());
        leader.until("a renewal", renewed).await?;
        ensure!(serial(leader.managed(gone)) == unwanted);
        set_clock(now().later(11 * DAY));
        let forgotten = |leader: &Leader| leader.managed(gone).is_none();
        leader
            .until("the end of what nobody wants", forgotten)
            .await?;
        let names = kept.all();
        let of_gone = |body: &[u8]| String::from_utf8_lossy(body).contains(gone);
        ensure!(!names.iter().any(|body| of_gone(&body.bytes)));
        Ok(())
    });
}

/// A CA that believes everything, and what it is asked.
struct Ca {
    pebble: Pebble,
    settings: Settings,
}

impl Ca {
    async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        set_clock(clock::now());
        let behaviour = Behaviour {
            always_valid: true,
            ..Behaviour::default()
        };
        Self::asking(sandbox, &behaviour, dns::Settings::default()).await
    }

    /// One that looks for records, and our servers of the DNS.
    async fn that_asks_the_dns(sandbox: &Sandbox, bind: &Bind) -> anyhow::Result<Self> {
        set_clock(clock::now());
        let server = (bind::PRIMARY, 53).into();
        let behaviour = Behaviour {
            dns: server,
            ..Behaviour::default()
        };
        let zone = dns::Zone {
            hosts: vec![HostPattern::parse("test")?],
            provider: dns::Provider::Rfc2136(dns::Server {
                at: (bind::PRIMARY.to_string(), 53),
                tsig: Some(bind.tsig()),
            }),
            checked_at: vec![server],
        };
        let dns = dns::Settings {
            zones: vec![zone],
            resolvers: vec![server],
        };
        Self::asking(sandbox, &behaviour, dns).await
    }

    async fn asking(
        sandbox: &Sandbox,
        behaviour: &Behaviour,
        dns: dns::Settings,
    ) -> anyhow::Result<Self> {
        let pebble = Pebble::start(sandbox, behaviour).await?;
        let settings = Settings {
            directory: pebble.directory().to_owned(),
            roots: Some(vec![pebble.root()?]),
            external: None,
            contact: Vec::new(),
            profile: Some("default".to_owned()),
            challenges: ChallengeType::ALL.to_vec(),
            dns,
            orders: 0,
            same_names: 2,
            settled: 0,
        };
        Ok(Self { pebble, settings })
    }
}

/// Writes before that of the first order.
const OF_ACCOUNT: usize = 2;

/// In milliseconds.
const HOUR: i64 = 60 * MINUTE;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
