//! What a process did to its files, from `strace`'s account of its system calls.
//!
//! Apart from the disk, so that another way of watching would change this file only. strace,
//! because it sees what the kernel is asked for, whichever library asks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

/// A system call that succeeded, or that nobody saw the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it began, in nanoseconds.
    pub begun: u64,
    /// When it had ended. Nothing if the process was killed first: then the call may have had its
    /// way, in part or not at all, for `strace` holds every call before the kernel has it.
    ///
    /// It leaves out how long `strace` took to write down what was written, and so may be early
    /// by some milliseconds for a long write. Whoever waited for the call began later all the
    /// same; only another thread's fsync can be taken for a barrier that it was not.
    pub ended: Option<u64>,
    pub what: What,
}

/// What a call did, of what matters to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Open {
        path: PathBuf,
        create: bool,
        truncate: bool,
    },
    /// Without a place: after what was written before.
    Write {
        path: PathBuf,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    /// fsync of a file or a folder.
    Sync {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// To the standard output.
    Say {
        text: String,
    },
}

/// Runs a program under `strace`, which leaves its account in a folder; returns the calls of
/// all its threads and children, in the order in which they ended. What did not end comes last.
pub fn watch(program: &Path, arguments: &[&str], folder: &Path) -> anyhow::Result<Vec<Call>> {
    let status = Command::new("strace")
        .args(["--follow-forks", "--output-separately", "--seccomp-bpf"])
        .args([
            "--decode-fds=path",
            "--strings-in-hex=all",
            "--string-limit=134217728",
        ])
        .args(["--timestamps=unix,ns", "--syscall-times=ns", "--quiet=all"])
        .arg(format!("--trace={CALLS}"))
        .arg("--output")
        .arg(folder.join("account"))
        .arg(program)
        .args(arguments)
        .status()
        .context("start `strace` (of strace)")?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.display()
    );
    let mut calls = Vec::new();
    for account in fs::read_dir(folder)? {
        let account = fs::read(account?.path())?;
        let mut before = 0;
        for line in account.split(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(line)?;
            let call = read_line(line).with_context(|| shortened(line))?;
            if let Some(call) = &call {
                ensure!(call.begun >= before, "the clock was set back meanwhile");
                before = call.begun;
            }
            calls.extend(call);
        }
    }
    calls.sort_by_key(|call| (call.ended.is_none(), call.ended, call.begun));
    Ok(calls)
}

/// All calls that change files, so that one which is not understood is at least noticed.
const CALLS: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,\
    fdatasync,sync,syncfs,truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,\
    io_uring_enter,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,symlink,\
    symlinkat,link,linkat";

/// `SECONDS.NANOS NAME(ARGUMENTS) = RESULT <SECONDS.NANOS>`; nothing if it does not matter.
fn read_line(line: &str) -> anyhow::Result<Option<Call>> {
    let Some((time, rest)) = line.split_once(' ') else {
        return Ok(None);
    };
    if rest.starts_with("+++") || rest.starts_with("---") {
        return Ok(None);
    }
    let begun = nanoseconds(time)?;
    let (name, rest) = rest.split_once('(').context("a call")?;
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
    let (result, took) = result.rsplit_once(" <").unwrap_or((result, ""));
    if result.starts_with('-') {
        return Ok(None);
    }
    let ended = if result.starts_with('?') {
        None
    } else {
        Some(begun + nanoseconds(took.trim_end_matches('>'))?)
    };
    let arguments = arguments.trim_end().trim_end_matches(')');
    let arguments = arguments.trim_end_matches(" <unfinished ...>");
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let what = understand(name, &arguments, result)?;
    Ok(what.map(|what| Call { begun, ended, what }))
}

fn understand(name: &str, arguments: &[&str], result: &str) -> anyhow::Result<Option<What>> {
    let what = match (name, arguments) {
        ("openat", [_, path, flags, ..]) | ("open", [path, flags, ..]) => What::Open {
            path: text(path)?.into(),
            create: flags.contains("O_CREAT"),
            truncate: flags.contains("O_TRUNC"),
        },
        ("write", [file, bytes, _]) if file.starts_with("1<") => What::Say { text: text(bytes)? },
        ("write", [file, bytes, _]) => What::Write {
            path: decoded(file)?,
            at: None,
            bytes: written(bytes, result)?,
        },
        ("pwrite64", [file, bytes, _, at]) => What::Write {
            path: decoded(file)?,
            at: Some(at.parse()?),
            bytes: written(bytes, result)?,
        },
        ("ftruncate", [file, length]) => What::Truncate {
            path: decoded(file)?,
            length: length.parse()?,
        },
        ("fsync", [file]) => What::Sync {
            path: decoded(file)?,
        },
        // It allocates behind the end and changes nothing that can be read.
        ("fallocate", [_, "FALLOC_FL_KEEP_SIZE", ..]) => return Ok(None),
        ("mkdir", [path, _]) | ("mkdirat", [_, path, _]) => What::MakeFolder {
            path: text(path)?.into(),
        },
        ("symlink", [target, path]) | ("symlinkat", [target, _, path]) => What::Link {
            path: text(path)?.into(),
            target: text(target)?.into(),
        },
        ("rename", [from, to]) | ("renameat" | "renameat2", [_, from, _, to, ..]) => What::Rename {
            from: text(from)?.into(),
            to: text(to)?.into(),
        },
        ("unlink" | "rmdir", [path]) => What::Remove {
            path: text(path)?.into(),
        },
        ("unlinkat", [folder, path, _]) => What::Remove {
            path: decoded(folder)?.join(text(path)?),
        },
        _ => bail!("a call that the disk does not know"),
    };
    Ok(Some(what))
}

