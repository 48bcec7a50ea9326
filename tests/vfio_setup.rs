//! `vfio-setup/`: what it installs says what we mean, and the script leaves what is not its own.
//!
//! No root and no systemd: files go below `--root`; the calls to the host go to stand-ins on PATH.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic in a test is the report"
)]

use cx3flash::host::Host;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const RULES: &str = "etc/udev/rules.d/60-cx3flash-vfio.rules";
const MODULES: &str = "etc/modules-load.d/cx3flash.conf";
const TMPFILES: &str = "etc/tmpfiles.d/cx3flash.conf";
const SYSUSERS: &str = "etc/sysusers.d/cx3flash.conf";
const UNIT: &str = "etc/systemd/system/cx3flash-restore.service";
const CI: &str = "etc/modprobe.d/cx3flash-ci.conf";
const USUAL: [&str; 5] = [MODULES, SYSUSERS, UNIT, TMPFILES, RULES];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vfio-setup")
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    fn complains(self, of: &str) -> Self {
        assert!(
            self.stderr.contains(of),
            "no {of:?} in stderr:\n{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    fn says(self, what: &str) -> Self {
        assert!(
            self.stdout.contains(what),
            "no {what:?} in stdout:\n{}",
            self.stdout
        );
        self
    }
}

fn run(command: &mut Command) -> Ran {
    let out = command.output().unwrap();
    Ran {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

/// The script on files below a directory.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    fn setup(&self, args: &[&str]) -> Ran {
        run(Command::new(here().join("setup"))
            .args(args)
            .arg("--root")
            .arg(self.dir.path()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Every file: name to (content, mode, inode): a file written anew has another inode.
    fn files(&self) -> BTreeMap<String, (Vec<u8>, u32, u64)> {
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
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                all.insert(
                    name.to_str().unwrap().to_owned(),
                    (content, meta.mode(), meta.ino()),
                );
            }
        }
        all
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}

#[test]
fn installing_twice_is_installing_once() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0).says("installed");
    let first = bench.files();
    let mut usual: Vec<String> = USUAL.map(str::to_owned).to_vec();
    usual.sort();
    assert_eq!(first.keys().cloned().collect::<Vec<_>>(), usual);
    for (name, (_, mode, _)) in &first {
        assert_eq!(mode & 0o7777, 0o644, "{name}");
    }
    bench.setup(&[]).exits(0).says("nothing to change");
    assert_eq!(bench.files(), first);
}

#[test]
fn check_tells_and_changes_nothing() {
    let bench = Bench::new();
    let ran = bench.setup(&["--check"]).exits(1);
    for name in USUAL {
        let line = format!("missing  {}", bench.path(name).display());
        assert!(ran.stdout.lines().any(|l| l == line), "{}", ran.stdout);
    }
    assert!(bench.names().is_empty(), "{:?}", bench.names());

    bench.setup(&[]).exits(0);
    let before = bench.files();
    let ran = bench.setup(&["--check"]).exits(0);
    assert!(!ran.stdout.contains("missing"), "{}", ran.stdout);
    bench.setup(&["--check", "--ci-host"]).exits(1).says(CI);
    bench
        .setup(&["--check", "--prefix", "/opt/x"])
        .exits(1)
        .says("of another version or prefix");
    assert_eq!(bench.files(), before);

    fs::remove_file(bench.path(UNIT)).unwrap();
    bench.setup(&["--check"]).exits(1).says(UNIT);
}

