//! An upstream that does as a test tells it, byte by byte.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use socket2::{Domain, Socket, Type};

use super::{Backends, PATIENCE, client::field};

/// An upstream on a port of its own. Each connection has a thread.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Receiver<Seen>,
    connections: Arc<AtomicUsize>,
}

/// A request as it arrived.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, counted from 0, and its place there.
    pub(crate) connection: usize,
    pub(crate) place: usize,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// All fields, sorted.
    pub(crate) fn fields(&self) -> Vec<String> {
        let mut fields: Vec<_> = self
            .head
            .lines()
            .skip(1)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        fields.sort();
        fields
    }
}

/// An address where packets are lost: a connection to it is neither made nor refused.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _socket: Socket,
    _waiting: TcpStream,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        // One connection may wait to be accepted; nobody accepts, and the kernel answers no more.
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            address,
            _socket: socket,
            _waiting: TcpStream::connect(address).unwrap(),
        }
    }
}

/// What an origin does with a request.
pub(crate) enum Step {
    /// Writes this and waits for the next request.
    Answer(String),
    /// Writes this and closes.
    Last(String),
    /// Has the connection for itself.
    Take(Box<dyn FnOnce(TcpStream) + Send>),
}

/// An ordinary answer.
pub(crate) fn plain(body: &str) -> Step {
    let length = body.len();
    Step::Answer(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

impl Origin {
    /// Reads requests whole, and does what `answer` says.
    pub(crate) fn new(answer: impl Fn(&Seen) -> Step + Send + Sync + 'static) -> Self {
        Self::start(true, answer)
    }

    /// Reads heads only: bodies are for a `Step::Take`.
    pub(crate) fn of_heads(answer: impl Fn(&Seen) -> Step + Send + Sync + 'static) -> Self {
        Self::start(false, answer)
    }

    /// An address where nobody listens.
    pub(crate) fn nowhere() -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    }

    pub(crate) fn backends(&self) -> Backends {
        Backends::At(vec![(self.address, "")])
    }

    /// The next request.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).unwrap()
    }

    /// Whether a request has come that was not looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.seen.try_recv().is_err()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn start(whole: bool, answer: impl Fn(&Seen) -> Step + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (send, seen) = channel();
        let answer = Arc::new(answer);
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in socket.incoming() {
                let connection = counter.fetch_add(1, Ordering::SeqCst);
                let (answer, send) = (Arc::clone(&answer), send.clone());
                thread::spawn(move || serve(stream.unwrap(), connection, whole, &*answer, &send));
            }
        });
        Self {
            address,
            seen,
            connections,
        }
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    whole: bool,
    answer: &(dyn Fn(&Seen) -> Step + Send + Sync),
    send: &Sender<Seen>,
) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut input = Vec::new();
    for place in 0.. {
        let head = match whole {
            true => until(&mut stream, &mut input, b"\r\n\r\n"),
            false => head_only(&mut stream),
        };
        let Some(head) = head else { return };
        let mut seen = Seen {
            head: String::from_utf8(head).unwrap(),
            body: Vec::new(),
            connection,
            place,
        };
        if whole && !body(&mut stream, &mut input, &mut seen) {
            return;
        }
        let step = answer(&seen);
        // A test that is over looks no more.
        let _over = send.send(seen);
        match step {
            Step::Answer(text) => stream.write_all(text.as_bytes()).unwrap(),
            Step::Last(text) => return stream.write_all(text.as_bytes()).unwrap(),
            Step::Take(take) => return take(stream),
        }
    }
}

/// Reads a head and leaves all that follows.
fn head_only(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    Some(head)
}

/// Reads a body; chunks are kept as they are on the wire.
fn body(stream: &mut TcpStream, input: &mut Vec<u8>, seen: &mut Seen) -> bool {
    if seen.field("transfer-encoding").is_some() {
        loop {
            let Some(line) = until(stream, input, b"\r\n") else {
                return false;
            };
            seen.body.extend_from_slice(&line);
            if line == b"\r\n" {
                return true;
            }
            let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
            if let Ok(size @ 1..) = usize::from_str_radix(size, 16) {
                while input.len() < size + 2 {
                    if !fill(stream, input) {
                        return false;
                    }
                }
                seen.body.extend(input.drain(..size + 2));
            }
        }
    }
    let length = seen
        .field("content-length")
        .map_or(0, |n| n.parse().unwrap());
    while input.len() < length {
        if !fill(stream, input) {
            return false;
        }
    }
    seen.body = input.drain(..length).collect();
    true
}

fn until(stream: &mut TcpStream, input: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(place) = input.windows(end.len()).position(|here| here == end) {
            return Some(input.drain(..place + end.len()).collect());
        }
        if !fill(stream, input) {
            return None;
        }
    }
}

fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 64 * 1024];
    match stream.read(&mut bytes) {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            input.extend_from_slice(&bytes[..read]);
            true
        }
    }
}