/// The bytes of a string of which as many count as the call wrote.
fn written(string: &str, result: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = unhex(string)?;
    if let Ok(length) = result.parse() {
        bytes.truncate(length);
    }
    Ok(bytes)
}

fn text(string: &str) -> anyhow::Result<String> {
    Ok(String::from_utf8(unhex(string)?)?)
}

/// `5<PATH>`
fn decoded(file: &str) -> anyhow::Result<PathBuf> {
    let (_, path) = file.split_once('<').context("a file and its path")?;
    Ok(text(path.trim_end_matches('>'))?.into())
}

/// `"\x61\x62"`, with or without the quotes.
fn unhex(string: &str) -> anyhow::Result<Vec<u8>> {
    let string = string.trim_matches('"').as_bytes();
    let mut bytes = Vec::with_capacity(string.len() / 4);
    // A plain loop: these are hundreds of megabytes, and tests are not optimised.
    for hex in string.chunks(4) {
        let [b'\\', b'x', high, low] = hex else {
            bail!("a string that is not in hexadecimal digits, or abridged");
        };
        bytes.push(digit(*high) << 4 | digit(*low));
    }
    Ok(bytes)
}

fn digit(digit: u8) -> u8 {
    if digit < b'a' {
        digit & 15
    } else {
        (digit & 15) + 9
    }
}

fn nanoseconds(time: &str) -> anyhow::Result<u64> {
    let (seconds, nanos) = time.split_once('.').context("seconds and nanoseconds")?;
    Ok(seconds.parse::<u64>()? * 1_000_000_000 + nanos.parse::<u64>()?)
}

fn shortened(line: &str) -> String {
    let end = line
        .char_indices()
        .nth(300)
        .map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_account_are_understood() {
        let path = PathBuf::from("/a");
        let cases = [
            (
                r#"7.000000005 pwrite64(5<\x2f\x61>, "\x62\x63", 2, 512) = 2 <0.000000011>"#,
                Some((
                    Some(16),
                    What::Write {
                        path: path.clone(),
                        at: Some(512),
                        bytes: b"bc".into(),
                    },
                )),
            ),
            (
                r#"7.000000005 write(5<\x2f\x61>, "\x62\x63", 2) = 1 <0.000000001>"#,
                Some((
                    Some(6),
                    What::Write {
                        path: path.clone(),
                        at: None,
                        bytes: b"b".into(),
                    },
                )),
            ),
            (
                r#"7.000000005 write(1<\x70\x69>, "\x62\x63", 2) = 2 <0.000000001>"#,
                Some((Some(6), What::Say { text: "bc".into() })),
            ),
            (
                r#"7.000000005 fsync(5<\x2f\x61>) = 0 <0.000000002>"#,
                Some((Some(7), What::Sync { path: path.clone() })),
            ),
            (
                r#"7.000000005 fsync(5<\x2f\x61> <unfinished ...>"#,
                Some((None, What::Sync { path: path.clone() })),
            ),
            (
                r#"7.000000005 ftruncate(5<\x2f\x61>, 9)             = ?"#,
                Some((
                    None,
                    What::Truncate {
                        path: path.clone(),
                        length: 9,
                    },
                )),
            ),
            (
                r#"7.000000005 mkdir("\x2f\x61", 0777) = ? <unavailable>"#,
                Some((None, What::MakeFolder { path: path.clone() })),
            ),
            (
                r#"7.000000005 unlinkat(5<\x2f>, "\x61", AT_REMOVEDIR) = 0 <0.000000001>"#,
                Some((Some(6), What::Remove { path: path.clone() })),
            ),
            (
                r#"7.000000005 openat(AT_FDCWD<\x2f>, "\x2f\x61", O_RDWR|O_CREAT, 0666) = 5<\x2f\x61> <0.000000001>"#,
                Some((
                    Some(6),
                    What::Open {
                        path,
                        create: true,
                        truncate: false,
                    },
                )),
            ),
            (
                r#"7.000000005 unlink("\x61") = -1 ENOENT (No such file) <0.000000001>"#,
                None,
            ),
            ("7.000000005 +++ killed by SIGKILL +++", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(ended, what)| Call {
                begun: 7_000_000_005,
                ended: ended.map(|ended: u64| 7_000_000_000 + ended),
                what,
            });
            assert_eq!(read_line(line).unwrap(), expected, "{line}");
        }
        assert!(read_line(r#"7.0 splice(5, NULL, 6, NULL, 5, 0) = 5 <0.000000001>"#).is_err());
    }
}
