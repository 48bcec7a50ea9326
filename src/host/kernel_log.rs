//! The kernel's log: what it holds about one card since a moment (Documentation/ABI/testing/dev-kmsg).

use super::{Bdf, Host};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A record is at most 8 KiB (`PRINTKRB_RECORD_MAX` and its prefix).
const RECORD: usize = 16 << 10;
/// Lines of one answer.
const MOST_LINES: usize = 200;
/// Records read: a log that is written faster than it is read has no end.
const MOST_RECORDS: usize = 20_000;
/// Words of lines about a card, its driver, its bus or its IOMMU.
const WORDS: [&str; 8] = ["mlx4", "vfio", "DMAR", "AMD-Vi", "iommu", "pcieport", "AER", "lockdown"];

/// The log from the moment of its opening on.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// `None` where the log may not be read.
    pub fn open(host: &Host) -> Option<Self> {
        let mut options = File::options();
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut file = options.open(host.path("dev/kmsg")).ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self(file))
    }

    /// The lines since then that are about the card at `bdf`, its driver, its bus or its IOMMU.
    pub fn lines(&mut self, bdf: Bdf) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; RECORD];
        let address = bdf.to_string();
        for _ in 0..MOST_RECORDS {
            // One record a read; EPIPE where records were overwritten meanwhile.
            let len = match self.0.read(&mut record) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => continue,
                Err(_) => break,
            };
            let text = String::from_utf8_lossy(record.get(..len).unwrap_or_default());
            for line in text.lines().filter(|line| !line.starts_with(' ')) {
                let message = line.split_once(';').map_or(line, |(_, message)| message);
                let is_ours =
                    message.contains(&address) || WORDS.iter().any(|w| message.contains(w));
                if is_ours && lines.len() < MOST_LINES {
                    lines.push(message.to_owned());
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_lines_about_the_card_since_the_opening_are_returned() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        assert!(KernelLog::open(&host).is_none());
        std::fs::create_dir(dir.path().join("dev")).unwrap();
        let path = dir.path().join("dev/kmsg");
        std::fs::write(&path, "6,1,5,-;mlx4_core 0000:01:00.0: before\n").unwrap();
        let mut log = KernelLog::open(&host).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        let new = "6,2,6,-;mlx4_core 0000:02:00.0: reset\n DEVICE=+pci:0000:01:00.0\n4,3,7,-;usb 1-1: new\n3,4,8,-;x 0000:01:00.0: gone\n";
        file.write_all(new.as_bytes()).unwrap();
        let bdf = "0000:01:00.0".parse().unwrap();
        assert_eq!(log.lines(bdf), ["mlx4_core 0000:02:00.0: reset", "x 0000:01:00.0: gone"]);
        assert!(log.lines(bdf).is_empty());
    }
}
