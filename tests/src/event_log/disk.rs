//! A disk as a history: every change of every file and name, and what fsync made of it.
//!
//! Apart from the images that are made of it, so that what counts as durable is said once. The
//! history is held against what really lies in the folder after each process: a recorder that
//! misses or invents something would else be taken for a log that loses something.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail, ensure};

use super::trace::{Call, What};

/// When something began and when it had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub begun: u64,
    pub ended: u64,
}

/// The history of everything below one folder. The folder itself is there.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    pub nodes: Vec<Node>,
    /// All changes of names, in order.
    pub renames: Vec<NameChange>,
    /// What the names are now, for following the calls.
    names: BTreeMap<(usize, String), usize>,
    /// Where the next write without a place goes.
    positions: BTreeMap<usize, u64>,
}

/// A file, folder or link, whatever its names.
#[derive(Debug, Default)]
pub struct Node {
    pub kind: Kind,
    /// Changes of a file's content, in order.
    pub changes: Vec<(Span, ContentChange)>,
    /// What all of them come to.
    content: Vec<u8>,
    /// When it was fsynced.
    pub syncs: Vec<Span>,
}

#[derive(Debug, Default)]
pub enum Kind {
    #[default]
    File,
    Folder,
    Link(PathBuf),
}

#[derive(Debug)]
pub enum ContentChange {
    Write { at: u64, bytes: Vec<u8> },
    Truncate(u64),
}

impl ContentChange {
    /// Changes a file's content.
    pub fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => content.resize(*length as usize, 0),
            Self::Write { at, bytes } => {
                let (from, to) = (*at as usize, *at as usize + bytes.len());
                if content.len() < to {
                    content.resize(to, 0);
                }
                if let Some(place) = content.get_mut(from..to) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

/// A change of names: it takes one away, gives one, or both at once.
#[derive(Debug)]
pub struct NameChange {
    pub span: Span,
    pub takes: Option<(usize, String)>,
    pub gives: Option<(usize, String)>,
    pub node: usize,
}

/// The node of the folder itself.
pub const ROOT: usize = 0;

impl Disk {
    /// A folder as it lies there, all of it durable.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let mut disk = Self {
            root: folder.to_owned(),
            nodes: vec![Node {
                kind: Kind::Folder,
                ..Node::default()
            }],
            renames: Vec::new(),
            names: BTreeMap::new(),
            positions: BTreeMap::new(),
        };
        disk.take_in(folder)?;
        let always = Span::default();
        for node in &mut disk.nodes {
            node.syncs.push(always);
        }
        Ok(disk)
    }

    /// Follows the calls of a process that has ended; what it said is returned with its time.
    ///
    /// Fails if they do not come to what really lies in the folder.
    pub fn follow(&mut self, calls: Vec<Call>) -> anyhow::Result<Vec<(u64, String)>> {
        let mut said = Vec::new();
        let mut cut_off = Vec::new();
        let ends = calls.iter().map(|call| call.ended.unwrap_or(call.begun));
        let end = ends.max().unwrap_or(0) + 1;
        for Call { begun, ended, what } in calls {
            if let What::Say { text } = what {
                said.push((begun, text));
            } else if let Some(ended) = ended {
                self.take(Span { begun, ended }, what)?;
            } else {
                cut_off.push((Span { begun, ended: end }, what));
            }
        }
        for (span, what) in cut_off {
            if let Some(what) = self.had_its_way(what)? {
                self.take(span, what)?;
            }
        }
        self.settle_lengths(Span {
            begun: end,
            ended: end,
        })?;
        self.compare(ROOT, &self.root)?;
        Ok(said)
    }