#[test]
fn uninstall_takes_its_own_and_nothing_else() {
    let bench = Bench::new();
    bench.write("etc/udev/rules.d/60-mine.rules", "# mine\n");
    bench.write(
        "etc/modprobe.d/vfio.conf",
        "options vfio-pci disable_vga=1\n",
    );
    bench.write("var/lib/cx3flash/backups/card/flash.bin", "backup");
    let before = bench.files();
    bench.setup(&["--ci-host"]).exits(0);
    assert_eq!(bench.files().len(), before.len() + USUAL.len() + 1);
    bench.setup(&["--uninstall"]).exits(0).says("removed");
    assert_eq!(bench.files(), before);
    bench
        .setup(&["--uninstall"])
        .exits(0)
        .says("nothing to remove");

    // A file of the same name that we never wrote.
    bench.write(MODULES, "vfio\nvfio-pci\n");
    let before = bench.files();
    bench
        .setup(&["--uninstall"])
        .exits(0)
        .says("not installed by this script");
    assert_eq!(bench.files(), before);
}

#[test]
fn only_the_opt_in_file_goes() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let before = bench.files();
    bench.setup(&["--ci-host"]).exits(0).says(CI);
    assert!(bench.path(CI).exists());
    // Plain setup does not take it away.
    bench.setup(&[]).exits(0);
    bench.setup(&["--check"]).exits(0).says("note");
    assert!(bench.path(CI).exists());
    bench.setup(&["--uninstall", "--ci-host"]).exits(0);
    assert_eq!(bench.files(), before);
}

#[test]
fn what_an_admin_changed_stays() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let text = bench
        .read(UNIT)
        .replace("TimeoutStartSec=5min", "TimeoutStartSec=9min");
    assert_ne!(text, bench.read(UNIT));
    bench.write(UNIT, &text);
    bench
        .setup(&["--check"])
        .exits(1)
        .says("was changed since it was installed");
    // Refused whole: the missing file is not put back either.
    fs::remove_file(bench.path(RULES)).unwrap();
    let before = bench.files();
    bench
        .setup(&[])
        .exits(1)
        .complains("was changed since it was installed; not overwritten")
        .complains("nothing was done");
    assert_eq!(bench.files(), before);
    bench.setup(&["--uninstall"]).exits(1).complains(UNIT);
    assert_eq!(bench.names(), [UNIT]);
    assert_eq!(bench.read(UNIT), text);
}

#[test]
fn a_foreign_file_or_a_mask_is_not_overwritten() {
    let bench = Bench::new();
    bench.write(RULES, "# my own rules\n");
    let before = bench.files();
    bench.setup(&[]).exits(1).complains("is not ours");
    assert_eq!(bench.files(), before);

    let bench = Bench::new();
    fs::create_dir_all(bench.path(UNIT).parent().unwrap()).unwrap();
    symlink("/dev/null", bench.path(UNIT)).unwrap();
    let before = bench.files();
    bench.setup(&[]).exits(1).complains("is not ours");
    bench.setup(&["--check"]).exits(1);
    bench.setup(&["--uninstall"]).exits(0);
    assert_eq!(bench.files(), before);
}

#[test]
fn an_older_install_is_updated_and_removed() {
    // Our own text of another prefix is untouched by the admin: it is brought up to date.
    let bench = Bench::new();
    bench.setup(&["--prefix", "/opt/cx3"]).exits(0);
    assert!(
        bench
            .read(UNIT)
            .contains("\nExecStart=/opt/cx3/bin/cx3flash host restore\n")
    );
    bench.setup(&[]).exits(0).says("updated");
    assert!(
        bench
            .read(UNIT)
            .contains("\nExecStart=/usr/local/bin/cx3flash host restore\n")
    );
    bench
        .setup(&["--uninstall", "--prefix=/opt/other"])
        .exits(0);
    assert!(bench.names().is_empty(), "{:?}", bench.names());
}

#[test]
fn a_file_copied_by_hand_will_do() {
    let bench = Bench::new();
    let text = fs::read_to_string(here().join("modules-load.d/cx3flash.conf")).unwrap();
    bench.write(MODULES, &text);
    bench.setup(&[]).exits(0);
    bench.setup(&["--check"]).exits(0);
    assert_eq!(bench.read(MODULES), text);
    bench.setup(&["--uninstall"]).exits(0);
    assert_eq!(bench.names(), [MODULES]);
}

