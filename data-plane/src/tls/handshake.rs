//! From a raw connection to an encrypted one, within a time.
//!
//! Apart from the stream that comes of it. The client's first message is read before a certificate
//! is chosen; a signature by RSA, which takes a thousand times a request's time, is made aside.

use std::{
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{FutureExt as _, future::poll_fn};
use rustls::{
    Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, SignatureAlgorithm,
    server::{Accepted, AcceptedAlert, Acceptor},
};
use tokio::{net::TcpStream, sync::oneshot};

use super::{H2, Shows, Tls, TlsStream, offer::Offer, wire::Wire};
use crate::active::Certificates;
use crate::alarm::Alarm;
use crate::aside::Full;
use crate::clock;
use crate::message::Client;
use crate::metrics::Handshake;
use crate::protocol::Agreed;

/// Why there is no connection.
#[derive(Debug)]
struct Failure {
    end: Handshake,
    error: Option<Error>,
}

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
    patience: Patience<'a>,
}

impl Shaking<'_> {
    async fn run(mut self, shows: &impl Shows) -> Result<(TlsStream, Agreed, Handshake), Failure> {
        let accepted = self.hello().await?;
        let chosen = self.choose_in_time(&accepted, shows).await;
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
        shows: &impl Shows,
    ) -> Result<(Arc<ServerConfig>, bool), Handshake> {
        loop {
            let mut changed = pin!(shows.changed());
            match self.choose(accepted, &shows.certificates()) {
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
        certificates: &Certificates,
    ) -> Result<(Arc<ServerConfig>, bool), Handshake> {
        let suites = &self.tls.base.crypto_provider().cipher_suites;
        let chosen = Offer::of(&accepted.client_hello()).choose(certificates, suites);
        let (bundle, key) = chosen?;
        let is_long = key.key.algorithm() == SignatureAlgorithm::RSA;
        Ok((self.tls.config(bundle, key), is_long))
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

/// For how long a client is waited for.
struct Patience<'a> {
    client: &'a Client,
    alarm: Alarm,
    /// The proxy or the listener is to end, and the time is that of a last request.
    last: bool,
}

impl<'a> Patience<'a> {
    fn new(client: &'a Client) -> Self {
        let alarm = client.thread.alarms.alarm();
        alarm.set(client.thread.limits.client.handshake);
        Self {
            client,
            alarm,
            last: false,
        }
    }

    fn poll<T>(&mut self, cx: &Context<'_>) -> Poll<Result<T, Failure>> {
        if self.client.is_leaving() && !std::mem::replace(&mut self.last, true) {
            let limits = &self.client.thread.limits.client;
            self.alarm.set(limits.last_request.min(limits.handshake));
        }
        ready!(self.alarm.poll(cx));
        Poll::Ready(Err(Handshake::TimedOut.into()))
    }
}

impl Failure {
    fn of_socket(error: &io::Error) -> Self {
        // A message that is too long, if it is not the socket's.
        match error.kind() == io::ErrorKind::InvalidData {
            true => Handshake::Malformed.into(),
            false => Handshake::ClientGone.into(),
        }
    }
}

impl From<Handshake> for Failure {
    fn from(end: Handshake) -> Self {
        Self { end, error: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a list of rustls' that grows; what it does not tell apart is the client's doing"
        )]
        let end = match &error {
            Error::AlertReceived(_) => Handshake::Refused,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Handshake::NothingInCommon,
            Error::General(_) | Error::FailedToGetRandomBytes | Error::EncryptError => {
                Handshake::Failed
            }
            _ => Handshake::Malformed,
        };
        Self {
            end,
            error: Some(error),
        }
    }
}

/// Alerts that end a connection before anything is encrypted (RFC 8446, 6): their record's type,
/// version and length, the level, and what they say.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