    /// Takes over how long files really are, where that is all that they differ in.
    ///
    /// When it opens its file, sled shortens it in one thread and clears what it no longer needs
    /// in another, behind the new end too. Which of them came last, only the folder can tell.
    fn settle_lengths(&mut self, span: Span) -> anyhow::Result<()> {
        let mut folders = vec![(ROOT, self.root.clone())];
        while let Some((folder, path)) = folders.pop() {
            let here = self.names.iter().filter(|((of, _), _)| *of == folder);
            let here: Vec<_> = here
                .map(|((_, name), node)| (path.join(name), *node))
                .collect();
            for (path, node) in here {
                let recorded = self.nodes.get(node).context("a node")?;
                match recorded.kind {
                    Kind::Folder => folders.push((node, path)),
                    Kind::Link(_) => {}
                    Kind::File => {
                        let (one, other) = (fs::read(&path)?, &recorded.content);
                        let length = one.len();
                        let (short, long) = if length < other.len() {
                            (&one, other)
                        } else {
                            (other, &one)
                        };
                        let rest = long.strip_prefix(short.as_slice());
                        if length != other.len()
                            && rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
                        {
                            self.change(node, span, ContentChange::Truncate(length as u64));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a change was durable at a time: whether an fsync of one of these nodes began
    /// after it had ended, and had ended by then.
    pub fn is_durable(&self, change: Span, synced: &[usize], by: u64) -> bool {
        let covers = |sync: &Span| sync.begun >= change.ended && sync.ended <= by;
        let syncs = synced.iter().filter_map(|node| self.nodes.get(*node));
        syncs.flat_map(|node| &node.syncs).any(covers)
    }

    fn take(&mut self, span: Span, what: What) -> anyhow::Result<()> {
        match what {
            What::Say { .. } => {}
            What::Open {
                path,
                create,
                truncate,
            } => {
                let Some(node) = self.find(&path) else {
                    if create && let Some(name) = self.name(&path) {
                        self.add(span, name?, Kind::File);
                    }
                    return Ok(());
                };
                self.positions.remove(&node);
                if truncate {
                    self.change(node, span, ContentChange::Truncate(0));
                }
            }
            What::Write { path, at, bytes } => {
                let Some(node) = self.known(&path)? else {
                    return Ok(());
                };
                let position = self.positions.entry(node).or_default();
                let at = at.unwrap_or(*position);
                *position = at + bytes.len() as u64;
                self.change(node, span, ContentChange::Write { at, bytes });
            }
            What::Truncate { path, length } => {
                let Some(node) = self.known(&path)? else {
                    return Ok(());
                };
                self.change(node, span, ContentChange::Truncate(length));
            }
            What::Sync { path } => {
                let Some(node) = self.known(&path)? else {
                    return Ok(());
                };
                if let Some(node) = self.nodes.get_mut(node) {
                    node.syncs.push(span);
                }
            }
            What::MakeFolder { path } => {
                if let Some(name) = self.name(&path) {
                    self.add(span, name?, Kind::Folder);
                }
            }
            What::Link { path, target } => {
                if let Some(name) = self.name(&path) {
                    self.add(span, name?, Kind::Link(target));
                }
            }
            What::Rename { from, to } => {
                let (Some(from), Some(to)) = (self.name(&from), self.name(&to)) else {
                    return Ok(());
                };
                let (from, to) = (from?, to?);
                let node = self.names.remove(&from).context("what is renamed")?;
                self.names.insert(to.clone(), node);
                self.renames.push(NameChange {
                    span,
                    takes: Some(from),
                    gives: Some(to),
                    node,
                });
            }
            What::Remove { path } => {
                let Some(name) = self.name(&path) else {
                    return Ok(());
                };
                let name = name?;
                let node = self.names.remove(&name).context("what is removed")?;
                self.renames.push(NameChange {
                    span,
                    takes: Some(name),
                    gives: None,
                    node,
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, span: Span, name: (usize, String), kind: Kind) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node {
            kind,
            ..Node::default()
        });
        self.names.insert(name.clone(), node);
        self.renames.push(NameChange {
            span,
            takes: None,
            gives: Some(name),
            node,
        });
        node
    }

    fn change(&mut self, node: usize, span: Span, change: ContentChange) {
        if let Some(node) = self.nodes.get_mut(node) {
            change.apply(&mut node.content);
            node.changes.push((span, change));
        }
    }

    /// What a call did in whose midst its process was killed, going by what lies there.
    fn had_its_way(&self, what: What) -> anyhow::Result<Option<What>> {
        let there = |path: &Path| path.symlink_metadata().is_ok();
        let happened = match &what {
            What::Say { .. } | What::Sync { .. } => false,
            What::Open { path, .. } | What::MakeFolder { path } | What::Link { path, .. } => {
                there(path) && self.find(path).is_none()
            }
            What::Rename { from: path, .. } | What::Remove { path } => {
                self.name(path).is_some() && !there(path)
            }
            What::Truncate { path, length } => {
                path.starts_with(&self.root) && path.metadata()?.len() == *length
            }
            What::Write { path, at, bytes } => {
                let Some(node) = self.known(path)? else {
                    return Ok(None);
                };
                let position = self.positions.get(&node).copied().unwrap_or(0);
                let really = fs::read(path)?;
                let there = really.get(at.unwrap_or(position) as usize..);
                let same = there.unwrap_or_default().iter().zip(bytes);
                // The kernel writes from the beginning, and a kill may stop it.
                let written = same.take_while(|(there, written)| there == written).count();
                return Ok(Some(What::Write {
                    path: path.clone(),
                    at: *at,
                    bytes: bytes.get(..written).unwrap_or_default().to_vec(),
                }));
            }
        };
        Ok(happened.then_some(what))
    }

    /// Whether what lies in a folder is what the history comes to.
    fn compare(&self, folder: usize, path: &Path) -> anyhow::Result<()> {
        let here = self.names.iter().filter(|((of, _), _)| *of == folder);
        let known: BTreeMap<_, _> = here
            .map(|((_, name), node)| (name.as_str(), *node))
            .collect();
        let found = fs::read_dir(path)?.map(|found| Ok(found?.file_name().into_string()));
        let found = found.collect::<io::Result<Result<Vec<_>, _>>>()?;
        let mut found = found.map_err(|name| anyhow::anyhow!("the name {name:?}"))?;
        found.sort();
        ensure!(
            known.keys().copied().eq(found.iter().map(String::as_str)),
            "in {} lie {found:?}; recorded were {:?}",
            path.display(),
            known.keys()
        );
        for (name, node) in known {
            let path = path.join(name);
            let recorded = self.nodes.get(node).context("a node")?;
            let same = match &recorded.kind {
                Kind::Folder => {
                    self.compare(node, &path)?;
                    true
                }
                Kind::Link(target) => fs::read_link(&path)? == *target,
                Kind::File => fs::read(&path)? == recorded.content,
            };
            ensure!(same, "{} is not what was recorded", path.display());
        }
        Ok(())
    }

    /// The node at a path of ours, which must be there; nothing for other paths.
    fn known(&self, path: &Path) -> anyhow::Result<Option<usize>> {
        if !path.starts_with(&self.root) {
            return Ok(None);
        }
        let node = self.find(path);
        node.map(Some)
            .with_context(|| format!("{} is not known", path.display()))
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut path = path.strip_prefix(&self.root).ok()?.to_owned();
        let mut at = vec![ROOT];
        // Links point to what is beside their folder; none points to another link.
        while let Some(next) = path.components().next() {
            let rest: PathBuf = path.components().skip(1).collect();
            path = match next {
                Component::Normal(name) => {
                    let node = *self.names.get(&(*at.last()?, name.to_str()?.to_owned()))?;
                    match &self.nodes.get(node)?.kind {
                        Kind::Link(target) => target.join(rest),
                        Kind::File | Kind::Folder => {
                            at.push(node);
                            rest
                        }
                    }
                }
                Component::ParentDir => {
                    at.pop();
                    rest
                }
                Component::CurDir => rest,
                Component::Prefix(_) | Component::RootDir => return None,
            };
        }
        at.last().copied()
    }

    /// The folder and the name in it; nothing for paths that are not ours.
    fn name(&self, path: &Path) -> Option<anyhow::Result<(usize, String)>> {
        if !path.starts_with(&self.root) || path == self.root {
            return None;
        }
        let folder = path.parent().and_then(|folder| self.find(folder));
        let name = path.file_name().and_then(|name| name.to_str());
        Some(match (folder, name) {
            (Some(folder), Some(name)) => Ok((folder, name.to_owned())),
            _ => Err(anyhow::anyhow!("{} is not known", path.display())),
        })
    }

    fn take_in(&mut self, folder: &Path) -> anyhow::Result<()> {
        let always = Span::default();
        for found in fs::read_dir(folder)? {
            let path = found?.path();
            let name = self.name(&path).context("a name")??;
            if path.is_symlink() {
                self.add(always, name, Kind::Link(fs::read_link(&path)?));
            } else if path.is_dir() {
                self.add(always, name, Kind::Folder);
                self.take_in(&path)?;
            } else if path.is_file() {
                let bytes = fs::read(&path)?;
                let node = self.add(always, name, Kind::File);
                self.change(node, always, ContentChange::Write { at: 0, bytes });
            } else {
                bail!("{} is neither file nor folder", path.display());
            }
        }
        Ok(())
    }
}