#[test]
fn nothing_goes_while_a_journal_is_pending() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let journals = Host::at(bench.dir.path()).journal_dir();
    fs::create_dir_all(&journals).unwrap();
    bench.setup(&["--uninstall"]).exits(0);
    bench.setup(&[]).exits(0);
    fs::write(journals.join("0000:05:00.0.journal"), "x").unwrap();
    let before = bench.files();
    bench
        .setup(&["--uninstall"])
        .exits(1)
        .complains("cx3flash host restore");
    assert_eq!(bench.files(), before);
    bench
        .setup(&["--check"])
        .exits(0)
        .says("a journal is pending");
}

#[test]
fn one_id_list_only() {
    for (name, text, fine) in [
        (
            "etc/modprobe.d/gpu.conf",
            "options vfio-pci ids=10de:1c03\n",
            false,
        ),
        (
            "etc/modprobe.d/gpu.conf",
            "options vfio_pci disable_vga=1 ids=10de:1c03\n",
            false,
        ),
        (
            "proc/cmdline",
            "root=/dev/sda1 vfio-pci.ids=10de:1c03 quiet\n",
            false,
        ),
        (
            "etc/modprobe.d/gpu.conf",
            "#options vfio-pci ids=10de:1c03\n",
            true,
        ),
        (
            "etc/modprobe.d/gpu.conf",
            "options vfio-pci disable_vga=1\n",
            true,
        ),
    ] {
        let bench = Bench::new();
        bench.write(name, text);
        let before = bench.files();
        if fine {
            bench.setup(&["--ci-host"]).exits(0);
        } else {
            bench
                .setup(&["--ci-host"])
                .exits(1)
                .complains("only one list counts");
            assert_eq!(bench.files(), before, "{text}");
        }
        bench.setup(&[]).exits(0);
    }
}

#[test]
fn wrong_arguments_are_64_with_a_message() {
    let bench = Bench::new();
    for (args, message) in [
        (&["--chekc"][..], "unknown argument '--chekc'"),
        (&["install"], "unknown argument 'install'"),
        (&["--check", "--uninstall"], "exclude each other"),
        (&["--user"], "--user needs a value"),
        (&["--prefix", ""], "--prefix needs a value"),
        (&["--prefix", "usr/local"], "must be an absolute path"),
        (&["--prefix", "/opt/a b"], "must be an absolute path"),
        (&["--prefix=/opt/%h"], "must be an absolute path"),
        (&["--user", "-x"], "'-x' is no user name"),
        (&["--user", "a;b"], "is no user name"),
        (
            &["--user", "root", "--uninstall"],
            "--user does not go with --uninstall",
        ),
    ] {
        let ran = run(Command::new(here().join("setup"))
            .arg("--root")
            .arg(bench.dir.path())
            .args(args));
        ran.exits(64).complains(message);
    }
    bench
        .setup(&["--user", "root"])
        .exits(64)
        .complains("--user does not go with --root");
    assert!(bench.names().is_empty(), "{:?}", bench.names());
    run(Command::new(here().join("setup")).args(["--root", "/nonexistent/x"]))
        .exits(1)
        .complains("no such directory");
    let ran = run(Command::new(here().join("setup")).arg("--help")).exits(0);
    for option in [
        "--check",
        "--uninstall",
        "--user",
        "--ci-host",
        "--prefix",
        "--root",
    ] {
        assert!(ran.stdout.contains(option), "{}", ran.stdout);
    }
}

// --- what the files say

/// Values of `key=` lines, in order, blanks split.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|l| l.strip_prefix(key)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
        .collect()
}

