//! A directory with unpacked packages, whose programs run through their own loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// One release's files.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

/// Where Debian's amd64 packages put libraries; the first two are the same directory on an installed system.
const LIBRARIES: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
    "usr/lib64",
    "lib64",
];

impl Tree {
    /// The tree `name` below `dir`, made unless it is there with the same recipe.
    pub(super) fn at(
        dir: &Path,
        name: &str,
        recipe: u32,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Tree> {
        let root = dir.join(name);
        let stamp = root.join(".recipe");
        let wanted = recipe.to_string();
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(Tree { root });
        }
        let _ = fs::remove_dir_all(&root);
        super::once(dir, name, |new| {
            fs::create_dir_all(new)?;
            make(new)?;
            fs::write(new.join(".recipe"), &wanted)?;
            Ok(())
        })?;
        Ok(Tree { root })
    }

    /// A file or directory of the tree.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The packages it was made from, one line each.
    ///
    /// # Errors
    ///
    /// When the list cannot be read.
    pub fn packages(&self) -> Result<String> {
        Ok(fs::read_to_string(self.root.join(".packages"))?)
    }

    /// A command that runs a program of the tree on this host, with the tree's loader and libraries only.
    ///
    /// # Errors
    ///
    /// When the tree has no such program or no loader.
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

    /// The dynamic loader.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn loader(&self) -> Result<PathBuf> {
        LIBRARIES
            .iter()
            .map(|dir| self.root.join(dir).join("ld-linux-x86-64.so.2"))
            .find(|file| file.is_file())
            .with_context(|| format!("no loader in {}", self.root.display()))
    }

    /// A library by its name.
    #[must_use]
    pub fn library(&self, name: &str) -> Option<PathBuf> {
        LIBRARIES
            .iter()
            .map(|dir| self.root.join(dir).join(name))
            .find(|file| file.is_file())
    }

    pub(super) fn library_path(&self) -> String {
        let dirs = LIBRARIES.map(|dir| self.root.join(dir));
        let there: Vec<String> = dirs
            .iter()
            .filter(|dir| dir.is_dir())
            .map(|dir| dir.display().to_string())
            .collect();
        there.join(":")
    }
}
