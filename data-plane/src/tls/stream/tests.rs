//! Tests of who is woken when the socket takes more.

use std::{
    net::TcpStream as Socket,
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use futures::FutureExt as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::{net::TcpListener, sync::Notify, time::timeout};

use super::*;

/// The end of a handshake that took no socket, as the server sees it.
fn agreed() -> ServerConnection {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(client.into(), name).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    while server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut &*bytes).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &*bytes).unwrap();
        client.process_new_packets().unwrap();
    }
    server
}

/// An encrypted connection, and the client's end of its socket.
async fn connected() -> (TlsStream, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Socket::connect(listener.local_addr().unwrap()).unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    // Soon full.
    let size = 64 * 1024;
    socket2::SockRef::from(&client)
        .set_recv_buffer_size(size)
        .unwrap();
    socket2::SockRef::from(&tcp)
        .set_send_buffer_size(size)
        .unwrap();
    let stream = TlsStream::new(Wire::new(tcp), agreed(), Rc::default());
    (stream, client)
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn who_reads_what_is_broken_does_not_take_the_place_of_who_waits_to_write() {
    let (mut stream, mut client) = connected().await;
    let woken = Arc::new(Woken(Notify::new()));
    let writer = Waker::from(Arc::clone(&woken));
    let mut writing = Context::from_waker(&writer);
    stream.wire.tcp.writable().await.unwrap();
    let bytes = vec![0; ENCRYPTED];
    while Pin::new(&mut stream)
        .poll_write(&mut writing, &bytes)
        .is_ready()
    {}

    client.write_all(b"this is no record").unwrap();
    stream.wire.tcp.readable().await.unwrap();
    let mut room = [0; 100];
    let mut room = ReadBuf::new(&mut room);
    let mut reading = Context::from_waker(Waker::noop());
    let read = Pin::new(&mut stream).poll_read(&mut reading, &mut room);
    assert!(matches!(read, Poll::Ready(Err(_))), "{read:?}");

    // What woke it before the client took anything does not count.
    let _before: Option<()> = woken.0.notified().now_or_never();
    std::thread::spawn(move || io::copy(&mut client, &mut io::sink()));
    let patience = Duration::from_secs(20);
    timeout(patience, woken.0.notified()).await.unwrap();
}
