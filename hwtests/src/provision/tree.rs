//! A directory of unpacked packages, whose programs run with their own dynamic loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Raised whenever something else is made from the same packages.
pub(super) const RECIPE: u32 = 3;

/// The files of one release.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

/// Where Debian's amd64 packages put libraries; the first two are the same directory on an
/// installed system.
const LIBRARIES: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
    "usr/lib64",
    "lib64",
];

impl Tree {
    /// The tree `name` below `dir`, made anew unless it has the same recipe.
    pub(super) fn at(
        dir: &Path,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Tree> {
        let root = dir.join(name);
        let stamp = root.join(".recipe");
        let wanted = RECIPE.to_string();
        if fs::read_to_string(&stamp).is_ok_and(|old| old == wanted) {
            return Ok(Tree { root });
        }
        let _ = fs::remove_dir_all(&root);
        once(dir, name, |new| {
            fs::create_dir_all(new)?;
            make(new)?;
            fs::write(new.join(".recipe"), &wanted)?;
            Ok(())
        })?;
        Ok(Tree { root })
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// A command that runs a program of the tree on this host, with the tree's loader and libraries
    /// only.
    pub fn command(&self, program: &str) -> Result<Command> {
        let file = self.root.join(program);
        if !file.is_file() {
            bail!("{} is missing", file.display());
        }
        let mut command = Command::new(self.loader()?);
        command.arg("--library-path").arg(self.library_path());
        command.arg("--argv0").arg(&file).arg(file);
        Ok(command)
    }

    pub fn loader(&self) -> Result<PathBuf> {
        self.library("ld-linux-x86-64.so.2")
            .with_context(|| format!("no loader in {}", self.root.display()))
    }

    pub fn library(&self, name: &str) -> Option<PathBuf> {
        LIBRARIES.iter().map(|dir| self.root.join(dir).join(name)).find(|file| file.is_file())
    }

    pub(super) fn library_path(&self) -> String {
        let dirs = LIBRARIES.map(|dir| self.root.join(dir));
        let there: Vec<String> =
            dirs.iter().filter(|dir| dir.is_dir()).map(|dir| dir.display().to_string()).collect();
        there.join(":")
    }
}

/// Makes `name` in `dir` by one rename, unless it is there already.
pub(super) fn once(
    dir: &Path,
    name: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let done = dir.join(name);
    if !done.exists() {
        let part = dir.join(format!(".{name}.part"));
        let _ = fs::remove_dir_all(&part);
        let _ = fs::remove_file(&part);
        make(&part).with_context(|| format!("making {}", done.display()))?;
        fs::rename(&part, &done)?;
    }
    Ok(done)
}
