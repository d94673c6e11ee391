//! From a raw connection to an encrypted one, within a time.
//!
//! Apart from the stream that comes of it. The client's first message is read before a certificate
//! is chosen; a signature by RSA, which takes a thousand times a request's time, is made aside.

use std::{io, pin::pin, rc::Rc, sync::Arc, task::Poll};

use futures::{FutureExt as _, future::poll_fn};
use rustls::{
    Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, SignatureAlgorithm,
    server::{Accepted, AcceptedAlert, Acceptor},
};
use tokio::{net::TcpStream, sync::oneshot};

use super::{
    H2, Shows, Tls, TlsStream, challenge,
    failure::{Failure, INTERNAL_ERROR, NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME},
    offer::Offer,
    patience::Patience,
    policy::Base,
    wire::Wire,
};
use crate::active::Certificates;
use crate::aside::Full;
use crate::clock;
use crate::message::Client;
use crate::metrics::Handshake;
use crate::protocol::Agreed;
use crate::snapshot::Terms;

impl Tls {
    /// Does the handshake, with one of the certificates of the moment that it is needed; one that is
    /// on its way is waited for. None if it failed, which is counted; the client was told why, where
    /// the protocol has a word for it.
    pub async fn accept(
        &self,
        tcp: TcpStream,
        client: &Rc<Client>,
        shows: &impl Shows,
    ) -> Option<(TlsStream, Agreed)> {
        let metrics = &client.thread.metrics.handshakes;
        let begun = clock::now();
        let shaking = Shaking {
            tls: self,
            wire: Wire::new(tcp),
            client,
            terms: client.listener.terms.borrow().clone(),
            patience: Patience::new(client),
        };
        match shaking.run(shows).await {
            Ok((stream, agreed, end)) => {
                metrics.ended(end);
                metrics.duration.record(begun.elapsed());
                Some((stream, agreed))
            }
            Err(Failure { end, error }) => {
                metrics.ended(end);
                if end == Handshake::Challenge {
                    tracing::debug!(client = %client.address, "a CA asked by TLS and was answered");
                    return None;
                }
                let error = error.as_ref().map(tracing::field::display);
                let reason = end.as_str();
                tracing::debug!(client = %client.address, reason, error, "TLS handshake failed");
                None
            }
        }
    }
}

/// One handshake under way.
struct Shaking<'a> {
    tls: &'a Tls,
    wire: Wire,
    client: &'a Rc<Client>,
    terms: Terms,
    patience: Patience<'a>,
}

