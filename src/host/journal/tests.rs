//! What is in a journal, and what is refused in its place.

use super::record::JournalRecord;
use super::{BeforeDisk, HostStep, Journal, JournalError, Marks, OriginalState};
use super::{all, decode, encode};
use crate::host::tests::in_child;
use crate::host::{Bdf, Host, is_root};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ALWAYS: BeforeDisk<'_> = &|_| Ok(());

fn bdf() -> Bdf {
    "0000:05:00.0".parse().unwrap()
}

fn record(step: HostStep) -> JournalRecord {
    JournalRecord {
        bdf: bdf(),
        device_id: 0x1003,
        subsystem: (0x15b3, 0x0055),
        serial: Some(0xf452_1403_00ab_cdef),
        slot: Some("pci0000:00/0000:00:01.0/0000:05:00.0".into()),
        boot_id: "first".into(),
        pid: 1000,
        original: OriginalState {
            driver: Some("mlx4_core".into()),
            port_types: vec!["eth".into()],
            ..OriginalState::default()
        },
        step,
        new_serials: Vec::new(),
        reenumerated: false,
        bridge: None,
        marks: Marks::default(),
    }
}

fn listed(host: &Host) -> Vec<Bdf> {
    all(host).unwrap().iter().map(Journal::bdf).collect()
}

/// A host with a journal.
struct Bench {
    _dir: TempDir,
    host: Host,
    journal: Journal,
}

