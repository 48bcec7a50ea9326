//! The script on files below a directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub(super) const RULES: &str = "etc/udev/rules.d/60-cx3flash-vfio.rules";
pub(super) const MODULES: &str = "etc/modules-load.d/cx3flash.conf";
pub(super) const TMPFILES: &str = "etc/tmpfiles.d/cx3flash.conf";
pub(super) const SYSUSERS: &str = "etc/sysusers.d/cx3flash.conf";
pub(super) const UNIT: &str = "etc/systemd/system/cx3flash-restore.service";
pub(super) const CI: &str = "etc/modprobe.d/cx3flash-ci.conf";
pub(super) const USUAL: [&str; 5] = [MODULES, SYSUSERS, UNIT, TMPFILES, RULES];

pub(super) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vfio-setup")
}

pub(super) struct SetupRun {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl SetupRun {
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn complains(self, of: &str) -> Self {
        assert!(self.stderr.contains(of), "no {of:?} in stderr:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn reports(self, what: &str) -> Self {
        assert!(self.stdout.contains(what), "no {what:?} in stdout:\n{}", self.stdout);
        self
    }
}

pub(super) fn run(command: &mut Command) -> SetupRun {
    let out = command.output().unwrap();
    SetupRun {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

/// The script on files below a directory.
pub(super) struct Bench {
    pub(super) dir: TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(super) fn setup(&self, args: &[&str]) -> SetupRun {
        run(Command::new(here().join("setup")).args(args).arg("--root").arg(self.dir.path()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Every file: name to (content, mode, inode): a file that was written again has another inode.
    pub(super) fn files(&self) -> BTreeMap<String, (Vec<u8>, u32, u64)> {
        let mut all = BTreeMap::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                if meta.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let name = path.strip_prefix(self.dir.path()).unwrap();
                let content = if meta.is_symlink() {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                all.insert(name.to_str().unwrap().to_owned(), (content, meta.mode(), meta.ino()));
            }
        }
        all
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}
