//! An HTTPS server that answers by a script, in bytes, so that it can answer as no server should.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::acme::client::Ca;

/// What is answered, and what is done then.
#[derive(Clone)]
pub(super) struct Reply {
    bytes: String,
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Serve,
    Close,
    Go,
    Wait,
}

impl Reply {
    /// A whole answer; of the headers each has a line's end.
    pub(super) fn new(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        Self {
            bytes,
            then: Then::Serve,
        }
    }

    /// So much, and the connection ends.
    pub(super) fn cut(bytes: &str) -> Self {
        Self {
            bytes: bytes.to_owned(),
            then: Then::Close,
        }
    }

    /// So much, and then more without an end.
    pub(super) fn endless(bytes: &str) -> Self {
        Self {
            bytes: bytes.to_owned(),
            then: Then::Go,
        }
    }

    /// So much, and then nothing.
    pub(super) fn silence(bytes: &str) -> Self {
        Self {
            bytes: bytes.to_owned(),
            then: Then::Wait,
        }
    }
}

/// It has a directory, gives nonces, and answers to all else that it is not there.
pub(super) struct Server {
    port: u16,
    root: CertificateDer<'static>,
    script: Arc<watch::Sender<Script>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Script {
    once: BTreeMap<String, VecDeque<Reply>>,
    always: BTreeMap<String, Reply>,
    heads: Vec<String>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let root = cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(tls).into(), Arc::clone(&script)));
        let server = Self {
            port,
            root,
            script,
            tasks: tasks.into(),
        };
        let directory = format!(
            r#"{{"newNonce": "{0}/new-nonce", "newAccount": "{0}/new-account",
                "newOrder": "{0}/new-order", "renewalInfo": "{0}/renewal-info"}}"#,
            server.url("")
        );
        server.on("/directory", Reply::new("200 OK", "", &directory));
        // To HEAD; a length without a body would be one too many.
        let nonce = "HTTP/1.1 200 OK\r\nReplay-Nonce: nonce\r\nContent-Length: 0\r\n\r\n";
        server.on(
            "/new-nonce",
            Reply {
                bytes: nonce.to_owned(),
                then: Then::Serve,
            },
        );
        server
    }

    pub(super) fn ca(&self) -> Ca {
        Ca {
            directory: self.url("/directory"),
            external: None,
            roots: Some(vec![self.root.clone()]),
        }
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.root.to_vec()))
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Answers so from now on.
    pub(super) fn on(&self, path: &str, reply: Reply) {
        self.script.send_modify(|script| {
            script.always.insert(path.to_owned(), reply);
        });
    }

    /// Answers so once, before what it answers from then on.
    pub(super) fn once(&self, path: &str, reply: Reply) {
        self.script.send_modify(|script| {
            let replies = script.once.entry(path.to_owned()).or_default();
            replies.push_back(reply);
        });
    }

    /// How often a path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let heads = self.heads();
        heads
            .iter()
            .filter(|head| head.split(' ').nth(1) == Some(path))
            .count()
    }

    /// The heads of all requests.
    pub(super) fn heads(&self) -> Vec<String> {
        self.script.borrow().heads.clone()
    }

    /// Closes all, its port too.
    pub(super) async fn stop(&self) {
        self.tasks.lock().await.shutdown().await;
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, script: Arc<watch::Sender<Script>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&script)));
    }
}

/// Ends with the connection, however that ends.
async fn serve(stream: TcpStream, tls: TlsAcceptor, script: Arc<watch::Sender<Script>>) {
    let Ok(mut stream) = tls.accept(stream).await else {
        return;
    };
    while let Some(head) = request(&mut stream).await {
        let mut reply = None;
        script.send_modify(|script| reply = Some(script.next(head)));
        let Some(reply) = reply else {
            return;
        };
        if stream.write_all(reply.bytes.as_bytes()).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
        match reply.then {
            Then::Serve => {}
            Then::Close => return,
            Then::Go => while stream.write_all(&[b'x'; 1024]).await.is_ok() {},
            Then::Wait => std::future::pending().await,
        }
    }
}

impl Script {
    fn next(&mut self, head: String) -> Reply {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.heads.push(head);
        let once = self.once.get_mut(&path).and_then(VecDeque::pop_front);
        once.or_else(|| self.always.get(&path).cloned())
            .unwrap_or_else(|| Reply::new("404 Not Found", "", ""))
    }
}

/// The head of the next request, once its body has come as well.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.to_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap_or("0\r\n");
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    Some(head)
}