impl Bench {
    fn empty() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let host = Host::at(dir.path());
        let journal = Journal::of(&host, bdf());
        Self { _dir: dir, host, journal }
    }

    fn new() -> Self {
        let bench = Self::empty();
        bench.write(HostStep::Begin).unwrap();
        bench
    }

    fn write(&self, step: HostStep) -> Result<(), JournalError> {
        self.journal.write(&record(step), ALWAYS)
    }

    fn step(&self) -> Option<HostStep> {
        self.journal.read().unwrap().map(|record| record.step)
    }

    fn path(&self) -> &Path {
        self.journal.path()
    }

    fn file(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.host.journal_dir()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Empties the journal's place.
    fn place(&self) -> PathBuf {
        fs::remove_file(self.path()).unwrap();
        self.path().to_owned()
    }

    /// Reading fails, with the path, these words, and nothing changed.
    fn is_refused(&self, words: &str) {
        let text = match self.journal.read() {
            Err(error @ JournalError::Damaged { .. }) => error.to_string(),
            other => panic!("{words}: {other:?}"),
        };
        assert!(text.contains(words), "{text}");
        assert!(text.contains(self.host.journal_dir().to_str().unwrap()), "{text}");
        assert_eq!(listed(&self.host), [bdf()], "{words}: still listed");
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_last_record_is_read_until_the_journal_is_removed() {
    let bench = Bench::empty();
    assert_eq!(bench.step(), None);
    assert_eq!(listed(&bench.host), []);
    for step in [HostStep::Begin, HostStep::Override, HostStep::Unbind, HostStep::Bind] {
        bench.write(step).unwrap();
        assert_eq!(bench.journal.read().unwrap(), Some(record(step)));
        assert_eq!(bench.names(), ["0000:05:00.0.json"], "one file a card");
    }
    assert_eq!(listed(&bench.host), [bdf()]);
    for _ in 0..2 {
        bench.journal.remove(ALWAYS).unwrap();
        assert_eq!(bench.step(), None);
        assert_eq!(bench.names(), [""; 0]);
    }
    assert!(Bench::empty().journal.remove(ALWAYS).is_ok(), "no directory");
}

#[test]
fn a_journal_is_json_with_version_and_checksum_that_an_admin_can_read() {
    let bench = Bench::new();
    let text = fs::read_to_string(bench.path()).unwrap();
    assert!(text.contains("\n  \"version\": 2,\n") && text.ends_with("\n}\n"), "{text}");
    let file = bench.file();
    assert_eq!(file["record"]["bdf"], "0000:05:00.0");
    assert_eq!(file["record"]["found"]["driver"], "mlx4_core");
    assert_eq!(file["sha256"], super::digest(&file["record"]));
    // Other white space is the same journal.
    fs::write(bench.path(), file.to_string()).unwrap();
    assert_eq!(bench.step(), Some(HostStep::Begin));
}

#[test]
fn a_journal_is_for_its_owner_alone_whatever_the_umask() {
    let me = "host::journal::tests::a_journal_is_for_its_owner_alone_whatever_the_umask";
    if !in_child(me) {
        return;
    }
    for umask in [0o000, 0o022, 0o077, 0o777] {
        let bench = Bench::empty();
        nix::sys::stat::umask(Mode::from_bits_truncate(umask));
        // Root passes a directory that no user may enter.
        let written = bench.write(HostStep::Begin);
        nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
        if umask == 0o777 && !is_root() {
            continue;
        }
        written.unwrap();
        assert_eq!(mode(bench.path()), 0o600, "{umask:03o}");
        assert_eq!(mode(&bench.host.journal_dir()), 0o700, "{umask:03o}");
        let above = mode(bench.host.journal_dir().parent().unwrap());
        assert_eq!(above & 0o022, 0, "{umask:03o}: {above:03o}");
    }
}

#[test]
fn a_directory_of_journals_that_others_may_enter_is_closed() {
    let bench = Bench::new();
    fs::set_permissions(bench.host.journal_dir(), Permissions::from_mode(0o777)).unwrap();
    bench.write(HostStep::Override).unwrap();
    assert_eq!(mode(&bench.host.journal_dir()), 0o700);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let bench = Bench::new();
    let place = bench.place();
    nix::unistd::mkfifo(&place, Mode::S_IRWXU).unwrap();
    bench.is_refused("it is a FIFO");
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    bench.is_refused("it is a directory");
    fs::remove_dir(&place).unwrap();
    let socket = UnixListener::bind(&place).unwrap();
    bench.is_refused("it is a socket");
    drop(socket);
    fs::remove_file(&place).unwrap();
    // Not followed, not even to a valid journal.
    let valid = Bench::new();
    symlink(valid.path(), &place).unwrap();
    bench.is_refused("it is a symbolic link");
    fs::remove_file(&place).unwrap();
    symlink("/dev/zero", &place).unwrap();
    bench.is_refused("it is a symbolic link");
    fs::remove_file(&place).unwrap();
    // /dev/zero, where root may make one.
    let kind = nix::sys::stat::SFlag::S_IFCHR;
    let device = nix::sys::stat::makedev(1, 5);
    if nix::sys::stat::mknod(&place, kind, Mode::S_IRWXU, device).is_ok() {
        bench.is_refused("it is a device");
    }
}

#[test]
fn a_record_cut_short_at_any_byte_is_refused() {
    let bytes = encode(&record(HostStep::Unbind)).unwrap();
    assert!(bytes.len() > 200);
    // The last byte is a newline.
    for length in 0..bytes.len() - 1 {
        assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    let bench = Bench::new();
    for (length, words) in [(0, "it is empty"), (bytes.len() / 2, "bad JSON")] {
        fs::write(bench.path(), &bytes[..length]).unwrap();
        bench.is_refused(words);
    }
}

#[test]
fn a_record_with_a_flipped_bit_is_refused() {
    let mut bytes = encode(&record(HostStep::Unbind)).unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(decode(&bytes).is_ok());
}

#[test]
fn a_changed_record_is_refused() {
    let bench = Bench::new();
    let mut file = bench.file();
    file["record"]["found"]["driver"] = json!("vfio-pci");
    fs::write(bench.path(), file.to_string()).unwrap();
    bench.is_refused("its checksum is wrong");
}

#[test]
fn a_journal_of_another_version_is_refused() {
    let bench = Bench::new();
    let mut file = bench.file();
    file["version"] = json!(3);
    fs::write(bench.path(), file.to_string()).unwrap();
    bench.is_refused("it has version 3, this program reads version 2");
    // The version before this one had two files.
    let place = bench.place();
    fs::write(place.with_extension("a"), b"CX3J").unwrap();
    bench.is_refused("it has version 1");
}

#[test]
fn a_foreign_file_is_refused() {
    let bench = Bench::new();
    for (content, words) in [
        (&b"[]"[..], "it is not a journal"),
        (b"{\"version\": 2}", "it is not a journal"),
        (b"\xff\xfe\x00", "bad JSON"),
        (b"<html>", "bad JSON"),
    ] {
        fs::write(bench.path(), content).unwrap();
        bench.is_refused(words);
    }
    File::options().write(true).open(bench.path()).unwrap().set_len(10 << 30).unwrap();
    bench.is_refused("it is longer than");
}

#[test]
fn a_journal_of_another_card_is_refused() {
    let bench = Bench::new();
    let mut other = record(HostStep::Begin);
    other.bdf = "0000:06:00.0".parse().unwrap();
    bench.journal.write(&other, ALWAYS).unwrap();
    bench.is_refused("it belongs to 0000:06:00.0");
}

#[test]
fn a_journal_that_others_may_have_written_is_refused() {
    let bench = Bench::new();
    fs::set_permissions(bench.path(), Permissions::from_mode(0o660)).unwrap();
    bench.is_refused("others may write it (mode 660)");
    fs::set_permissions(bench.path(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bench.step(), Some(HostStep::Begin));
    if is_root() {
        std::os::unix::fs::chown(bench.path(), Some(4711), None).unwrap();
        bench.is_refused("it belongs to user 4711");
    }
}

#[test]
fn what_a_killed_process_left_is_harmless_and_goes_with_the_next_record() {
    let bench = Bench::new();
    let hidden = bench.path().with_file_name(".0000:05:00.0.json.new");
    for _ in 0..2 {
        fs::write(&hidden, b"half a rec").unwrap();
        assert_eq!(bench.step(), Some(HostStep::Begin));
        assert_eq!(listed(&bench.host), [bdf()]);
    }
    bench.write(HostStep::Override).unwrap();
    assert_eq!(bench.names(), ["0000:05:00.0.json"]);
    // Nor is it followed.
    let target = bench.host.path("target");
    symlink(&target, &hidden).unwrap();
    bench.write(HostStep::Unbind).unwrap();
    assert!(!target.exists());
    fs::write(&hidden, b"half a rec").unwrap();
    bench.journal.remove(ALWAYS).unwrap();
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn something_else_in_the_place_of_the_directory_is_an_error_at_once() {
    let bench = Bench::empty();
    let dir = bench.host.journal_dir();
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let fails = |what: &str| {
        assert!(bench.write(HostStep::Begin).is_err(), "{what}");
        assert!(bench.journal.remove(ALWAYS).is_err(), "{what}");
        let listed = all(&bench.host).map(drop);
        match [bench.journal.read().map(drop), listed] {
            [Err(JournalError::Io { path, .. }), Err(JournalError::Io { path: listed, .. })] => {
                assert!(path.starts_with(&dir) && listed == dir, "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    };
    fs::write(&dir, b"").unwrap();
    fails("a file");
    fs::remove_file(&dir).unwrap();
    nix::unistd::mkfifo(&dir, Mode::S_IRWXU).unwrap();
    fails("a FIFO");
    fs::remove_file(&dir).unwrap();
    // The mode of what it points to stays.
    let elsewhere = bench.host.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
    symlink(&elsewhere, &dir).unwrap();
    assert!(bench.write(HostStep::Begin).is_err());
    assert_eq!(mode(&elsewhere), 0o755);
}

#[test]
fn each_failed_operation_leaves_the_old_record_or_the_new_one() {
    let operations = |journal: &Journal, fail: usize| {
        let count = std::cell::Cell::new(0);
        let before = |_: &'static str| {
            count.set(count.get() + 1);
            if count.get() == fail { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
        };
        let written = journal.write(&record(HostStep::Override), &before);
        (written, count.get())
    };
    let all = operations(&Bench::new().journal, 0).1;
    assert!(all >= 6, "{all}");
    for fail in 1..=all {
        let bench = Bench::new();
        let (written, _) = operations(&bench.journal, fail);
        let text = written.unwrap_err().to_string();
        assert!(text.contains("cannot") && text.contains("0000:05:00.0.json"), "{text}");
        let last = fail == all;
        assert_eq!(bench.step() == Some(HostStep::Override), last, "operation {fail}: {text}");
        assert_eq!(bench.names(), ["0000:05:00.0.json"]);
    }
}

#[test]
fn a_full_disk_leaves_the_old_record() {
    let me = "host::journal::tests::a_full_disk_leaves_the_old_record";
    if !in_child(me) {
        return;
    }
    let bench = Bench::new();
    // Files may have 100 bytes from now on: half of the record can be written.
    use nix::sys::resource::{Resource, setrlimit};
    let flag = std::sync::Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 100, 100).unwrap();
    match bench.write(HostStep::Override) {
        Err(JournalError::Io { doing, source, .. }) => {
            assert_eq!((doing, source.raw_os_error()), ("write it", Some(nix::libc::EFBIG)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.step(), Some(HostStep::Begin));
    assert_eq!(bench.names(), ["0000:05:00.0.json"]);
    bench.journal.remove(ALWAYS).unwrap();
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn without_descriptors_a_journal_is_not_taken_for_none() {
    let me = "host::journal::tests::without_descriptors_a_journal_is_not_taken_for_none";
    if !in_child(me) {
        return;
    }
    let bench = Bench::new();
    use nix::sys::resource::{Resource, setrlimit};
    let lowest = File::open("/").unwrap();
    let free = std::os::fd::AsRawFd::as_raw_fd(&lowest) as u64;
    drop(lowest);
    setrlimit(Resource::RLIMIT_NOFILE, free, 1024).unwrap();
    for failed in
        [bench.journal.read().map(drop), all(&bench.host).map(drop), bench.write(HostStep::Bind)]
    {
        match failed {
            Err(JournalError::Io { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(nix::libc::EMFILE));
            }
            other => panic!("{other:?}"),
        }
    }
    setrlimit(Resource::RLIMIT_NOFILE, 1024, 1024).unwrap();
    assert_eq!(bench.step(), Some(HostStep::Begin));
}

#[test]
fn two_processes_may_make_the_directory_at_once() {
    let bench = Bench::empty();
    let dir = bench.host.journal_dir();
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    // Both have seen that there is none.
    super::create_directory(&dir).unwrap();
    super::create_directory(&dir).unwrap();
    bench.write(HostStep::Begin).unwrap();
    // What is there is not believed to be a directory.
    let other = dir.with_file_name("a-file");
    fs::write(&other, b"").unwrap();
    super::create_directory(&other).unwrap();
    assert!(super::make_directory(&other).is_err());
}
