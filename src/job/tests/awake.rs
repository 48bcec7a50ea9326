//! Sleep and shutdown of the host wait for a write.

use super::bench::*;
use crate::card::Card;
use crate::flash::{Event, Events, Phase};
use crate::host::BorrowedBench;
use crate::image::Half;
use crate::job::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Looks for the lock when phases begin.
struct Watch {
    held: PathBuf,
    seen: Vec<(Phase, bool)>,
}

impl Events for Watch {
    fn emit(&mut self, event: Event) {
        if let Event::Started { phase, .. } = event {
            self.seen.push((phase, self.held.exists()));
        }
    }
}

/// A `systemd-inhibit` that shows while it holds the lock: the file `held` beside it exists.
fn inhibit(root: &Path, script: &Path) -> PathBuf {
    let held = script.with_file_name("held");
    let lines = format!("#!/bin/sh\ntouch '{0}'; cat; rm '{0}'\n", held.display());
    // Written under another name: a script that is open for writing cannot be run.
    let new = script.with_extension("new");
    fs::write(&new, lines).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, script).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    symlink(script, root.join("usr/bin/systemd-inhibit")).unwrap();
    held
}

#[test]
fn sleep_is_inhibited_from_before_the_first_erase_to_the_end_of_a_burn() {
    let bench = Bench::new();
    let host = BorrowedBench::new();
    let card = pro_card(Half::Even);
    let held = inhibit(&host.host().path(""), &bench.path("systemd-inhibit"));
    let borrowed = host.borrow(card.bar0());
    let clock = card.clock();
    let opened = Card::open(borrowed.space(), Rc::clone(&clock)).unwrap();
    let mut device = Device::new(opened, clock, "0000:05:00.0");
    device.borrowed = Some(borrowed);
    let mut watch = Watch { held: held.clone(), seen: Vec::new() };
    let image = bench.image(&pro("2.42.5000"));
    let dir = bench.backups();
    let options = WriteOptions::later(&dir);
    let request = WriteRequest::Burn(&image, &Default::default());
    write(&mut device, &request, options, &mut |_| true, &mut watch).unwrap();
    let awake = |phase| watch.seen.iter().find(|(seen, _)| *seen == phase).unwrap().1;
    assert!(!awake(Phase::Read) && !awake(Phase::Backup));
    for phase in [Phase::Erase, Phase::Write, Phase::Verify, Phase::Commit] {
        assert!(awake(phase), "{phase:?}");
    }
    assert!(!held.exists());
}
