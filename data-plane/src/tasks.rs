//! Tasks of a traffic thread: their end is always seen, also when it is a panic.
//!
//! Apart, so that nobody spawns by hand: a panic ends the one connection that it happened in,
//! is counted, and takes nothing else with it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::task::AbortHandle;

use crate::metrics::ThreadMetrics;

/// Begins tasks on this thread.
#[derive(Clone, Debug)]
pub struct Tasks {
    metrics: Arc<ThreadMetrics>,
}

impl Tasks {
    pub fn new(metrics: Arc<ThreadMetrics>) -> Self {
        Self { metrics }
    }

    /// Runs `future` on this thread's runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> AbortHandle {
        let metrics = Arc::clone(&self.metrics);
        tokio::task::spawn_local(Supervised { future, metrics }).abort_handle()
    }
}

pin_project! {
    struct Supervised<F> {
        #[pin]
        future: F,
        metrics: Arc<ThreadMetrics>,
    }
}

impl<F: Future<Output = ()>> Future for Supervised<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // What the future holds is never used again after a panic, only dropped.
        catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))).unwrap_or_else(|_| {
            this.metrics.panics.add(1);
            tracing::error!("a connection's task panicked");
            Poll::Ready(())
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::LocalRuntime;

    use super::*;

    #[test]
    fn a_panic_is_counted_and_others_go_on() {
        let metrics = Arc::new(ThreadMetrics::default());
        let tasks = Tasks::new(Arc::clone(&metrics));
        LocalRuntime::new().unwrap().block_on(async {
            let (done, wait) = tokio::sync::oneshot::channel();
            tasks.spawn(async { panic!("on purpose") });
            tasks.spawn(async { done.send(()).unwrap() });
            wait.await.unwrap();
        });
        assert_eq!(metrics.panics.read(), 1);
    }
}
