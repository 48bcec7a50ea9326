//! The guest's file system: archives made once and joined for each guest.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::apt::run;
use super::cpio::Archive;
use super::tree::{Tree, once};

/// Modules that guests load; their dependencies are added.
const MODULES: [&str; 11] = [
    "vfio-pci",
    "vfio",
    "vfio_iommu_type1",
    "mlx4_core",
    "mlx4_en",
    "kvm-amd",
    "bridge",
    "bonding",
    "8021q",
    "dummy",
    "veth",
];

/// Programs that busybox lacks, or that must be those of a real host.
const PROGRAMS: [&str; 10] = [
    "usr/bin/strace",
    "usr/bin/dash",
    "usr/bin/kmod",
    "usr/bin/lspci",
    "usr/bin/setpci",
    "usr/bin/setpriv",
    "usr/bin/ip",
    "usr/sbin/bridge",
    "usr/sbin/ethtool",
    "usr/bin/taskset",
];

/// The names of kmod.
const KMOD: [&str; 6] = ["modprobe", "depmod", "lsmod", "modinfo", "rmmod", "insmod"];

/// The guest's agent; `guest::agent` is the host's side.
const INIT: &str = include_str!("../guest/init.sh");

/// The kernel's modules, decompressed so that the guest needs no xz; their signatures are appended
/// to the decompressed file, so they load under lockdown, too (docs/lab.md#pieces).
pub(super) fn modules(archives: &Path, trixie: &Tree, release: &str) -> Result<()> {
    let file = module_archive(release);
    once(archives, &file, |part| Ok(fs::write(part, archive_of(archives, trixie, release)?)?))?;
    Ok(())
}

/// Made once for each kernel and each list of modules.
fn module_archive(release: &str) -> String {
    format!("modules-{release}-{}.cpio", super::tree::RECIPE)
}

fn archive_of(archives: &Path, trixie: &Tree, release: &str) -> Result<Vec<u8>> {
    let stage = archives.join(".stage");
    let _ = fs::remove_dir_all(&stage);
    let inside = format!("usr/lib/modules/{release}");
    let (from, to) = (trixie.path(&inside), stage.join(&inside));
    fs::create_dir_all(&to)?;
    fs::create_dir_all(stage.join("usr/lib"))?;
    std::os::unix::fs::symlink("usr/lib", stage.join("lib"))?;
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(from.join(list), to.join(list))?;
    }
    let depends = dependencies(trixie, release)?;
    for file in closure(&depends, &MODULES)? {
        let data = fs::read(from.join(&file))?;
        let plain = to.join(file.strip_suffix(".xz").unwrap_or(&file));
        fs::create_dir_all(plain.parent().context("a module lies in a directory")?)?;
        fs::write(plain, super::kernel::decompress(trixie, &data)?)?;
    }
    depmod(trixie, &stage, release)?;
    let mut archive = Archive::default();
    for entry in walkdir::WalkDir::new(&to).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(&stage)?.display().to_string();
            archive.copy(&path, entry.path())?;
        }
    }
    fs::remove_dir_all(&stage)?;
    Ok(archive.finish())
}

/// kmod is depmod when it is called by that name.
fn depmod(trixie: &Tree, root: &Path, release: &str) -> Result<String> {
    let mut command = std::process::Command::new(trixie.loader()?);
    command.arg("--library-path");
    command.arg(trixie.library_path());
    command.args(["--argv0", "depmod"]);
    command.arg(trixie.path("usr/bin/kmod"));
    run(command.arg("-b").arg(root).arg(release))
}

/// Module files with the files that each needs, as depmod lists them.
fn dependencies(trixie: &Tree, release: &str) -> Result<Vec<Vec<String>>> {
    let file = trixie.path(&format!("usr/lib/modules/{release}/modules.dep"));
    if !file.exists() {
        depmod(trixie, &trixie.path("usr"), release)?;
    }
    let text = fs::read_to_string(&file)?;
    Ok(text
        .lines()
        .map(|line| {
            line.split([':', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        })
        .collect())
}

/// The files of these modules and of all they need.
fn closure(depends: &[Vec<String>], wanted: &[&str]) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for name in wanted {
        let line = depends
            .iter()
            .find(|line| line.first().is_some_and(|file| named(file, name)))
            .with_context(|| format!("the kernel has no module {name}"))?;
        files.extend(line.iter().cloned());
    }
    Ok(files)
}

fn named(file: &str, name: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file);
    let stem = base.split(".ko").next().unwrap_or(base);
    stem.replace('-', "_") == name.replace('-', "_")
}

