//! Files become what they hold: many at a time, on all cores.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::OFlags;

use crate::folder::document::{Contents, Form, documents, parse};
use crate::folder::walk::{Files, Stamp};

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
    let mut all = BTreeMap::new();
    let mut texts = Vec::new();
    let mut bytes = 0;
    for (name, file) in files {
        match text(&file.path) {
            Ok((stamp, text)) => {
                bytes += text.len();
                texts.push((name, stamp, text));
            }
            Err(error) => {
                all.insert(name.clone(), unreadable(&error));
            }
        }
        // Texts are many times as large as what is taken out of them.
        if bytes >= BATCH {
            all.extend(parse_all(&std::mem::take(&mut texts)));
            bytes = 0;
        }
    }
    all.extend(parse_all(&texts));
    all
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
    let mut text = String::new();
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

fn parse_all(texts: &[(&Arc<str>, Stamp, String)]) -> Vec<(Arc<str>, Read)> {
    let all: Vec<(Form, &str, usize, &str)> = texts
        .iter()
        .flat_map(|(name, _, text)| {
            let form = form(name);
            let documents = documents(form, text).into_iter().enumerate();
            documents.map(move |(position, document)| (form, &***name, position, document))
        })
        .collect();
    let mut parsed = on_all_cores(&all, |(form, name, position, text)| {
        parse(*form, name, *position, text)
    })
    .into_iter();
    let mut counts = BTreeMap::new();
    for (_, name, ..) in &all {
        *counts.entry(*name).or_insert(0) += 1;
    }
    let mut reads = Vec::with_capacity(texts.len());
    for (name, stamp, _) in texts {
        let mut contents = Contents::default();
        let count = counts.get(&***name).copied().unwrap_or(0);
        for document in parsed.by_ref().take(count) {
            contents.extend(document);
        }
        let read = Read {
            stamp: Some(stamp.clone()),
            contents: Some(contents),
        };
        reads.push(((*name).clone(), read));
    }
    reads
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

/// The results in order; a few are not worth a thread.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    let each = items.len().div_ceil(cores).max(WORTH_A_THREAD);
    let mut chunks = items.chunks(each);
    let Some(first) = chunks.next() else {
        return Vec::new();
    };
    thread::scope(|scope| {
        let others: Vec<_> = chunks
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Vec<R>>()))
            .collect();
        let mut results: Vec<R> = first.iter().map(&work).collect();
        for other in others {
            match other.join() {
                Ok(other) => results.extend(other),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

const O_NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
const MAX_LENGTH: u64 = 64 << 20;
const BATCH: usize = 32 << 20;
const MAX_THREADS: usize = 4;
const WORTH_A_THREAD: usize = 64;
