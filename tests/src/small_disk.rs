//! A disk that fills up, seen by the programs that are started on it and nobody else.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{planes::SOON, program::Program, sandbox::Sandbox};

/// A disk, as long as a program holds it.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Program,
    /// Where it is seen from here.
    pub folder: PathBuf,
}

impl SmallDisk {
    /// One of so many MiB in place of this folder: 48 are enough for a log and its reserve. Among
    /// those of a sandbox the name is unique.
    pub async fn mount(
        sandbox: &Sandbox,
        name: &str,
        folder: &Path,
        mebibytes: usize,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let script =
            "mount -t tmpfs -o size=\"$2\"m tmpfs \"$1\" && echo mounted && exec sleep infinity";
        let size = mebibytes.to_string();
        let arguments = [
            "--mount".as_ref(),
            "sh".as_ref(),
            "-c".as_ref(),
            script.as_ref(),
            "sh".as_ref(),
            folder.as_os_str(),
            size.as_ref(),
        ];
        let mut holder = Program::start(sandbox, name, Path::new("unshare"), arguments)?;
        holder.logged("mounted", SOON).await?;
        let process = format!("/proc/{}", holder.pid());
        let folder = Path::new(&process)
            .join("root")
            .join(folder.strip_prefix("/")?);
        Ok(Self { holder, folder })
    }

    /// What a command has to begin with to see it.
    pub fn seen_by(&self) -> [OsString; 2] {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.pid());
        ["nsenter".into(), namespace.into()]
    }

    /// Gives back what the log has reserved behind its end, as a copy of its files would.
    pub fn trim(&self) -> anyhow::Result<()> {
        let data = self.folder.join("sled/db");
        let data = OpenOptions::new().write(true).open(data)?;
        Ok(data.set_len(data.metadata()?.len())?)
    }

    /// Writes until nothing more fits; the file that takes it all.
    pub fn fill(&self) -> anyhow::Result<PathBuf> {
        let filler = self.folder.join("filler");
        let mut file = File::create(&filler)?;
        for bytes in [1 << 20, 4 << 10, 1] {
            let zeros = vec![0; bytes];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => bail!("fill {}: {error}", filler.display()),
                }
            }
        }
        Ok(filler)
    }

    /// What was on it is gone.
    pub fn clear(&self) -> anyhow::Result<()> {
        for found in fs::read_dir(&self.folder)? {
            let path = found?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// There is room again.
    pub fn empty(&self) -> anyhow::Result<()> {
        let filler = self.folder.join("filler");
        fs::remove_file(&filler).with_context(|| format!("remove {}", filler.display()))
    }
}
