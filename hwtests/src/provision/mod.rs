//! Makes everything the lab needs from Debian's packages, below the workspace's target directory.
//!
//! Nothing on the host is changed: packages are fetched with the machine's own apt into private
//! directories and unpacked into two trees, whose programs run with their own dynamic loader. What
//! is made is kept; each item gets its final name by one rename, so an interrupted run leaves
//! nothing that looks finished.

mod apt;
mod cpio;
mod initramfs;
mod kernel;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};

pub use apt::LabUnavailable;
pub use tree::Tree;

/// Bytes that must be free before anything is fetched: 190 MB of packages, their trees and the
/// archives.
const FREE: u64 = 1_500_000_000;

/// What the trees hold. QEMU comes from backports: trixie's own has no `vfio-user-pci`
/// (docs/lab.md#pieces).
const QEMU: &[&str] = &["qemu-system-x86"];
const GUEST: &[&str] = &[
    "dash",
    "busybox-static",
    "ethtool",
    "iproute2",
    "kmod",
    "pci.ids",
    "pciutils",
    "strace",
    "util-linux",
    "xz-utils",
    "zstd",
];
/// 4.21 is the last one that works on this family (docs/lab.md#mstflint-on-the-emulated-card).
const MSTFLINT: &[&str] = &["mstflint", "debian-archive-keyring"];

/// The files of the lab.
#[derive(Debug, Clone)]
pub struct Provisions {
    /// The directory of the lab; logs of guests are below it.
    pub dir: PathBuf,
    /// QEMU, the programs of the guest, xz and zstd.
    pub trixie: Tree,
    /// The kernel as an uncompressed ELF file.
    pub vmlinux: PathBuf,
    /// `uname -r` of the guest.
    release: String,
    /// The built tool, a static program for host and guest.
    pub tool: PathBuf,
    archives: PathBuf,
}

impl Provisions {
    /// Makes what is missing below `target`. An error with [`LabUnavailable`] means that this
    /// machine cannot run the lab.
    pub fn make(target: &Path) -> Result<Provisions> {
        let dir = target.join("hwtests");
        check_machine(target)?;
        fs::create_dir_all(&dir)?;
        // A second run waits for the first one's packages.
        let lock = fs::File::create(dir.join("lock"))?;
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .context("lock of the lab's directory")?;

        let bookworm = Tree::at(&dir, "bookworm", |new| {
            let suite = apt::HostApt::read()?.suite(new, &["bookworm"])?;
            suite.fetch(MSTFLINT, None)?;
            suite.unpack()
        })?;
        let trixie = Tree::at(&dir, "trixie", |new| {
            // An older host's keyring may lack the newer release; the current package of its own
            // release has it.
            let keyring = bookworm.path("usr/share/keyrings/debian-archive-keyring.gpg");
            let suite = apt::HostApt::read()?
                .with_keyring(keyring)
                .suite(new, &["trixie", "trixie-backports"])?;
            suite.fetch(QEMU, Some("trixie-backports"))?;
            suite.fetch(GUEST, None)?;
            suite.fetch_alone(&suite.depends_on(
                "linux-image-amd64",
                "trixie",
                "linux-image-",
            )?)?;
            suite.unpack()
        })?;
        has_vfio_user(&trixie)?;

        let (release, vmlinux) = kernel::extract(&dir, &trixie)?;
        let archives = dir.join("archives");
        fs::create_dir_all(&archives)?;
        initramfs::modules(&archives, &trixie, &release)?;
        initramfs::user_space(&archives, &trixie, &bookworm)?;
        let tool = build_tool(target)?;
        initramfs::tool(&archives, &tool)?;
        Ok(Provisions { dir, trixie, vmlinux, release, tool, archives })
    }

    /// Writes the archive a guest boots from, with further files (path and contents).
    pub fn initrd(&self, files: &[(String, Vec<u8>)], to: &Path) -> Result<()> {
        initramfs::join(&self.archives, &self.release, files, to)
    }
}

/// Checks that this machine can run the lab.
fn check_machine(target: &Path) -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!(LabUnavailable("the lab runs on x86-64 Linux only".into()));
    }
    for program in ["apt-get", "apt-config", "apt-cache", "dpkg-deb", "setpriv", "taskset"] {
        if !is_installed(program) {
            bail!(LabUnavailable(format!(
                "{program} is not installed: the lab is made from Debian's packages"
            )));
        }
    }
    fs::create_dir_all(target)?;
    let free = nix::sys::statvfs::statvfs(target)?;
    let bytes = free.blocks_available() * free.fragment_size();
    if bytes < FREE && !target.join("hwtests/trixie").exists() {
        bail!(LabUnavailable(format!(
            "{} MB free below {}, the lab needs {}",
            bytes / 1_000_000,
            target.display(),
            FREE / 1_000_000
        )));
    }
    Ok(())
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(sbin).any(|dir| dir.join(program).is_file())
}

/// Checks that QEMU has the device for served cards.
fn has_vfio_user(trixie: &Tree) -> Result<()> {
    let mut command = trixie.command("usr/bin/qemu-system-x86_64")?;
    let out = command.args(["-device", "help"]).output()?;
    if !String::from_utf8_lossy(&out.stdout).contains("\"vfio-user-pci\"") {
        bail!(
            "the provisioned QEMU has no vfio-user-pci: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(())
}

/// Targets of static programs: musl by itself, glibc on request.
const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Builds `cx3flash` as a release with debug assertions, without which it knows no other host than the real
/// one, into the workspace's target directory, as a static program:
/// behind a loader of the host, `/proc/self/exe`, by which the tool starts itself for writes to
/// sysfs, would be that loader.
pub fn build_tool(target: &Path) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--profile", "lab", "--package", "cx3flash"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target);
    let triple = if has_musl() { MUSL } else { GLIBC };
    command.args(["--target", triple]);
    if triple == GLIBC {
        command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let status = command.status()?;
    if !status.success() {
        bail!("building cx3flash ended with {status}");
    }
    Ok(target.join(triple).join("lab/cx3flash"))
}

/// Whether the standard library for [`MUSL`] is installed.
fn has_musl() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).args(["--print", "target-libdir", "--target", MUSL]).output();
    out.is_ok_and(|out| {
        out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir()
    })
}
