//! One line for each request: off, text or JSON.
//!
//! Apart from tracing, because it must cost the traffic threads next to nothing: each thread
//! fills a buffer of its own and hands it over whole; one thread writes. When the writer
//! cannot follow, lines are dropped and counted; traffic never waits for a log.

mod line;

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

use serde::{Deserialize, Serialize};

pub use line::{Line, Outcome, Start};

use crate::metrics::Counter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    #[default]
    Off,
    Text,
    Json,
}

/// Where lines go; given to every traffic thread.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: LogFormat,
    full: SyncSender<Vec<u8>>,
}

impl AccessLog {
    /// Starts the writer. It ends when the last copy of this and every thread's part are gone.
    pub fn start(
        format: LogFormat,
        output: Box<dyn Write + Send>,
    ) -> io::Result<(Self, AccessLogWriter)> {
        let (full, buffers) = sync_channel(BUFFERS);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&buffers, output))?;
        Ok((Self { format, full }, AccessLogWriter { thread }))
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct AccessLogWriter {
    thread: JoinHandle<io::Result<()>>,
}

impl AccessLogWriter {
    /// Waits until everything is written. All copies of the log must be gone, or it never is.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .map_err(|_| io::Error::other("access log: the writer panicked"))?
    }
}

/// One traffic thread's part of the log.
#[derive(Debug)]
pub struct ThreadLog {
    log: AccessLog,
    buffer: RefCell<Buffer>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
}

impl ThreadLog {
    pub fn new(log: AccessLog) -> Self {
        Self {
            log,
            buffer: RefCell::new(Buffer::default()),
        }
    }

    /// Begins the line of a request, unless the log is off.
    pub fn line(&self, start: &Start<'_>) -> Option<Line> {
        (self.log.format != LogFormat::Off).then(|| Line::begin(self.log.format, start))
    }

    pub fn is_off(&self) -> bool {
        self.log.format == LogFormat::Off
    }

    /// Adds a finished line.
    pub fn push(&self, line: &[u8], dropped: &Counter) {
        let mut buffer = self.buffer.borrow_mut();
        buffer.bytes.extend_from_slice(line);
        buffer.lines += 1;
        if buffer.bytes.len() >= BUFFER_BYTES {
            hand_over(&self.log.full, &mut buffer, dropped);
        }
    }

    /// Hands over what there is, so that a quiet thread's lines do not wait.
    pub fn flush(&self, dropped: &Counter) {
        let mut buffer = self.buffer.borrow_mut();
        if !buffer.bytes.is_empty() {
            hand_over(&self.log.full, &mut buffer, dropped);
        }
    }
}

fn hand_over(full: &SyncSender<Vec<u8>>, buffer: &mut Buffer, dropped: &Counter) {
    let bytes = std::mem::take(&mut buffer.bytes);
    let lines = std::mem::take(&mut buffer.lines);
    match full.try_send(bytes) {
        Ok(()) => {}
        Err(TrySendError::Full(mut bytes) | TrySendError::Disconnected(mut bytes)) => {
            dropped.add(lines);
            bytes.clear();
            buffer.bytes = bytes;
        }
    }
}

fn write_all(buffers: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) -> io::Result<()> {
    for bytes in buffers {
        if let Err(error) = output.write_all(&bytes).and_then(|()| output.flush()) {
            tracing::error!("the access log has ended: its lines are only counted now: {error}");
            return Err(error);
        }
    }
    Ok(())
}

/// Bytes after which a thread hands its buffer over.
const BUFFER_BYTES: usize = 32 * 1024;

/// Buffers that wait for the writer: 2 MiB in all.
const BUFFERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Sender, channel},
        time::Duration,
    };

    use super::*;

    /// Takes a buffer only when the test gives leave.
    struct Slow {
        leave: Receiver<()>,
        written: Sender<usize>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _closed = self.leave.recv();
            self.written.send(bytes.len()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_writer_costs_lines_and_never_time() {
        let (leave, wait) = channel();
        let (written, sizes) = channel();
        let output = Box::new(Slow {
            leave: wait,
            written,
        });
        let (log, writer) = AccessLog::start(LogFormat::Text, output).unwrap();
        let thread = ThreadLog::new(log);
        let dropped = Counter::default();
        let line = [b'x'; BUFFER_BYTES];
        for _ in 0..BUFFERS + 10 {
            thread.push(&line, &dropped);
        }
        // One buffer may be in the writer's hands already.
        assert!((9..=10).contains(&dropped.read()));
        drop(leave);
        drop(thread);
        writer.join().unwrap();
        let mut total = 0;
        while let Ok(size) = sizes.recv_timeout(Duration::from_secs(1)) {
            total += size;
        }
        let lost = usize::try_from(dropped.read()).unwrap();
        assert_eq!(total, (BUFFERS + 10 - lost) * BUFFER_BYTES);
    }
}
