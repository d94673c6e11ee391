//! One line for each request: off, text or JSON.
//!
//! Apart from tracing, because it must cost the traffic threads next to nothing: each thread
//! fills a buffer of its own and hands it over whole; one thread writes. When the writer
//! cannot follow, lines are dropped and counted; traffic never waits for a log.

mod line;

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use line::{Line, Outcome, Start};

use crate::metrics::{Counter, ThreadMetrics};

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
    full: SyncSender<Buffer>,
}

impl AccessLog {
    /// Starts the writer. It ends when the last copy of this and every thread's part are gone.
    pub fn start(
        format: LogFormat,
        output: Box<dyn Write + Send>,
    ) -> io::Result<(Self, AccessLogWriter)> {
        let (full, buffers) = sync_channel(BUFFERS);
        let (end, ended) = channel();
        let metrics = Arc::new(ThreadMetrics::default());
        let shared = Arc::clone(&metrics);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                write_all(&buffers, output, &metrics.log_lines_dropped);
                drop(end);
            })?;
        let writer = AccessLogWriter {
            thread,
            ended,
            metrics: shared,
        };
        Ok((Self { format, full }, writer))
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct AccessLogWriter {
    thread: JoinHandle<()>,
    /// Closed at the thread's end.
    ended: Receiver<()>,
    metrics: Arc<ThreadMetrics>,
}

impl AccessLogWriter {
    /// The figures of this thread: of lines that the output did not take.
    pub fn metrics(&self) -> &Arc<ThreadMetrics> {
        &self.metrics
    }

    /// Waits until everything is written, for at most `patience`, since whoever reads the output
    /// may have stopped to. All copies of the log must be gone, or the writer never ends. Blocks.
    pub fn join(self, patience: Duration) -> io::Result<()> {
        match self.ended.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => Err(io::Error::other(
                "access log: its last lines are lost: nobody takes what is written",
            )),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self
                .thread
                .join()
                .map_err(|_| io::Error::other("access log: the writer panicked")),
        }
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

fn hand_over(full: &SyncSender<Buffer>, buffer: &mut Buffer, dropped: &Counter) {
    match full.try_send(std::mem::take(buffer)) {
        Ok(()) => {}
        Err(TrySendError::Full(mut left) | TrySendError::Disconnected(mut left)) => {
            dropped.add(left.lines);
            left.bytes.clear();
            left.lines = 0;
            *buffer = left;
        }
    }
}

/// Writes what comes, for as long as it may. What cannot be written is counted: a disk that is
/// full may have room again.
fn write_all(buffers: &Receiver<Buffer>, mut output: Box<dyn Write + Send>, dropped: &Counter) {
    let mut fails = false;
    for Buffer { bytes, lines } in buffers {
        match output.write_all(&bytes).and_then(|()| output.flush()) {
            Ok(()) if fails => {
                tracing::info!("the access log is written again");
                fails = false;
            }
            Ok(()) => {}
            Err(error) => {
                dropped.add(lines);
                if !fails {
                    tracing::error!("the access log's lines are only counted now: {error}");
                }
                fails = true;
            }
        }
    }
}

/// Bytes after which a thread hands its buffer over.
const BUFFER_BYTES: usize = 32 * 1024;

/// Buffers that wait for the writer: 2 MiB in all.
const BUFFERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

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
        writer.join(PATIENCE).unwrap();
        let mut total = 0;
        while let Ok(size) = sizes.recv_timeout(Duration::from_secs(1)) {
            total += size;
        }
        let lost = usize::try_from(dropped.read()).unwrap();
        assert_eq!(total, (BUFFERS + 10 - lost) * BUFFER_BYTES);
    }

    /// Fails as often as it is told, and then writes.
    struct Broken(usize, Sender<Vec<u8>>);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(left) = self.0.checked_sub(1) {
                self.0 = left;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_written() {
        let (written, lines) = channel();
        let output = Box::new(Broken(2, written));
        let (log, writer) = AccessLog::start(LogFormat::Text, output).unwrap();
        let thread = ThreadLog::new(log);
        let dropped = Counter::default();
        for line in [b"one\n", b"two\n", b"3rd\n"] {
            thread.push(line, &dropped);
            thread.push(line, &dropped);
            thread.flush(&dropped);
        }
        drop(thread);
        let metrics = Arc::clone(writer.metrics());
        writer.join(PATIENCE).unwrap();
        assert_eq!((metrics.log_lines_dropped.read(), dropped.read()), (4, 0));
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), [b"3rd\n3rd\n"]);
    }

    #[test]
    fn nobody_waits_for_ever_for_the_last_lines() {
        let (_leave, wait) = channel();
        let output = Box::new(Slow {
            leave: wait,
            written: channel().0,
        });
        let (log, writer) = AccessLog::start(LogFormat::Text, output).unwrap();
        let thread = ThreadLog::new(log);
        thread.push(b"line\n", &Counter::default());
        thread.flush(&Counter::default());
        drop(thread);
        let error = writer.join(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("last lines are lost"), "{error}");
    }

    const PATIENCE: Duration = Duration::from_secs(20);
}