#[test]
fn the_unit_waits_for_the_journal_the_tool_writes() {
    let bench = Bench::new();
    bench.setup(&[]).exits(0);
    let host = Host::system();
    let (journals, locks) = (host.journal_dir(), host.lock_dir());
    let unit = bench.read(UNIT);
    assert_eq!(
        values(&unit, "ConditionDirectoryNotEmpty"),
        [journals.to_str().unwrap()]
    );
    assert!(values(&unit, "Before").contains(&"network-pre.target"));
    assert!(values(&unit, "Wants").contains(&"network-pre.target"));
    for first in [
        "local-fs.target",
        "systemd-modules-load.service",
        "systemd-udev-trigger.service",
    ] {
        assert!(values(&unit, "After").contains(&first), "{first}");
    }
    assert!(values(&unit, "Requires").is_empty());
    // No units order themselves after sysinit.target behind our back, see the comment in the file.
    assert_eq!(values(&unit, "DefaultDependencies"), ["no"]);
    assert!(values(&unit, "Before").contains(&"shutdown.target"));

    let dirs: Vec<(String, String, String, String)> = bench
        .read(TMPFILES)
        .lines()
        .filter(|l| l.starts_with("d "))
        .map(|l| {
            let w: Vec<&str> = l.split_whitespace().collect();
            (w[1].into(), w[2].into(), w[3].into(), w[4].into())
        })
        .collect();
    let find = |dir: &Path| {
        let dir = dir.to_str().unwrap();
        let row = dirs.iter().find(|d| d.0 == dir);
        let row = row.unwrap_or_else(|| panic!("{dir} is not in {dirs:?}"));
        (row.1.as_str(), row.2.as_str(), row.3.as_str())
    };
    // What root acts upon, only root writes.
    assert_eq!(find(&journals), ("0755", "root", "root"));
    assert_eq!(find(&locks), ("2775", "root", "cx3flash"));
    assert!(bench.read(SYSUSERS).lines().any(|l| l == "g cx3flash -"));
    let modules = bench.read(MODULES);
    let modules: Vec<&str> = modules.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(modules, ["vfio-pci"]);
}

/// What the rule's line of shell says of a group of functions with these modaliases.
fn hands_over(functions: &[&str]) -> bool {
    let bench = Bench::new();
    for (at, modalias) in functions.iter().enumerate() {
        let function = format!("sys/kernel/iommu_groups/17/devices/0000:05:00.{at}/modalias");
        bench.write(&function, &format!("{modalias}\n"));
    }
    let rules = fs::read_to_string(here().join("60-cx3flash-vfio.rules")).unwrap();
    let rule = rules
        .lines()
        .find(|l| l.starts_with("SUBSYSTEM==\"vfio\","))
        .unwrap();
    let (_, program) = rule.split_once("PROGRAM==\"").unwrap();
    let (program, _) = program.split_once('"').unwrap();
    // udev builds the command in a buffer of 1024 bytes.
    assert!(program.len() < 1000, "{}", program.len());
    let line = program
        .strip_prefix("/bin/sh -c '")
        .and_then(|p| p.strip_suffix('\''))
        .unwrap();
    assert!(!line.contains('\''));
    // As udev does: %k is the kernel's name of the node, $$ a dollar; no other substitution.
    let line = line.replace("%k", "17");
    assert!(!line.contains('%'), "{line}");
    let line = line.replace("$$", "\u{1}");
    assert!(!line.contains('$'), "{line}");
    let line = line.replace('\u{1}', "$");
    let root = bench.path("sys/kernel");
    let line = line.replace("/sys/kernel", root.to_str().unwrap());
    run(Command::new("/bin/sh").args(["-c", &line])).code == 0
}

