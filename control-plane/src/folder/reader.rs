//! Files become what they hold: many at a time, on all cores.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::OFlags;

use crate::folder::document::{Contents, Form, documents, parse};
use crate::folder::walk::{self, Files, Stamp};

/// What a file holds, and the stamp that it had when it was read.
#[derive(Debug)]
pub(super) struct Read {
    /// Without one it is to be read again at the next look.
    pub(super) stamp: Option<Stamp>,
    /// `None`: it is gone.
    pub(super) contents: Option<Contents>,
}

/// Reads these files.
pub(super) fn read(files: &Files) -> BTreeMap<Arc<str>, Read> {
    let (short, long): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|(_, file)| file.stamp.length <= SHORT);
    // Each is let go of as soon as it is parsed: texts are many times as large as what is taken
    // out of them.
    let mut all: BTreeMap<Arc<str>, Read> = on_all_cores(&short, |(name, file)| {
        whole(name, file, |documents| {
            documents.iter().map(parse_one).collect()
        })
    })
    .into_iter()
    .collect();
    all.extend(
        long.into_iter()
            .map(|(name, file)| whole(name, file, |documents| on_all_cores(documents, parse_one))),
    );
    all
}

/// One document of a file: the file's form and name, and the document's position and text.
type Piece<'a> = (Form, &'a str, usize, &'a str);

fn parse_one((form, name, position, text): &Piece<'_>) -> Contents {
    parse(*form, name, *position, text)
}

fn whole(
    name: &Arc<str>,
    file: &walk::File,
    parse: impl FnOnce(&[Piece<'_>]) -> Vec<Contents>,
) -> (Arc<str>, Read) {
    let read = match text(&file.path) {
        Ok((stamp, text)) => {
            let form = form(name);
            let documents = documents(form, &text).into_iter().enumerate();
            let pieces: Vec<Piece<'_>> = documents
                .map(|(position, document)| (form, &**name, position, document))
                .collect();
            let mut contents = Contents::default();
            for document in parse(&pieces) {
                contents.extend(document);
            }
            Read {
                stamp: Some(stamp),
                contents: Some(contents),
            }
        }
        Err(error) => unreadable(&error),
    };
    (name.clone(), read)
}

fn text(path: &Path) -> io::Result<(Stamp, String)> {
    // Without waiting: a pipe may stand now where a file was found.
    let mut options = File::options();
    let file = options.read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no file any more"));
    }
    // Before reading: what is written meanwhile has another.
    let stamp = Stamp::of(&metadata);
    // With room for the end, so that it is read at once.
    let length = usize::try_from(stamp.length.min(MAX_LENGTH)).unwrap_or(0);
    let mut text = String::with_capacity(length + 1);
    let read = file.take(MAX_LENGTH + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_LENGTH {
        let message = format!("longer than {} MiB", MAX_LENGTH >> 20);
        return Err(io::Error::other(message));
    }
    Ok((stamp, text))
}

fn unreadable(error: &io::Error) -> Read {
    let broken = || Contents {
        broken: vec![error.to_string()],
        ..Contents::default()
    };
    Read {
        stamp: None,
        contents: (error.kind() != io::ErrorKind::NotFound).then(broken),
    }
}

fn form(name: &str) -> Form {
    if Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        Form::Json
    } else {
        Form::Yaml
    }
}

/// The results in order; a few are not worth a thread. Each core takes the next few when it is
/// done with some, because files that stand together are of one sort.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let worth = items.len() / WORTH_A_THREAD;
    if worth <= 1 {
        return items.iter().map(work).collect();
    }
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    let threads = cores.min(worth);
    let chunks: Vec<&[T]> = items.chunks(AT_ONCE).collect();
    let taken = AtomicUsize::new(0);
    let take_turns = || {
        let mut done = Vec::new();
        loop {
            let position = taken.fetch_add(1, Ordering::Relaxed);
            let Some(some) = chunks.get(position) else {
                return done;
            };
            done.push((position, some.iter().map(&work).collect::<Vec<R>>()));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_turns)).collect();
        let mut done = take_turns();
        for other in others {
            match other.join() {
                Ok(other) => done.extend(other),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().flat_map(|(_, some)| some).collect()
}

const O_NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
const MAX_LENGTH: u64 = 64 << 20;
/// Files up to this length are parsed by one core each, longer ones by all.
const SHORT: u64 = 256 << 10;
const MAX_THREADS: usize = 4;
const WORTH_A_THREAD: usize = 64;
const AT_ONCE: usize = 32;
