//! What the script calls on a live host.

use super::bench::{Bench, CI, RULES, SetupRun, here, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

/// Stand-ins for the host's tools; each writes down how it was called.
struct Stage {
    bench: Bench,
    tools: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { bench: Bench::new(), tools: TempDir::new().unwrap() };
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
            ("groupadd", r#"echo "groupadd $*" >>"$s/log"; : >"$s/group""#),
            ("usermod", r#"echo "usermod $*" >>"$s/log"; echo users cx3flash >"$s/member""#),
            ("systemd-tmpfiles", r#"echo "tmpfiles ${2##*/}" >>"$s/log"; cat "$2" >/dev/null"#),
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

    fn setup_as(&self, uid: &str, args: &[&str]) -> SetupRun {
        let path = format!("{}:/usr/bin:/bin", self.tools.path().display());
        run(Command::new(here().join("setup"))
            .args(args)
            .env("PATH", path)
            .env("FAKE_UID", uid)
            .env("CX3FLASH_SETUP_TEST_HOST", self.bench.dir.path()))
    }

    fn setup(&self, args: &[&str]) -> SetupRun {
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
fn the_commands_run_in_order_and_once() {
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
        ["tmpfiles cx3flash.conf", "modprobe vfio-pci", RELOAD[0], RELOAD[1]]
    );

    // Only looking needs no root and calls nothing that changes.
    let ran = stage.setup_as("1000", &["--check", "--user", "alice"]).exits(1);
    assert!(ran.stdout.contains("ok       alice is in cx3flash"), "{}", ran.stdout);
    assert!(ran.stdout.contains("missing  vfio-pci is not loaded"), "{}", ran.stdout);
    for dir in ["sys/bus/pci/drivers/vfio-pci", "run/cx3flash", "var/lib/cx3flash/journal"] {
        fs::create_dir_all(stage.bench.path(dir)).unwrap();
    }
    stage.setup_as("1000", &["--check"]).exits(1).reports("missing  /usr/local/bin/cx3flash");
    stage.bench.write("usr/local/bin/cx3flash", "#!/bin/sh\n");
    let bin = stage.bench.path("usr/local/bin/cx3flash");
    fs::set_permissions(bin, fs::Permissions::from_mode(0o755)).unwrap();
    stage.setup_as("1000", &["--check"]).exits(0);
    assert!(stage.calls().is_empty());

    stage.setup(&["--uninstall"]).exits(0).reports("groupdel cx3flash");
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
fn an_unsuitable_host_is_not_changed() {
    let stage = Stage::new();
    for args in [&[][..], &["--uninstall"]] {
        stage.setup_as("1000", args).exits(1).complains("must be root");
    }
    stage.setup(&["--user", "no-such-user"]).exits(1).complains("there is no user 'no-such-user'");
    fs::remove_dir_all(stage.bench.path("run")).unwrap();
    stage.setup(&[]).exits(1).complains("systemd does not run here");
    fs::create_dir_all(stage.bench.path("run/systemd/system")).unwrap();
    stage.bench.write(RULES, "# mine\n");
    stage.setup(&[]).exits(1).complains("nothing was done");
    assert_eq!(stage.bench.names(), [RULES]);
    assert!(stage.calls().is_empty());
}

#[test]
fn a_ci_host_is_warned_of_what_it_loses() {
    let stage = Stage::new();
    for (bdf, id) in [("0000:05:00.0", "0x1003"), ("0000:06:00.0", "0x1004")] {
        let dir = format!("sys/bus/pci/drivers/mlx4_core/{bdf}");
        stage.bench.write(&format!("{dir}/device"), &format!("{id}\n"));
        fs::create_dir_all(stage.bench.path(&format!("{dir}/net/enp5s0"))).unwrap();
    }
    let ran = stage
        .setup(&["--ci-host"])
        .exits(0)
        .complains("0000:05:00.0 (now enp5s0) is on vfio-pci")
        .reports("update-initramfs -u -k all");
    assert!(!ran.stderr.contains("0000:06:00.0"), "{}", ran.stderr);
    // Reported when it changes, not each time.
    let ran = stage.setup(&["--ci-host"]).exits(0);
    assert!(!ran.stdout.contains("initramfs"), "{}", ran.stdout);
    let text = stage.bench.read(CI);
    assert!(text.contains("\nsoftdep mlx4_core pre: vfio-pci\n"), "{text}");
    let ids = text.lines().find(|l| l.starts_with("options vfio-pci ")).unwrap();
    for id in ["15b3:1003", "15b3:1007", "15b3:01f6", "15b3:01f8"] {
        assert!(ids.contains(id), "{ids}");
    }
}