#[test]
fn the_rule_hands_over_these_cards_only() {
    let card = |id: &str| format!("pci:v000015B3d0000{id}sv000015B3sd00000055bc02sc00i00");
    let bridge = "pci:v00008086d00001901sv00001028sd000006B9bc06sc04i00";
    let sata = "pci:v00008086d0000A102sv00001028sd000006B9bc01sc06i01";
    let isa_bridge = "pci:v00008086d0000A150sv00001028sd000006B9bc06sc01i00";
    for ours in ["1003", "1007", "01F6", "01F8"] {
        assert!(hands_over(&[&card(ours)]), "{ours}");
        assert!(hands_over(&[bridge, &card(ours)]), "{ours}");
        assert!(hands_over(&[&card(ours), bridge]), "{ours}");
        assert!(!hands_over(&[&card(ours), sata]), "{ours}");
        assert!(!hands_over(&[sata, &card(ours)]), "{ours}");
        assert!(!hands_over(&[isa_bridge, &card(ours)]), "{ours}");
    }
    // Virtual functions, ConnectX-4, no card at all, a group that is gone, an unreadable alias.
    for other in ["1002", "1004", "1013", "01F7"] {
        assert!(!hands_over(&[&card(other)]), "{other}");
        assert!(!hands_over(&[&card("1003"), &card(other)]), "{other}");
    }
    assert!(!hands_over(&[bridge]));
    assert!(!hands_over(&[]));
    assert!(!hands_over(&["", &card("1003")]));
    // Somebody else's device with our numbers further on.
    assert!(!hands_over(&[
        "pci:v00008086d00001003sv000015B3sd00001003bc02sc00i00"
    ]));
}

// --- what it calls

/// Stand-ins for the host's tools; each writes down how it was called.
struct Stage {
    bench: Bench,
    tools: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            bench: Bench::new(),
            tools: TempDir::new().unwrap(),
        };
        fs::create_dir_all(stage.bench.path("run/systemd/system")).unwrap();
        for (tool, does) in [
            (
                "id",
                r#"[ "$1" = -u ] && echo "${FAKE_UID:-0}" || cat "$s/member" 2>/dev/null; exit 0"#,
            ),
            (
                "getent",
                r#"case $1:$2 in group:*) [ -e "$s/group" ];; passwd:alice) ;; *) exit 2;; esac"#,
            ),
            (
                "groupadd",
                r#"echo "groupadd $*" >>"$s/log"; : >"$s/group""#,
            ),
            (
                "usermod",
                r#"echo "usermod $*" >>"$s/log"; echo users cx3flash >"$s/member""#,
            ),
            (
                "systemd-tmpfiles",
                r#"echo "tmpfiles ${2##*/}" >>"$s/log"; cat "$2" >/dev/null"#,
            ),
            ("modprobe", r#"echo "modprobe $*" >>"$s/log""#),
            ("udevadm", r#"echo "udevadm $*" >>"$s/log""#),
            ("update-initramfs", "exit 1"),
            (
                "systemctl",
                r#"case $1 in
                is-enabled) [ -e "$s/enabled" ]; exit;;
                enable) : >"$s/enabled";;
                disable) rm "$s/enabled";;
                esac
                echo "systemctl $*" >>"$s/log""#,
            ),
        ] {
            let path = stage.tools.path().join(tool);
            let s = stage.tools.path().display();
            fs::write(&path, format!("#!/bin/sh\ns={s}\n{does}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        stage
    }

    fn setup_as(&self, uid: &str, args: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.tools.path().display());
        run(Command::new(here().join("setup"))
            .args(args)
            .env("PATH", path)
            .env("FAKE_UID", uid)
            .env("CX3FLASH_SETUP_TEST_HOST", self.bench.dir.path()))
    }

    fn setup(&self, args: &[&str]) -> Ran {
        self.setup_as("0", args)
    }

    /// The calls since the last time.
    fn calls(&self) -> Vec<String> {
        let log = self.tools.path().join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }
}

const RELOAD: [&str; 2] = [
    "udevadm control --reload",
    "udevadm trigger --action=add --subsystem-match=vfio --subsystem-match=vfio-dev",
];