impl Shaking<'_> {
    async fn run(mut self, shows: &impl Shows) -> Result<(TlsStream, Agreed, Handshake), Failure> {
        let accepted = self.hello().await?;
        let asked = challenge::asked(&accepted.client_hello()).map(str::to_owned);
        if let Some(host) = asked {
            return Err(self.answer_ca(accepted, &host, shows).await);
        }
        let base = self.tls.base(&self.terms.tls)?;
        let chosen = self.choose_in_time(&accepted, &base, shows).await;
        let (config, is_long) = chosen.map_err(|end| {
            let unknown = matches!(end, Handshake::NoName | Handshake::UnknownName);
            self.wire.tell(match unknown {
                true => &UNRECOGNIZED_NAME,
                false => &INTERNAL_ERROR,
            });
            Failure::from(end)
        })?;
        let connection = self.connect(accepted, config, is_long).await?;
        let connection = self.finish(connection, is_long).await?;
        let agreed = match connection.alpn_protocol() {
            Some(H2) => Agreed::Http2,
            Some(_) | None => Agreed::Http1,
        };
        let end = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => {
                Handshake::Full
            }
        };
        let buffers = Rc::clone(&self.client.thread.buffers);
        Ok((TlsStream::new(self.wire, connection, buffers), agreed, end))
    }

    /// Reads the client's first message.
    async fn hello(&mut self) -> Result<Accepted, Failure> {
        let mut acceptor = Acceptor::default();
        loop {
            if !self.read(|bytes| acceptor.read_tls(bytes)).await? {
                return Err(Handshake::ClientGone.into());
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(accepted),
                Err((error, alert)) => return Err(self.told(error, alert)),
            }
        }
    }

    /// What it is answered by, as soon as that is there.
    async fn choose_in_time(
        &mut self,
        accepted: &Accepted,
        base: &Base,
        shows: &impl Shows,
    ) -> Result<(Arc<ServerConfig>, bool), Handshake> {
        loop {
            let mut changed = pin!(shows.changed());
            match self.choose(accepted, base, &shows.certificates()) {
                Err(Handshake::NotYet) => {}
                chosen => return chosen,
            }
            let (wire, patience) = (&self.wire, &mut self.patience);
            let comes = poll_fn(|cx| {
                if wire.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Handshake::ClientGone));
                }
                match changed.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Ok(())),
                    Poll::Pending => {
                        let over = patience.poll::<()>(cx);
                        over.map(|_| Err(Handshake::NotYet))
                    }
                }
            });
            comes.await?;
        }
    }

    /// What it is answered by, and whether its signature takes long.
    fn choose(
        &self,
        accepted: &Accepted,
        base: &Base,
        certificates: &Certificates,
    ) -> Result<(Arc<ServerConfig>, bool), Handshake> {
        let hello = accepted.client_hello();
        let offer = Offer::of(&hello, base.suites());
        let (bundle, key) = offer.choose(certificates, &self.terms.default_certificates)?;
        let is_long = key.key.algorithm() == SignatureAlgorithm::RSA;
        Ok((base.config(bundle, key), is_long))
    }

    /// Answers it.
    async fn connect(
        &mut self,
        accepted: Accepted,
        config: Arc<ServerConfig>,
        is_long: bool,
    ) -> Result<ServerConnection, Failure> {
        let connected = match is_long {
            false => accepted.into_connection(config),
            true => {
                let step = self.tls.aside.run(|| accepted.into_connection(config));
                self.wait(step).await?
            }
        };
        connected.map_err(|(error, alert)| self.told(error, alert))
    }

    /// Answers a CA that asks whether a host is ours. It wants nothing else (RFC 8737, section 3).
    async fn answer_ca(&mut self, accepted: Accepted, host: &str, shows: &impl Shows) -> Failure {
        let host = host.strip_suffix('.').unwrap_or(host);
        let Some(found) = shows.challenge(host).await else {
            self.wire.tell(&NO_APPLICATION_PROTOCOL);
            return Handshake::NothingInCommon.into();
        };
        let answered = async {
            let config = challenge::config(host, &found)?;
            let connection = self.connect(accepted, Arc::new(config), false).await?;
            let mut connection = self.finish(connection, false).await?;
            connection.send_close_notify();
            self.write(&mut connection).await
        };
        match answered.await {
            Ok(()) => Handshake::Challenge.into(),
            Err(failure) => failure,
        }
    }

    /// Goes on until both ends have said all.
    async fn finish(
        &mut self,
        mut connection: ServerConnection,
        is_long: bool,
    ) -> Result<ServerConnection, Failure> {
        // Asked for another first message, it signs only when that has come.
        let asked = connection.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest);
        let mut signs = is_long && asked;
        while connection.is_handshaking() {
            self.write(&mut connection).await?;
            let goes_on = self.read(|bytes| connection.read_tls(bytes)).await?;
            let processed = match signs {
                false => connection.process_new_packets().map(drop),
                true => {
                    let step = self.tls.aside.run(move || {
                        let processed = connection.process_new_packets().map(drop);
                        (connection, processed)
                    });
                    let (back, processed) = self.wait(step).await?;
                    connection = back;
                    // The message was whole, and its answer is signed.
                    signs = !connection.wants_write();
                    processed
                }
            };
            if let Err(error) = processed {
                // So that the client learns of it, if its socket takes it at once.
                let _gone: io::Result<()> = self.wire.write_now(&mut connection);
                return Err(error.into());
            }
            if !goes_on && connection.is_handshaking() {
                return Err(Handshake::ClientGone.into());
            }
        }
        // By TLS 1.3 the client has what it needs, and tickets leave with the first answer.
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            self.write(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Has `to` take some of what comes; false if nothing more does.
    async fn read(
        &mut self,
        mut to: impl FnMut(&mut &[u8]) -> io::Result<usize>,
    ) -> Result<bool, Failure> {
        let buffers = &self.client.thread.buffers;
        let taken = poll_fn(|cx| match self.wire.poll_read(buffers, cx, &mut to) {
            Poll::Ready(read) => {
                Poll::Ready(read.flatten().map_err(|error| Failure::of_socket(&error)))
            }
            Poll::Pending => self.patience.poll(cx),
        });
        Ok(taken.await? > 0)
    }

    async fn write(&mut self, from: &mut ServerConnection) -> Result<(), Failure> {
        poll_fn(|cx| match self.wire.poll_write(from, cx) {
            Poll::Ready(wrote) => Poll::Ready(wrote.map_err(|error| Failure::of_socket(&error))),
            Poll::Pending => self.patience.poll(cx),
        })
        .await
    }

    /// Waits for what is done aside, which is all before anything is encrypted.
    async fn wait<T>(&mut self, step: Result<oneshot::Receiver<T>, Full>) -> Result<T, Failure> {
        let mut step = step.map_err(|Full| {
            self.wire.tell(&INTERNAL_ERROR);
            Handshake::Overloaded
        })?;
        poll_fn(|cx| match step.poll_unpin(cx) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|_| Handshake::Failed.into())),
            Poll::Pending => self.patience.poll(cx),
        })
        .await
    }

    fn told(&self, error: Error, mut alert: AcceptedAlert) -> Failure {
        let mut bytes = Vec::new();
        // Into memory, which does not fail.
        let _written: io::Result<()> = alert.write_all(&mut bytes);
        self.wire.tell(&bytes);
        error.into()
    }
}
