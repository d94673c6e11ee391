//! `EventService`: the log, and what comes to it.
//!
//! Apart from snapshots: events are read by sequence number and never folded.

use std::collections::VecDeque;
use std::pin::Pin;

use futures::{Stream, stream};
use roadstead_proto::v1::{self, event_service_server::EventService};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::event::Seq;
use crate::history::{History, Logged, Progress};
use crate::serve::stop::Stop;
use crate::serve::wire::timestamp;
use crate::serve::{error, page};

#[derive(Debug)]
pub(super) struct Events {
    history: History,
    stop: Stop,
}

impl Events {
    pub(super) fn new(history: History, stop: Stop) -> Self {
        Self { history, stop }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let v1::ListEventsRequest {
            from_seq,
            page_size,
        } = request.into_inner();
        let page = self
            .history
            .events(Seq(from_seq), page::size(page_size))
            .await
            .map_err(|error| error::history(&error))?;
        Ok(Response::new(v1::ListEventsResponse {
            events: page.events.into_iter().map(wire).collect(),
            next_seq: page.next.map_or(0, |next| next.0),
            oldest_retained: page.oldest.0,
        }))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<v1::LoggedEvent, Status>> + Send>>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let progress = self.history.progress();
        let newest = progress.borrow().newest;
        let next = match request.into_inner().from_seq {
            0 => newest.next(),
            from => Seq(from),
        };
        if next > newest.next() {
            let message = format!(
                "from_seq is {next} and the log ends at {newest}: it is another log than the one \
                 that was watched before, or shorter than it was; begin with 0"
            );
            return Err(Status::out_of_range(message));
        }
        let mut watch = Watch {
            history: self.history.clone(),
            progress,
            stop: self.stop.clone(),
            next,
            read: VecDeque::new(),
        };
        // What is no longer retained must fail the call, not begin later than was asked.
        watch.read().await?;
        Ok(Response::new(Box::pin(stream::unfold(
            Some(watch),
            Watch::step,
        ))))
    }
}

/// A watch of the log.
struct Watch {
    history: History,
    progress: watch::Receiver<Progress>,
    stop: Stop,
    /// The first that was not read.
    next: Seq,
    read: VecDeque<Logged>,
}

impl Watch {
    /// The next event, and the watch after it; after an error, no watch.
    async fn step(watch: Option<Self>) -> Option<(Result<v1::LoggedEvent, Status>, Option<Self>)> {
        let mut watch = watch?;
        Some(match watch.event().await {
            Ok(event) => (Ok(event), Some(watch)),
            Err(status) => (Err(status), None),
        })
    }

    async fn event(&mut self) -> Result<v1::LoggedEvent, Status> {
        loop {
            if let Some(logged) = self.read.pop_front() {
                return Ok(wire(logged));
            }
            let next = self.next;
            tokio::select! {
                biased;
                () = self.stop.stopped() => return Err(error::stopping()),
                reached = self.progress.wait_for(|progress| progress.newest >= next) => {
                    reached.map_err(|_| error::stopping())?;
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Status> {
        let newest = self.progress.borrow_and_update().newest;
        if self.next > newest {
            return Ok(());
        }
        let page = self.history.events(self.next, PAGE).await;
        let page = page.map_err(|error| error::history(&error))?;
        if self.next < page.oldest {
            let message = format!(
                "events before {} are no longer retained, and {} was asked for; begin there",
                page.oldest, self.next
            );
            return Err(Status::out_of_range(message));
        }
        self.next = page.next.unwrap_or_else(|| newest.next());
        self.read = page.events.into();
        Ok(())
    }
}

fn wire(logged: Logged) -> v1::LoggedEvent {
    let Logged { record, json } = logged;
    let object = record.event.object();
    v1::LoggedEvent {
        seq: record.seq.0,
        epoch: record.epoch.0,
        time: Some(timestamp(record.time)),
        kind: record.event.name().to_owned(),
        object: object.map_or_else(String::new, ToString::to_string),
        summary: record.event.to_string(),
        json,
    }
}

const PAGE: usize = 256;
