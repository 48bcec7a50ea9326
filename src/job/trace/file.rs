//! The file of `--trace`: made beside a command, and read again.

use super::structure::structure;
use crate::escape;
use crate::flash::trace::{
    LARGEST_FILE, TRACE_FORMAT, Trace, TraceError, TraceHeader, TraceMark, TraceRecorder,
};
use crate::host::{FileMode, HeldDir, Host, InputError, KernelLog, read_input};
use crate::job::bug_report::Mask;
use crate::job::store::cannot_write;
use crate::job::{CardSelector, JobError};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A trace in the making.
#[derive(Debug)]
pub struct TraceFile {
    /// Where the user wants it; `None` for a bug report alone.
    named: Option<NamedTrace>,
    file: File,
    recorder: TraceRecorder,
    kernel: Option<KernelLog>,
}

#[derive(Debug)]
struct NamedTrace {
    path: PathBuf,
    dir: HeldDir,
    name: OsString,
}

impl TraceFile {
    /// Begins a trace of `command`, in a new file for its owner only, or in one without a name.
    pub fn begin(
        path: Option<&Path>,
        command: &str,
        with_report: bool,
        host: &Host,
    ) -> Result<Self, JobError> {
        let (named, file) = match path {
            None => (None, tempfile::tempfile().map_err(cannot_write(&std::env::temp_dir()))?),
            Some(path) => {
                let (named, file) = NamedTrace::create(path).map_err(cannot_write(path))?;
                (Some(named), file)
            }
        };
        let sink = file.try_clone().map_err(cannot_write(path.unwrap_or(Path::new("/"))))?;
        let kernel = std::fs::read_to_string(host.path("proc/sys/kernel/osrelease"));
        let header = TraceHeader {
            format: TRACE_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            with_report,
            kernel: kernel.ok().map(|text| Mask::of_host(host).text(text.trim())),
            machine: std::env::consts::ARCH.to_owned(),
            ..TraceHeader::default()
        };
        let recorder = TraceRecorder::new(header, Box::new(sink), structure);
        Ok(Self { named, file, recorder, kernel: KernelLog::open(host) })
    }

    /// A user asked for it, not a bug report alone.
    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// What records.
    pub fn recorder(&self) -> TraceRecorder {
        self.recorder.clone()
    }

    /// Ends it, after the card was given back. The answer: its path, where it has one, and its bytes. An
    /// empty one is removed.
    pub fn finish(
        mut self,
        host: &Host,
        card: Option<&CardSelector>,
        exit: u8,
    ) -> Result<Option<FinishedTrace>, JobError> {
        let bdf = card.filter(|card| !card.is_sim()).and_then(|card| card.address(host).ok());
        if let (Some(kernel), Some(bdf)) = (&mut self.kernel, bdf) {
            let mask = Mask::of_host(host);
            for line in kernel.lines(bdf) {
                self.recorder.mark(TraceMark::Kernel { text: mask.text(&line) });
            }
        }
        if self.recorder.is_empty() {
            if let Some(named) = &self.named {
                named.remove();
            }
            return Ok(None);
        }
        let path = self.named.as_ref().map(|named| named.path.clone());
        let shown = path.clone().unwrap_or_else(std::env::temp_dir);
        self.recorder
            .finish(exit)
            .and_then(|()| self.file.sync_all())
            .map_err(cannot_write(&shown))?;
        let mut bytes = Vec::new();
        self.file.rewind().map_err(cannot_write(&shown))?;
        (&self.file).take(LARGEST_FILE).read_to_end(&mut bytes).map_err(cannot_write(&shown))?;
        Ok(Some(FinishedTrace { path, bytes }))
    }
}

/// A trace that is complete.
#[derive(Debug)]
pub struct FinishedTrace {
    pub path: Option<PathBuf>,
    pub bytes: Vec<u8>,
}

impl NamedTrace {
    fn create(path: &Path) -> std::io::Result<(Self, File)> {
        let name = path.file_name().ok_or(std::io::ErrorKind::IsADirectory)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = HeldDir::open(parent.unwrap_or(Path::new(".")))?;
        let file = dir.create_file(&name, FileMode::Private)?;
        Ok((Self { path: path.to_owned(), dir, name }, file))
    }

    fn remove(&self) {
        if let Err(error) = self.dir.remove_file(&self.name) {
            tracing::warn!(path = %escape::path(&self.path), %error, "an empty trace stays behind");
        }
    }
}

/// Reads the bytes of a trace.
pub(super) fn read_bytes(path: &Path, stop: &AtomicBool) -> Result<Vec<u8>, JobError> {
    let bytes = read_input(path, LARGEST_FILE, &|| stop.load(Ordering::Relaxed));
    bytes.map_err(|error| match error {
        InputError::NotAFile(what) => JobError::NotAFile { path: path.to_owned(), what },
        InputError::TooLarge(len) => {
            JobError::FileTooLarge { path: path.to_owned(), len, max: LARGEST_FILE }
        }
        InputError::Stopped => JobError::Interrupted,
        InputError::Io(source) => JobError::ReadFile { path: path.to_owned(), source },
    })
}

/// The error of a file whose first line cannot be read.
pub(super) fn unreadable(path: &Path, source: TraceError) -> JobError {
    let path = path.to_owned();
    match source {
        TraceError::CutShort(why) => JobError::TraceCut { path, accesses: 0, why: why.to_owned() },
        source => JobError::Trace { path, source },
    }
}

/// Reads a trace.
pub fn read_trace(path: &Path, stop: Arc<AtomicBool>) -> Result<Trace, JobError> {
    let bytes = read_bytes(path, &stop)?;
    let trace = Trace::read_until(&bytes, stop).map_err(|source| unreadable(path, source))?;
    if trace.stopped() { Err(JobError::Interrupted) } else { Ok(trace) }
}

/// The error of a trace that is cut short or was full.
pub fn cut(path: &Path, trace: &Trace) -> Option<JobError> {
    cut_after(path, trace.count(), trace.cut.as_deref(), trace.is_full())
}

pub(super) fn cut_after(
    path: &Path,
    accesses: u64,
    cut: Option<&str>,
    full: bool,
) -> Option<JobError> {
    let why = cut.or(full.then_some("it was full"))?.to_owned();
    let accesses = usize::try_from(accesses).unwrap_or(usize::MAX);
    Some(JobError::TraceCut { path: path.to_owned(), accesses, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_of_the_kernel_are_masked_as_in_a_bug_report() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        for folder in ["dev", "proc/sys/kernel"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("proc/sys/kernel/hostname"), "quokka7.example.org\n").unwrap();
        fs::write(dir.path().join("proc/sys/kernel/osrelease"), "6.12.1-quokka7\n").unwrap();
        fs::write(dir.path().join("dev/kmsg"), "").unwrap();
        let trace = TraceFile::begin(None, "query", false, &host).unwrap();
        let line = "4,1,1,-;mlx4_core 0000:01:00.0: quokka7 asks e41d2ddd7850 on enp1s0\n";
        fs::write(dir.path().join("dev/kmsg"), line).unwrap();
        let card = CardSelector::Host("0000:01:00.0".into());
        let finished = trace.finish(&host, Some(&card), 0).unwrap().unwrap();
        let trace = Trace::read(&finished.bytes).unwrap();
        let (_, mark) = trace.marks().next().unwrap();
        let shown = "mlx4_core 0000:01:00.0: (masked) asks e41d2dxxxxx0 on enp1s0";
        assert_eq!(*mark, TraceMark::Kernel { text: shown.into() });
        assert_eq!(trace.header.kernel.as_deref(), Some("6.12.1-(masked)"));
    }
}
