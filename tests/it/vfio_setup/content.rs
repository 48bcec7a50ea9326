//! The content of the installed files.

use super::bench::{Bench, MODULES, SYSUSERS, TMPFILES, UNIT, here, run};
use cx3flash::host::Host;
use std::fs;
use std::path::Path;
use std::process::Command;

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
    assert_eq!(values(&unit, "ConditionDirectoryNotEmpty"), [journals.to_str().unwrap()]);
    assert!(values(&unit, "Before").contains(&"network-pre.target"));
    assert!(values(&unit, "Before").contains(&"networking.service"));
    assert!(values(&unit, "Wants").contains(&"network-pre.target"));
    for first in ["local-fs.target", "systemd-modules-load.service", "systemd-udev-trigger.service"]
    {
        assert!(values(&unit, "After").contains(&first), "{first}");
    }
    assert!(values(&unit, "Requires").is_empty());
    // Default dependencies would order it after sysinit.target, see the comment in the file.
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
    // Only root may write what root executes.
    assert_eq!(find(&journals), ("0700", "root", "root"));
    assert_eq!(find(&locks), ("3775", "root", "cx3flash"));
    assert!(bench.read(SYSUSERS).lines().any(|l| l == "g cx3flash -"));
    let modules = bench.read(MODULES);
    let modules: Vec<&str> = modules.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(modules, ["vfio-pci"]);
}

#[test]
fn the_sandbox_of_the_unit_permits_what_restore_does() {
    let unit = fs::read_to_string(here().join("cx3flash-restore.service")).unwrap();
    // Each would break a step (docs/linux.md#the-units-sandbox).
    for (breaks, why) in [
        ("ProtectKernelModules", "modprobe"),
        ("ProtectKernelTunables", "writes to sysfs"),
        ("PrivateDevices", "VFIO"),
        ("ProtectClock", "VFIO: it implies a DeviceAllow"),
        ("PrivateNetwork", "netdevs"),
        ("PrivateUsers", "writes to sysfs"),
        ("ProtectProc", "whether the process in a journal lives"),
        ("ProcSubset", "/proc/sys, /proc/cmdline"),
        ("DynamicUser", "root"),
        ("User", "root"),
        ("RootDirectory", "sysfs"),
        ("InaccessiblePaths", "sysfs"),
        ("ReadOnlyPaths", "sysfs"),
        ("StateDirectory", "a read-only /var"),
        ("LogsDirectory", "a read-only /var"),
        ("RuntimeDirectory", "owner and mode of the lock directory"),
    ] {
        assert!(values(&unit, breaks).is_empty(), "{breaks} breaks: {why}");
    }
    let host = Host::system();
    for dir in [host.journal_dir().parent().unwrap().to_owned(), host.lock_dir()] {
        let optional = format!("-{}", dir.display());
        assert!(values(&unit, "ReadWritePaths").contains(&optional.as_str()), "{optional}");
    }
    for (key, needed) in [
        ("CapabilityBoundingSet", &["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_SYS_MODULE"][..]),
        ("SystemCallFilter", &["@system-service", "@module"]),
        ("RestrictAddressFamilies", &["AF_UNIX", "AF_NETLINK"]),
        ("DeviceAllow", &["/dev/vfio/vfio", "char-vfio"]),
        ("ProtectSystem", &["strict"]),
        ("ProtectHome", &["read-only"]),
        ("NoNewPrivileges", &["yes"]),
        ("DevicePolicy", &["closed"]),
        ("UMask", &["0077"]),
        ("SystemCallArchitectures", &["native"]),
        ("RestrictNamespaces", &["yes"]),
        ("RestrictSUIDSGID", &["yes"]),
        ("MemoryDenyWriteExecute", &["yes"]),
    ] {
        let given = values(&unit, key);
        assert!(needed.iter().all(|word| given.contains(word)), "{key}: {given:?}");
    }
}

/// Whether the rule's line of shell accepts a group of functions with these modaliases.
fn hands_over(functions: &[&str]) -> bool {
    let bench = Bench::new();
    for (at, modalias) in functions.iter().enumerate() {
        let function = format!("sys/kernel/iommu_groups/17/devices/0000:05:00.{at}/modalias");
        bench.write(&function, &format!("{modalias}\n"));
    }
    let rules = fs::read_to_string(here().join("60-cx3flash-vfio.rules")).unwrap();
    let rule = rules.lines().find(|l| l.starts_with("SUBSYSTEM==\"vfio\",")).unwrap();
    let (_, program) = rule.split_once("PROGRAM==\"").unwrap();
    let (program, _) = program.split_once('"').unwrap();
    // udev builds the command in a buffer of 1024 bytes.
    assert!(program.len() < 1000, "{}", program.len());
    let line = program.strip_prefix("/bin/sh -c '").and_then(|p| p.strip_suffix('\'')).unwrap();
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
fn the_udev_rule_matches_these_cards_only() {
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
    // Virtual functions, ConnectX-4, no card, an empty group, an unreadable alias.
    for other in ["1002", "1004", "1013", "01F7"] {
        assert!(!hands_over(&[&card(other)]), "{other}");
        assert!(!hands_over(&[&card("1003"), &card(other)]), "{other}");
    }
    assert!(!hands_over(&[bridge]));
    assert!(!hands_over(&[]));
    assert!(!hands_over(&["", &card("1003")]));
    // Another vendor's device with our numbers in the subsystem ids.
    assert!(!hands_over(&["pci:v00008086d00001003sv000015B3sd00001003bc02sc00i00"]));
}