#[test]
fn the_host_is_told_in_order_and_once() {
    let stage = Stage::new();
    stage.setup(&["--user", "alice"]).exits(0);
    assert_eq!(
        stage.calls(),
        [
            "groupadd --system cx3flash",
            "usermod -aG cx3flash alice",
            "tmpfiles cx3flash.conf",
            "modprobe vfio-pci",
            RELOAD[0],
            RELOAD[1],
            "systemctl daemon-reload",
            "systemctl enable cx3flash-restore.service",
        ]
    );
    let files = stage.bench.files();
    stage.setup(&["--user", "alice"]).exits(0);
    assert_eq!(stage.bench.files(), files);
    assert_eq!(
        stage.calls(),
        [
            "tmpfiles cx3flash.conf",
            "modprobe vfio-pci",
            RELOAD[0],
            RELOAD[1]
        ]
    );

    // Only looking needs no root and calls nothing that changes.
    let ran = stage
        .setup_as("1000", &["--check", "--user", "alice"])
        .exits(1);
    assert!(
        ran.stdout.contains("ok       alice is in cx3flash"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("missing  vfio-pci is not loaded"),
        "{}",
        ran.stdout
    );
    for dir in [
        "sys/bus/pci/drivers/vfio-pci",
        "run/cx3flash",
        "var/lib/cx3flash/journal",
    ] {
        fs::create_dir_all(stage.bench.path(dir)).unwrap();
    }
    stage
        .setup_as("1000", &["--check"])
        .exits(1)
        .says("missing  /usr/local/bin/cx3flash");
    stage.bench.write("usr/local/bin/cx3flash", "#!/bin/sh\n");
    let bin = stage.bench.path("usr/local/bin/cx3flash");
    fs::set_permissions(bin, fs::Permissions::from_mode(0o755)).unwrap();
    stage.setup_as("1000", &["--check"]).exits(0);
    assert!(stage.calls().is_empty());

    stage
        .setup(&["--uninstall"])
        .exits(0)
        .says("groupdel cx3flash");
    assert_eq!(
        stage.calls(),
        [
            "systemctl disable cx3flash-restore.service",
            "systemctl daemon-reload",
            RELOAD[0],
            RELOAD[1]
        ]
    );
    stage.setup(&["--uninstall"]).exits(0);
    assert!(stage.calls().is_empty());
}

#[test]
fn a_host_that_will_not_do_is_left_alone() {
    let stage = Stage::new();
    for args in [&[][..], &["--uninstall"]] {
        stage
            .setup_as("1000", args)
            .exits(1)
            .complains("must be root");
    }
    stage
        .setup(&["--user", "nobody-here"])
        .exits(1)
        .complains("there is no user 'nobody-here'");
    fs::remove_dir_all(stage.bench.path("run")).unwrap();
    stage
        .setup(&[])
        .exits(1)
        .complains("systemd does not run here");
    fs::create_dir_all(stage.bench.path("run/systemd/system")).unwrap();
    stage.bench.write(RULES, "# mine\n");
    stage.setup(&[]).exits(1).complains("nothing was done");
    assert_eq!(stage.bench.names(), [RULES]);
    assert!(stage.calls().is_empty());
}

#[test]
fn a_ci_host_is_told_what_it_loses() {
    let stage = Stage::new();
    for (bdf, id) in [("0000:05:00.0", "0x1003"), ("0000:06:00.0", "0x1004")] {
        let dir = format!("sys/bus/pci/drivers/mlx4_core/{bdf}");
        stage
            .bench
            .write(&format!("{dir}/device"), &format!("{id}\n"));
        fs::create_dir_all(stage.bench.path(&format!("{dir}/net/enp5s0"))).unwrap();
    }
    let ran = stage
        .setup(&["--ci-host"])
        .exits(0)
        .complains("0000:05:00.0 (now enp5s0) is on vfio-pci")
        .says("update-initramfs -u -k all");
    assert!(!ran.stderr.contains("0000:06:00.0"), "{}", ran.stderr);
    // Said when it changes, not each time.
    let ran = stage.setup(&["--ci-host"]).exits(0);
    assert!(!ran.stdout.contains("initramfs"), "{}", ran.stdout);
    let text = stage.bench.read(CI);
    assert!(
        text.contains("\nsoftdep mlx4_core pre: vfio-pci\n"),
        "{text}"
    );
    let ids = text
        .lines()
        .find(|l| l.starts_with("options vfio-pci "))
        .unwrap();
    for id in ["15b3:1003", "15b3:1007", "15b3:01f6", "15b3:01f8"] {
        assert!(ids.contains(id), "{ids}");
    }
}

// --- other programs' opinion

/// Is there a program that understands these arguments? Says so when not.
fn present(program: &str, probe: &[&str]) -> bool {
    let there = Command::new(program)
        .args(probe)
        .output()
        .is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: no {program} that takes {probe:?}");
    }
    there
}

