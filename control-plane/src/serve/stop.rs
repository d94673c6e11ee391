//! The signal to stop, for everything that serves.
//!
//! Apart, because streams that never end by themselves must all hear it.

use std::future::Future;

use tokio::sync::watch;

/// Tells [`Stop`] when it is time.
#[derive(Debug)]
pub(super) struct Stopper {
    stopped: watch::Sender<bool>,
}

/// A clone hears the same.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    stopped: watch::Receiver<bool>,
}

impl Stopper {
    pub(super) fn new() -> (Self, Stop) {
        let (sender, stopped) = watch::channel(false);
        (Self { stopped: sender }, Stop { stopped })
    }

    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

impl Stop {
    /// Ends when it is time to stop, or nobody is left to say so.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.stopped.clone();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }
}
