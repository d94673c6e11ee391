//! Opening a log: recovering its files, finding its end, clearing what never counted.
//!
//! Apart, because a first opening and one after a failed write must do the same.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::event::Seq;
use crate::event_log::{
    EventLog, Options,
    checkpoint::{self, Checkpoint},
    error::{Damage, OpenError, Place},
    folder::Folder,
    hold::{PATIENCE, patiently},
    mark::Mark,
    pen::Pen,
    retained::{self, LoadError, Retained},
    room::Room,
    store::Store,
    tail::{self, Cut, Tail},
};

/// What was found, and what was taken out because it never counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// There was no log: this one is new.
    pub created: bool,
    /// The last record.
    pub last: Option<Seq>,
    /// The newest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Records of a batch that was not all on disk when the process ended.
    pub cut: Option<Cut>,
    /// A checkpoint had been begun and not finished.
    pub unfinished_checkpoint: bool,
}

/// What opening comes to.
pub(super) struct Opened {
    pub(super) store: Arc<Store>,
    pub(super) pen: Pen,
    pub(super) mark: Mark,
    pub(super) retained: Retained,
    pub(super) report: OpenReport,
}

/// Opens the log in a folder. Of what comes after `keep` nothing stays.
pub(super) fn open(
    folder: &Folder,
    options: &Options,
    keep: Option<Seq>,
) -> Result<Opened, OpenError> {
    let (cache, segment) = (options.cache_bytes, options.segment_bytes);
    let open = |path: &Path| Store::open(path, cache, segment);
    let created = folder.prepare(open)?;
    let store = open(&folder.store()).map_err(|error| folder.store_error(error))?;
    let store = Arc::new(store);
    let io = |doing, path| {
        move |source| OpenError::Folder {
            doing,
            path,
            source,
        }
    };
    let (mark, acknowledged) = Mark::open(&folder.mark()).map_err(io("open", folder.mark()))?;
    let segment = u64::try_from(options.segment_bytes).unwrap_or(u64::MAX);
    let room = Room::new(&folder.data(), segment).map_err(io("open", folder.data()))?;
    let mut pen = Pen::new(store.clone(), room, segment);

    let load = |error| load_error(folder, error);
    let put = |error| folder.store_error(error);
    let mut retained = Retained::load(&store).map_err(load)?;
    let checkpoint = checkpoint::newest(&store).map_err(load)?;
    let checkpoint_seq = checkpoint.map_or(Seq(0), |checkpoint| checkpoint.seq);
    let unfinished_checkpoint = checkpoint::clear_draft(&mut pen, checkpoint_seq).map_err(put)?;
    let (last, cut) = match tail::find(&store, checkpoint_seq, acknowledged, keep).map_err(put)? {
        Tail::Whole { last } => (last, None),
        Tail::Torn { last, cut } => {
            tail::cut(&mut pen, cut).map_err(put)?;
            (last, Some(cut))
        }
        Tail::Damaged { at, what } => return Err(damage(folder, at, &what).into()),
    };
    if last.is_none() && checkpoint.is_none() {
        // The very first batch was torn, if there was one.
        retained.begin = Seq(0);
    }
    let begin = Seq(retained.begin.0.saturating_sub(1));
    let recorded = last.unwrap_or(begin).max(begin);
    let missing = retained::first_missing(&store, recorded.next(), checkpoint_seq.next());
    if let Some(missing) = missing.map_err(load)? {
        return Err(damage(folder, missing, "it is missing").into());
    }
    let last = recorded.max(checkpoint_seq);
    if last < acknowledged {
        let what = format!("the log ends at {last}, but {acknowledged} was acknowledged");
        return Err(damage(folder, last.next(), &what).into());
    }
    let report = OpenReport {
        created,
        last: (last > Seq(0)).then_some(last),
        checkpoint,
        cut,
        unfinished_checkpoint,
    };
    Ok(Opened {
        store,
        pen,
        mark,
        retained,
        report,
    })
}

/// Moves a log out of the way and opens an empty one in its place.
pub(super) fn restart(log: &EventLog) -> Result<(Pen, Mark, PathBuf), OpenError> {
    close(log)?;
    let shared = &log.0;
    let closed = Store::wait_until_closed(&shared.folder.store());
    closed.map_err(|error| shared.folder.store_error(error))?;
    let aside = shared.folder.set_aside()?;
    log.set_last(Seq(0));
    log.set_retained(Arc::default());
    let opened = open(&shared.folder, &shared.options, None)?;
    log.set_retained(Arc::new(opened.retained));
    shared.store.store(Some(opened.store));
    Ok((opened.pen, opened.mark, aside))
}

/// Opens a log again that cannot be written any more, keeping what was acknowledged.
pub(super) fn reopen(log: &EventLog) -> Result<(Pen, Mark, OpenReport), OpenError> {
    close(log)?;
    let shared = &log.0;
    let folder = &shared.folder;
    folder.forget_cached()?;
    let opened = open(folder, &shared.options, log.last())?;
    log.set_retained(Arc::new(opened.retained));
    shared.store.store(Some(opened.store));
    Ok((opened.pen, opened.mark, opened.report))
}

/// Takes the store from the readers, and waits until none has it.
fn close(log: &EventLog) -> Result<(), OpenError> {
    if let Some(store) = log.0.store.swap(None) {
        let held = Arc::downgrade(&store);
        drop(store);
        let closed = || (held.strong_count() == 0).then_some(());
        patiently(PATIENCE, closed).ok_or_else(|| OpenError::Busy {
            folder: log.0.folder.path().to_owned(),
        })?;
    }
    Ok(())
}

pub(super) fn load_error(folder: &Folder, error: LoadError) -> OpenError {
    match error {
        LoadError::Store(error) => folder.store_error(error),
        LoadError::Frame(error) => OpenError::Damaged(Damage {
            folder: folder.path().to_owned(),
            tree: "marks, holes or manifests",
            place: Place::At(Seq(0)),
            what: error.to_string(),
        }),
    }
}

fn damage(folder: &Folder, at: Seq, what: &str) -> Damage {
    Damage {
        folder: folder.path().to_owned(),
        tree: "records",
        place: Place::At(at),
        what: what.to_owned(),
    }
}
