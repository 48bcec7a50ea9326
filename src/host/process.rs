//! Processes, from procfs. Of other users' processes only root sees the open files; what cannot be
//! seen is left out.

use super::{Host, sysfs};
use crate::escape;
use std::path::PathBuf;

/// An open file of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenFile {
    pub(super) pid: u32,
    pub(super) fd: u32,
    /// Target of the link in `/proc/PID/fd`: a path, `socket:[INODE]`, `anon_inode:…`.
    pub(super) target: String,
}

impl Host {
    fn process(&self, pid: u32) -> PathBuf {
        self.path("proc").join(pid.to_string())
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        let names = sysfs::names(self.path("proc"));
        let mut pids: Vec<u32> = names.iter().filter_map(|n| n.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    pub(super) fn own_pid(&self) -> Option<u32> {
        sysfs::link(self.path("proc/self"))?.parse().ok()
    }

    /// Name of a process, at most 15 bytes.
    pub(super) fn process_name(&self, pid: u32) -> Option<String> {
        sysfs::text(self.process(pid).join("comm")).filter(|n| !n.is_empty())
    }

    fn parent(&self, pid: u32) -> Option<u32> {
        // The name is in brackets and may contain brackets itself: the last one counts.
        let stat = sysfs::text(self.process(pid).join("stat"))?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse().ok()
    }

    /// Our ancestors from the parent upward, without pid 1 (which holds the sockets of all units).
    pub(super) fn ancestors(&self) -> Vec<u32> {
        let mut ancestors = Vec::new();
        let mut next = self.own_pid().and_then(|pid| self.parent(pid));
        while let Some(pid) = next {
            if pid <= 1 || ancestors.contains(&pid) {
                break;
            }
            ancestors.push(pid);
            next = self.parent(pid);
        }
        ancestors
    }

    fn zero_separated(&self, pid: u32, file: &str) -> Vec<String> {
        let text = sysfs::text(self.process(pid).join(file)).unwrap_or_default();
        let words = text.split('\0').filter(|w| !w.is_empty());
        words.map(str::to_owned).collect()
    }

    pub(super) fn arguments(&self, pid: u32) -> Vec<String> {
        self.zero_separated(pid, "cmdline")
    }

    /// A variable of the environment with which the process was started.
    pub(super) fn variable(&self, pid: u32, name: &str) -> Option<String> {
        let environment = self.zero_separated(pid, "environ");
        let mut values = environment.iter().filter_map(|v| v.strip_prefix(name)?.strip_prefix('='));
        values.next().map(str::to_owned)
    }

    pub(super) fn open_files_of(&self, pid: u32) -> Vec<OpenFile> {
        let dir = self.process(pid).join("fd");
        sysfs::names(&dir)
            .into_iter()
            .filter_map(|name| {
                let target = std::fs::read_link(dir.join(&name)).ok()?;
                Some(OpenFile { pid, fd: name.parse().ok()?, target: escape::file_name(target) })
            })
            .collect()
    }

    /// Open files of all processes but this one.
    pub(super) fn open_files(&self) -> Vec<OpenFile> {
        let own = self.own_pid();
        let others = self.pids().into_iter().filter(|pid| Some(*pid) != own);
        others.flat_map(|pid| self.open_files_of(pid)).collect()
    }

    /// PCI function of a VFIO device file; kernels from 7.x have it in `fdinfo`
    /// (docs/linux.md#cards-in-virtual-machines).
    pub(super) fn vfio_function(&self, file: &OpenFile) -> Option<String> {
        let info = self.process(file.pid).join(format!("fdinfo/{}", file.fd));
        let lines = sysfs::lines(info);
        let path = lines.iter().find_map(|l| l.strip_prefix("vfio-device-syspath:"))?;
        path.trim().rsplit('/').next().map(str::to_owned)
    }
}