#[test]
fn shellcheck_finds_nothing() {
    if present("shellcheck", &["--version"]) {
        let ran = run(Command::new("shellcheck")
            .args(["--shell=sh", "--"])
            .arg(here().join("setup")));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn systemd_reads_the_unit() {
    if !present("systemd-analyze", &["--version"]) {
        return;
    }
    let bench = Bench::new();
    let bin = bench.path("bin/cx3flash");
    bench.write("bin/cx3flash", "#!/bin/sh\n");
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
    let prefix = bench.dir.path().to_str().unwrap();
    bench.setup(&["--prefix", prefix]).exits(0);
    let ran = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(bench.path(UNIT)));
    // Units of the machine may have troubles of their own; ours may not, nor be named.
    let ours: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|l| l.contains("cx3flash-restore"))
        .filter(|l| !l.contains("udevadm"))
        .collect();
    assert!(ours.is_empty(), "{}", ran.stderr);
    // The check can fail.
    let broken = bench.read(UNIT).replace("Type=oneshot", "Type=onesht");
    bench.write("x/cx3flash-restore.service", &broken);
    let ran = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(bench.path("x/cx3flash-restore.service")));
    assert!(ran.stderr.contains("onesht"), "{}", ran.stderr);
}

/// A network stage before sysinit.target, as cloud-init has on Debian, must not meet itself in us.
#[test]
fn the_order_has_no_cycle() {
    if !present("systemd-analyze", &["--version"]) {
        return;
    }
    let bench = Bench::new();
    let root = bench.dir.path();
    bench.write("bin/cx3flash", "#!/bin/sh\n");
    fs::set_permissions(root.join("bin/cx3flash"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.setup(&["--prefix", root.to_str().unwrap()]).exits(0);
    let unit = bench.read(UNIT);
    bench.write(
        "units/early-net.service",
        "[Unit]\nDefaultDependencies=no\nAfter=network-pre.target\nBefore=sysinit.target\n\
         [Service]\nType=oneshot\nExecStart=/bin/true\n",
    );
    bench.write(
        "units/t.target",
        "[Unit]\nRequires=multi-user.target early-net.service cx3flash-restore.service\n",
    );
    let cycles = |unit: &str| {
        bench.write("units/cx3flash-restore.service", unit);
        // A colon at the end: the usual directories as well.
        let path = format!("{}:", root.join("units").display());
        let ran = run(Command::new("systemd-analyze")
            .args(["verify", "--man=no", "t.target"])
            .env("SYSTEMD_UNIT_PATH", path));
        // Which unit systemd starts its complaint with is up to it.
        ran.stderr.contains("Found ordering cycle")
            && ran.stderr.contains("cx3flash-restore.service")
    };
    assert!(!cycles(&unit));
    // Without that line there is one: the check can fail, and the line is needed.
    assert!(cycles(&unit.replace("DefaultDependencies=no\n", "")));
}

#[test]
fn udev_reads_the_rules() {
    if present("udevadm", &["verify", "--help"]) {
        let bench = Bench::new();
        bench.setup(&[]).exits(0);
        let ran = run(Command::new("udevadm")
            .args(["verify", "--resolve-names=never"])
            .arg(bench.path(RULES)));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}
