//! A wire between a client and a server that a test can cut, block and mend.
//!
//! Killing the server shows a connection that is refused; this shows the others: one that breaks
//! while the server lives, and one over which nothing comes any more.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// Forwards TCP connections; ends with all of them when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    _server: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Wire {
    blocked: bool,
    refuses: bool,
    cuts: u64,
    silences: u64,
}

impl Relay {
    /// Listens on `address` (port 0: a free one) and forwards to `server`.
    pub async fn start(address: SocketAddr, server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the relay cannot have {address}"))?;
        let address = listener.local_addr()?;
        let (wire, seen) = watch::channel(Wire::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, seen));
        Ok(Self {
            address,
            wire,
            _server: tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection that stands; new ones are accepted.
    pub fn cut(&self) {
        self.wire.send_modify(|wire| wire.cuts += 1);
    }

    /// Nothing comes over the connections that stand, ever again, and they stay open; new ones
    /// are as ever.
    pub fn silence(&self) {
        self.wire.send_modify(|wire| wire.silences += 1);
    }

    /// From now on connections stand, old and new, and not a byte passes.
    pub fn block(&self) {
        self.wire.send_modify(|wire| wire.blocked = true);
    }

    /// Connections that stand break, and new ones are closed as soon as they are there.
    pub fn refuse(&self) {
        self.wire.send_modify(|wire| {
            wire.refuses = true;
            wire.cuts += 1;
        });
    }

    /// New connections are as ever.
    pub fn accept(&self) {
        self.wire.send_modify(|wire| wire.refuses = false);
    }

    /// What was held up passes, and all that follows.
    pub fn unblock(&self) {
        self.wire.send_modify(|wire| wire.blocked = false);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(relay(client, server, wire.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Ends at a cut, or when either side has closed its half.
async fn relay(client: TcpStream, server: SocketAddr, wire: watch::Receiver<Wire>) {
    let mut cuts = wire.clone();
    let before = cuts.borrow().cuts;
    if cuts.borrow().refuses {
        return;
    }
    let both_ways = async {
        // A server that refuses closes the client's connection, as without the relay.
        let Ok(server) = TcpStream::connect(server).await else {
            return;
        };
        let (client, server) = (client.into_split(), server.into_split());
        tokio::select! {
            () = copy(client.0, server.1, wire.clone()) => {}
            () = copy(server.0, client.1, wire) => {}
        }
    };
    tokio::select! {
        // First, so that what was held up until a cut is lost. Fails when the relay is dropped,
        // which is a cut as well.
        biased;
        _ = cuts.wait_for(|wire| wire.cuts != before) => {}
        () = both_ways => {}
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
) {
    let silences = wire.borrow().silences;
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if wire.wait_for(|wire| !wire.blocked).await.is_err() {
            return;
        }
        if wire.borrow().silences != silences {
            continue;
        }
        let Some(bytes) = buffer.get(..length) else {
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    if wire.borrow().silences != silences {
        // Not even that it was closed.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use tokio::time::timeout;

    use super::*;
    use crate::echo::Echo;
    use crate::http::{Connection, Protocol, get, request};
    use crate::sandbox;

    #[test]
    fn a_wire_can_be_cut_blocked_and_silenced() {
        sandbox::run(async |_| {
            let echo = Echo::start("a", "10.1.0.1:0".parse()?).await?;
            let relay = Relay::start("127.0.0.1:0".parse()?, echo.address()).await?;
            let ask = || request(Method::GET, "h", "/");
            let mut connection = Connection::open(relay.address(), Protocol::Http1).await?;
            connection.send(ask()).await?;

            relay.cut();
            connection.send(ask()).await.unwrap_err();
            let mut connection = Connection::open(relay.address(), Protocol::Http1).await?;
            connection.send(ask()).await?;

            relay.block();
            let mut held = std::pin::pin!(connection.send(ask()));
            timeout(Duration::from_millis(200), held.as_mut())
                .await
                .unwrap_err();
            relay.unblock();
            assert_eq!(held.await?.header("x-echo"), "a");

            let mut connection = Connection::open(relay.address(), Protocol::Http1).await?;
            connection.send(ask()).await?;
            relay.silence();
            let mut unheard = std::pin::pin!(connection.send(ask()));
            timeout(Duration::from_millis(200), unheard.as_mut())
                .await
                .unwrap_err();
            get(relay.address(), "h", "/").await?;

            echo.stop().await;
            get(relay.address(), "h", "/").await.unwrap_err();
            Ok(())
        });
    }
}
