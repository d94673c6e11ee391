//! Tests of keeping keys: what is in the files, who may read them, and who removes them.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::Path,
    sync::mpsc,
    time::Duration,
};

use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::*;

fn bundle(text: &'static str) -> Arc<Bundle> {
    let bytes = Bytes::from_static(text.as_bytes());
    Arc::new(Bundle::checked(BundleName::of(&bytes), bytes).unwrap())
}

fn given(texts: &[&'static str]) -> BTreeMap<BundleName, Arc<Bundle>> {
    let bundles = texts.iter().map(|text| bundle(text));
    bundles.map(|bundle| (bundle.name(), bundle)).collect()
}

fn name(text: &str) -> BundleName {
    BundleName::of(text.as_bytes())
}

/// A process with its part of a folder.
struct Process {
    keys: Keys,
    mine: watch::Sender<bool>,
    writing: JoinSet<()>,
}

impl Process {
    fn start(folder: &Path, is_mine: bool) -> Self {
        let (mine, seen) = watch::channel(is_mine);
        let folder = Folder::open(folder.to_owned(), |_| true).unwrap();
        let (keys, writer) = Keys::in_folder(folder, seen);
        let mut writing = JoinSet::new();
        writing.spawn(async { writer.run().await.unwrap() });
        Self {
            keys,
            mine,
            writing,
        }
    }

    /// Uses these, which someone gave.
    fn uses(&mut self, texts: &[&'static str]) {
        for text in texts {
            self.keys.acquire(name(text), &given(texts)).unwrap();
        }
        self.keys.settle();
    }

    /// Ends, with all that was to be done to files done.
    async fn end(mut self) {
        drop(self.keys);
        self.writing.join_next().await.unwrap().unwrap();
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

fn names(texts: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = texts.iter().map(|text| name(text).to_string()).collect();
    names.sort();
    names
}

/// Waits until the folder has exactly these.
async fn has(folder: &Path, texts: &[&str]) {
    until(folder, || files(folder) == names(texts)).await;
}

/// Waits until this is so.
async fn until(folder: &Path, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{:?}", files(folder));
        sleep(Duration::from_millis(1)).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn what_is_used_is_in_files_that_only_this_user_reads_and_what_is_not_goes() {
    let above = folder();
    let path = above.path().join("run/keys");
    let mut process = Process::start(&path, true);
    process.uses(&["one", "two"]);
    has(&path, &["one", "two"]).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(name("one").to_string())), 0o600);

    // Two certificates may have the same one.
    process.uses(&["one"]);
    process.keys.release(name("one"));
    process.keys.release(name("two"));
    process.keys.settle();
    has(&path, &["one"]).await;
    process.end().await;

    let mut next = Process::start(&path, true);
    assert!(next.keys.holds(name("one")) && !next.keys.holds(name("two")));
    let kept = next.keys.acquire(name("one"), &BTreeMap::new()).unwrap();
    assert_eq!(&**kept.bytes(), b"one");
    assert!(next.keys.acquire(name("two"), &BTreeMap::new()).is_none());
}

#[tokio::test]
async fn nothing_is_removed_before_a_version_is_served() {
    let folder = folder();
    let mut process = Process::start(folder.path(), true);
    process.uses(&["one"]);
    process.end().await;

    let next = Process::start(folder.path(), true);
    next.end().await;
    assert_eq!(files(folder.path()), names(&["one"]));

    let mut last = Process::start(folder.path(), true);
    last.uses(&["two"]);
    has(folder.path(), &["two"]).await;
}

#[tokio::test]
async fn a_file_that_does_not_match_its_name_is_not_used_and_goes() {
    let folder = folder();
    let mut process = Process::start(folder.path(), true);
    let path = folder.path().join(name("one").to_string());
    fs::write(&path, "another").unwrap();
    assert!(
        process
            .keys
            .acquire(name("one"), &BTreeMap::new())
            .is_none()
    );
    assert!(!path.exists());
    fs::write(&path, vec![0; crate::bundle::MAX_BYTES + 1]).unwrap();
    assert!(
        process
            .keys
            .acquire(name("one"), &BTreeMap::new())
            .is_none()
    );
    // It is written anew once it is had.
    process.uses(&["one"]);
    has(folder.path(), &["one"]).await;
}

#[tokio::test]
async fn of_two_processes_the_last_one_alone_removes() {
    let folder = folder();
    let mut old = Process::start(folder.path(), true);
    old.uses(&["one", "two"]);
    has(folder.path(), &["one", "two"]).await;

    let mut new = Process::start(folder.path(), false);
    new.uses(&["two", "three"]);
    has(folder.path(), &["one", "two", "three"]).await;

    // The new one is ready: the old one removes nothing more, also of its own.
    old.mine.send_replace(false);
    old.keys.release(name("two"));
    old.keys.settle();
    old.end().await;
    assert_eq!(files(folder.path()), names(&["one", "two", "three"]));

    // What went meanwhile comes again, and half written files go.
    fs::remove_file(folder.path().join(name("three").to_string())).unwrap();
    fs::write(folder.path().join(format!("{}.0123", name("four"))), "").unwrap();
    new.mine.send_replace(true);
    has(folder.path(), &["two", "three"]).await;
    new.end().await;
}

#[tokio::test]
async fn what_is_half_written_is_left_until_nobody_else_writes() {
    let folder = folder();
    let draft = folder.path().join(format!("{}.0123", name("two")));
    fs::write(&draft, "").unwrap();
    let mut new = Process::start(folder.path(), false);
    new.uses(&["one"]);
    let file = folder.path().join(name("one").to_string());
    until(folder.path(), || file.exists()).await;
    assert!(draft.exists());
    new.mine.send_replace(true);
    has(folder.path(), &["one"]).await;
    new.end().await;
}

#[tokio::test]
async fn a_link_or_a_pipe_is_no_bundle_and_keeps_nobody_waiting() {
    let folder = folder();
    let elsewhere = self::folder();
    let target = elsewhere.path().join("one");
    fs::write(&target, "one").unwrap();
    let link = folder.path().join(name("one").to_string());
    let pipe = folder.path().join(name("two").to_string());
    let mut process = Process::start(folder.path(), true);
    for (path, text) in [(&link, "one"), (&pipe, "two")] {
        let make = || match text {
            "one" => symlink(&target, path).unwrap(),
            _ => mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        };
        make();
        assert!(!process.keys.holds(name(text)), "{text}");
        let (done, is_done) = mpsc::channel();
        let opened = Folder::open(folder.path().to_owned(), |_| true).unwrap();
        std::thread::spawn(move || done.send(opened.read(name(text)).is_none()));
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(true), "{text}");
        assert!(path.symlink_metadata().is_err(), "{text}");
        // It does not pass for what is kept either.
        make();
        process.uses(&[text]);
        until(folder.path(), || path.symlink_metadata().unwrap().is_file()).await;
    }
    assert_eq!(fs::read(&target).unwrap(), b"one");
}

#[test]
fn a_folder_of_another_user_keeps_nothing() {
    let folder = folder();
    // Only root may give a folder away; nobody else has that of the system.
    let path = match chown(folder.path(), Some(65534), None) {
        Ok(()) => folder.path(),
        Err(_) => Path::new("/"),
    };
    let before = fs::metadata(path).unwrap();
    let refused = Folder::open(path.to_owned(), |_| true).unwrap_err();
    assert!(matches!(refused, KeysError::NotOurs { .. }), "{refused}");
    let said = refused.to_string();
    for part in [path.to_str().unwrap(), &before.uid().to_string(), "chown"] {
        assert!(said.contains(part), "{said}");
    }
    let mode = |found: fs::Metadata| found.permissions().mode();
    assert_eq!(mode(fs::metadata(path).unwrap()), mode(before));
}

#[test]
fn a_folder_that_is_on_a_disk_or_cannot_be_made_keeps_nothing() {
    let folder = folder();
    let mode = || fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Folder::open(folder.path().to_owned(), |_| false).unwrap_err();
    assert!(matches!(refused, KeysError::OnDisk { .. }), "{refused}");
    assert_eq!(mode(), 0o755, "what is not used is left as it was");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = Folder::open(file, |_| true).unwrap_err();
    assert!(matches!(refused, KeysError::Make { .. }), "{refused}");
}

#[test]
fn a_folder_that_others_can_read_is_closed_to_them() {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Folder::open(folder.path().to_owned(), |_| true).unwrap();
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn without_a_folder_bundles_are_in_memory_alone() {
    let mut keys = Keys::default();
    assert!(keys.acquire(name("one"), &BTreeMap::new()).is_none());
    keys.acquire(name("one"), &given(&["one"])).unwrap();
    keys.acquire(name("one"), &BTreeMap::new()).unwrap();
    keys.settle();
    keys.release(name("one"));
    assert!(keys.holds(name("one")));
    keys.release(name("one"));
    assert!(!keys.holds(name("one")));
}