/// Busybox, programs with their libraries, mstflint with its own, and the agent.
pub(super) fn user_space(archives: &Path, trixie: &Tree, bookworm: &Tree) -> Result<()> {
    // Made each time, so that a changed agent is never missed.
    let mut archive = Archive::default();
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "../run"),
    ] {
        archive.link(link, target);
    }
    for dir in ["proc", "sys", "dev", "run", "tmp", "root", "var/lib", "var/log", "etc"] {
        archive.directory(dir);
    }
    archive.character("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n",
    );
    archive.file("etc/group", 0o644, b"root:x:0:\nuser:x:1000:\ncx3flash:x:2000:\n");
    archive.copy("usr/share/misc/pci.ids", &trixie.path("usr/share/misc/pci.ids"))?;
    programs(&mut archive, trixie)?;
    mstflint(&mut archive, bookworm)?;
    busybox(&mut archive, trixie)?;
    once_more(archives, "user.cpio", &archive.finish())
}

fn programs(archive: &mut Archive, trixie: &Tree) -> Result<()> {
    for program in PROGRAMS {
        archive.copy(program, &trixie.path(program))?;
    }
    for applet in KMOD {
        archive.link(&format!("usr/sbin/{applet}"), "../bin/kmod");
    }
    archive.link("usr/bin/sh", "dash");
    archive.copy("usr/lib64/ld-linux-x86-64.so.2", &trixie.loader()?)?;
    libraries(archive, trixie, &PROGRAMS, "usr/lib/x86_64-linux-gnu")
}

/// mstflint is of another release: it has a directory and a loader of its own. The kernel names a
/// process after the file it executes, which is the loader, so the loader has the program's name.
fn mstflint(archive: &mut Archive, bookworm: &Tree) -> Result<()> {
    let program = "usr/bin/mstflint";
    archive.copy("opt/mstflint/mstflint", &bookworm.path(program))?;
    archive.copy("opt/mstflint/bin/mstflint", &bookworm.loader()?)?;
    libraries(archive, bookworm, &[program], "opt/mstflint/lib")?;
    let script = b"#!/bin/sh\nexec /opt/mstflint/bin/mstflint --library-path /opt/mstflint/lib \
        /opt/mstflint/mstflint \"$@\"\n";
    archive.file(program, 0o755, script);
    Ok(())
}

/// Copies the libraries that programs need into a directory, with those that they need.
fn libraries(archive: &mut Archive, tree: &Tree, programs: &[&str], to: &str) -> Result<()> {
    let mut needed = BTreeMap::new();
    for program in programs {
        collect(tree, &tree.path(program), &mut needed)?;
    }
    for (name, file) in needed {
        archive.copy(&format!("{to}/{name}"), &file)?;
    }
    Ok(())
}

/// Links every applet of busybox for which there is no real program.
fn busybox(archive: &mut Archive, trixie: &Tree) -> Result<()> {
    let file = trixie.path("usr/bin/busybox");
    archive.copy("usr/bin/busybox", &file)?;
    let real: BTreeSet<&OsStr> = PROGRAMS
        .iter()
        .filter_map(|program| Path::new(program).file_name())
        .chain(KMOD.map(OsStr::new))
        .chain([OsStr::new("sh")])
        .collect();
    for applet in run(std::process::Command::new(&file).arg("--list"))?.lines() {
        if applet != "busybox" && !real.contains(OsStr::new(applet)) {
            archive.link(&format!("usr/bin/{applet}"), "busybox");
        }
    }
    Ok(())
}

/// The libraries a program needs, by name, and those they need.
fn collect(tree: &Tree, program: &Path, into: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for name in goblin::elf::Elf::parse(&fs::read(program)?)?.libraries {
        if name.starts_with("ld-linux") || into.contains_key(name) {
            continue;
        }
        let file = tree.library(name).with_context(|| format!("no library {name} in the tree"))?;
        into.insert(name.to_owned(), file.clone());
        collect(tree, &file, into)?;
    }
    Ok(())
}

/// The tool under test, a static program.
pub(super) fn tool(archives: &Path, tool: &Path) -> Result<()> {
    let mut archive = Archive::default();
    archive.file("usr/bin/cx3flash", 0o755, &fs::read(tool)?);
    once_more(archives, "tool.cpio", &archive.finish())
}

/// Replaces a file by one rename.
fn once_more(dir: &Path, name: &str, data: &[u8]) -> Result<()> {
    let part = dir.join(format!(".{name}.part"));
    fs::write(&part, data)?;
    Ok(fs::rename(part, dir.join(name))?)
}

/// Joins the archives with one of a guest's own files, path and contents.
pub(super) fn join(
    archives: &Path,
    release: &str,
    files: &[(String, Vec<u8>)],
    to: &Path,
) -> Result<()> {
    let mut bytes = Vec::new();
    for part in ["user.cpio", "tool.cpio", &module_archive(release)] {
        bytes.extend(fs::read(archives.join(part))?);
    }
    let mut own = Archive::default();
    for (path, data) in files {
        own.file(path, 0o644, data);
    }
    bytes.extend(own.finish());
    Ok(fs::write(to, bytes)?)
}
