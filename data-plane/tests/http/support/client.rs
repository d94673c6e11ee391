//! A client that writes bytes and reads answers.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use super::PATIENCE;

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// Read and not yet used.
    input: Vec<u8>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// First line and fields as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Trailer fields as they came.
    pub(crate) trailers: String,
    /// The connection ended before the body did.
    pub(crate) cut: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.field("x-roadstead-reason")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::on(stream)
    }

    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads one answer, to a request that was not HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.read_answer(false)
    }

    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.read_answer(true)
    }

    /// Reads a head; empty if the connection ends first.
    pub(crate) fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").unwrap_or_default()
    }

    /// Reads exactly `len` bytes; fewer if the connection ends first.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() < len && self.fill() {}
        let len = len.min(self.input.len());
        self.input.drain(..len).collect()
    }

    /// Whether the other end has closed, in whatever way, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.input.is_empty() && !self.fill()
    }

    fn read_answer(&mut self, to_head: bool) -> Answer {
        let mut answer = Answer {
            head: self.head(),
            ..Answer::default()
        };
        let Some(status) = answer.head.split(' ').nth(1) else {
            answer.cut = true;
            return answer;
        };
        answer.status = status.parse().unwrap();
        if to_head || matches!(answer.status, 100..=199 | 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            self.chunks(&mut answer);
        } else if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.bytes(length);
            answer.cut = answer.body.len() < length;
        } else {
            while self.fill() {}
            answer.body = std::mem::take(&mut self.input);
        }
        answer
    }

    fn chunks(&mut self, answer: &mut Answer) {
        loop {
            let Some(line) = self.until(b"\r\n") else {
                answer.cut = true;
                return;
            };
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            let data = self.bytes(size + 2);
            answer.cut = data.len() < size + 2;
            answer.body.extend_from_slice(&data[..size.min(data.len())]);
            if answer.cut {
                return;
            }
        }
        loop {
            match self.until(b"\r\n").as_deref() {
                None => answer.cut = true,
                Some("\r\n") => {}
                Some(line) => {
                    answer.trailers.push_str(line);
                    continue;
                }
            }
            return;
        }
    }

    fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(place) = self.input.windows(end.len()).position(|here| here == end) {
                let text = self.input.drain(..place + end.len()).collect();
                return Some(String::from_utf8(text).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads once; false at the end.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.input.extend_from_slice(&bytes[..read]);
                true
            }
            // TLS tells an end without its last word by an error of its own.
            Err(error)
                if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof]
                    .contains(&error.kind()) =>
            {
                false
            }
            Err(error) => panic!("read: {error}"),
        }
    }
}
