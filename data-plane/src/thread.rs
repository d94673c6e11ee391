//! What all parts of one traffic thread share.
//!
//! Apart from the parts, so that none of them needs to know the others.

use std::{rc::Rc, sync::Arc};

use crate::{
    access_log::ThreadLog, alarm::Alarms, clock::Clock, drain::Drain, limits::Limits,
    metrics::ThreadMetrics, tasks::Tasks,
};

/// One thread's clock, deadlines, figures and limits.
#[derive(Debug)]
pub struct Thread {
    pub limits: Limits,
    pub clock: Clock,
    pub alarms: Rc<Alarms>,
    pub metrics: Arc<ThreadMetrics>,
    pub log: ThreadLog,
    pub tasks: Tasks,
    pub drain: Rc<Drain>,
}

impl Thread {
    pub fn new(limits: Limits, log: ThreadLog, metrics: Arc<ThreadMetrics>) -> Self {
        Self {
            limits,
            clock: Clock::start(),
            alarms: Alarms::new(),
            tasks: Tasks::new(Arc::clone(&metrics)),
            metrics,
            log,
            drain: Rc::default(),
        }
    }

    /// Moves coarse time on: deadlines that have passed are noticed.
    pub fn tick(&self) {
        self.clock.tick();
        self.alarms.advance(self.clock.ticks());
        self.log.flush(&self.metrics.log_lines_dropped);
    }
}
