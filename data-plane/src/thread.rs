//! What all parts of one traffic thread share.
//!
//! Apart from the parts, so that none of them needs to know the others.

use std::{rc::Rc, sync::Arc};

use crate::access_log::ThreadLog;
use crate::alarm::Alarms;
use crate::balance::Draws;
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::limits::Limits;
use crate::metrics::ThreadMetrics;
use crate::tasks::Tasks;
use crate::telemetry::RequestTraces;

/// One thread's clock, deadlines, memory, figures and limits.
#[derive(Debug)]
pub struct Thread {
    pub limits: Limits,
    pub clock: Clock,
    pub alarms: Rc<Alarms>,
    pub buffers: Rc<Buffers>,
    pub metrics: Arc<ThreadMetrics>,
    pub log: ThreadLog,
    pub tasks: Tasks,
    pub drain: Rc<Drain>,
    pub traces: Option<Traces>,
}

/// Makes spans of requests that are drawn.
#[derive(Debug)]
pub struct Traces {
    pub requests: RequestTraces,
    pub draws: Draws,
}

impl Thread {
    pub fn new(limits: Limits, log: ThreadLog, metrics: Arc<ThreadMetrics>) -> Self {
        Self {
            limits,
            clock: Clock::start(),
            alarms: Alarms::new(),
            buffers: Rc::default(),
            tasks: Tasks::new(Arc::clone(&metrics)),
            metrics,
            log,
            drain: Rc::default(),
            traces: None,
        }
    }

    /// The same, with some requests traced.
    pub fn traced(self, requests: Option<RequestTraces>, seed: u64) -> Self {
        let traces = requests.map(|requests| Traces {
            requests,
            // Not those by which backends are chosen: all traces would show the same one.
            draws: Draws::new(seed.wrapping_add(1 << 32)),
        });
        Self { traces, ..self }
    }

    /// Moves coarse time on: deadlines that have passed are noticed.
    pub fn tick(&self) {
        self.clock.tick();
        self.alarms.advance(self.clock.ticks());
        self.log.flush(&self.metrics.log_lines_dropped);
    }
}
