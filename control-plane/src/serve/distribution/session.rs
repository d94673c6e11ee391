//! One stream, from hello to end.
//!
//! Apart from the exchange of transfers: this takes the proxy's name, sees that the engine
//! hears of its coming and going whatever happens between, and tells the proxy why it ended.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::v1::{self, proxy_message::Message};
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;

use crate::pki::Credential;
use crate::presence::{Connected, Report};
use crate::serve::distribution::ending::Ending;
use crate::serve::distribution::exchange::{Exchange, next};
use crate::serve::distribution::hello::Hello;
use crate::serve::distribution::seats::{By, Taken};
use crate::serve::distribution::{Arrival, Common};
use crate::serve::listen::Peer;
use crate::serve::role;
use crate::serve::stop::Stop;
use crate::snapshot::dialogue::Dialogue;

/// Serves a stream to its end.
pub(super) async fn run(common: Arc<Common>, arrival: Arrival, stop: Stop) {
    let outbound = arrival.outbound.clone();
    let metrics = common.metrics.clone();
    let ending = Box::pin(serve(common, arrival, &stop)).await;
    metrics.ended(ending.metric());
    if let Some(status) = ending.status() {
        // One that does not read its stream does not learn why it ended.
        let _ = timeout(FAREWELL, outbound.send(Err(status))).await;
    }
}

async fn serve(common: Arc<Common>, mut arrival: Arrival, stop: &Stop) -> Ending {
    let peer = arrival.peer.as_ref().and_then(Peer::address);
    let peer = peer.map(|peer| peer.to_string());
    let peer = peer.unwrap_or_else(|| "unknown".to_owned());
    let mut role = common.role.clone();
    let (reports, elsewhere) = {
        let role = role.borrow_and_update();
        (role.reports(), role.elsewhere())
    };
    if let Some(leader) = elsewhere {
        return Ending::Elsewhere(leader);
    }
    let hello = tokio::select! {
        biased;
        () = stop.stopped() => return Ending::Stopping,
        () = role::changed(&mut role) => return Ending::of_role(&role),
        hello = first(&mut arrival.inbound, common.patience.hello) => hello,
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(ending) => {
            tracing::warn!(peer, %ending, "a stream ended before its hello");
            return ending;
        }
    };
    let ours = |credential: &&Credential| credential.subject.may_stream_as(&hello.proxy);
    let credential = arrival.peer.as_ref().and_then(Peer::shown);
    if let Some(credential) = credential.filter(|found| !ours(found)) {
        let ending = Ending::OtherName {
            subject: credential.subject.to_string(),
            proxy: hello.proxy,
        };
        tracing::warn!(peer, %ending, "a stream is refused");
        return ending;
    }
    let stream = common.next_stream();
    let by = credential.map_or(By::Token, |_| By::Certificate);
    let seat = match common.seats.take(&hello.proxy, stream, by) {
        Ok(seat) => seat,
        Err(Taken::ByNewer) => return Ending::Replaced,
        Err(Taken::ByCertificate) => return Ending::NotByToken(hello.proxy),
        Err(Taken::Full) => return Ending::Full,
    };
    let proxy = Arc::clone(&hello.proxy);
    let mut exchange = Exchange {
        publications: common.publications.clone(),
        common,
        reports,
        proxy: Arc::clone(&proxy),
        stream,
        inbound: arrival.inbound,
        outbound: arrival.outbound,
        dialogue: Dialogue::default(),
        renewable: Instant::now(),
    };
    greet(&exchange, &hello, &peer).await;
    let (alone, stay) = (
        exchange.reports.is_none(),
        exchange.common.patience.leaderless,
    );
    let leaderless = async move {
        if alone {
            sleep(stay).await;
        } else {
            std::future::pending().await
        }
    };
    let ending = tokio::select! {
        biased;
        () = seat.replaced() => Ending::Replaced,
        () = stop.stopped() => Ending::Stopping,
        () = ended(arrival.peer.as_ref()) => Ending::Expired,
        () = role::changed(&mut role) => Ending::of_role(&role),
        () = leaderless => Ending::Leaderless,
        Err(ending) = exchange.transfers(hello) => ending,
    };
    tracing::info!(proxy = &*proxy, peer, %ending, "a proxy's stream ended");
    let left = Report::Disconnected { proxy, stream };
    exchange.report(left).await;
    ending
}

/// Waits for the end of what the other end is known by, if it can end.
async fn ended(peer: Option<&Peer>) {
    match peer {
        Some(peer) => peer.ended().await,
        None => std::future::pending().await,
    }
}

async fn first(
    inbound: &mut Streaming<v1::ProxyMessage>,
    patience: Duration,
) -> Result<Hello, Ending> {
    let message = timeout(patience, next(inbound)).await;
    let message = message.map_err(|_| Ending::Timeout {
        awaited: "hello",
        after: patience,
    })?;
    match message? {
        Some(Message::Hello(hello)) => Ok(Hello::parse(hello)?),
        Some(Message::Ack(_) | Message::Nack(_)) | None => {
            Err(Ending::Protocol("the first message is no Hello"))
        }
    }
}

async fn greet(exchange: &Exchange, hello: &Hello, peer: &str) {
    let proxy = &*hello.proxy;
    let holds = match &hello.held {
        Some((_, version)) => version.to_string(),
        None => "nothing".to_owned(),
    };
    tracing::info!(proxy, peer, holds, "a proxy opened its stream");
    let ours = Arc::clone(exchange.publications.borrow().lineage());
    let of_ours = hello
        .held
        .as_ref()
        .filter(|(lineage, _)| **lineage == *ours);
    let connected = Connected {
        proxy: Arc::clone(&hello.proxy),
        stream: exchange.stream,
        boot_id: hello.boot_id.clone(),
        peer: peer.into(),
        binary_version: hello.binary_version.clone(),
        capabilities: hello.capabilities.clone(),
        held: of_ours.map(|(_, version)| *version),
    };
    exchange.report(Report::Connected(connected)).await;
}

const FAREWELL: Duration = Duration::from_secs(1);
