//! Everything the lab needs, made from Debian's packages below the workspace's target directory.
//!
//! Nothing is installed and nothing on the host is changed: packages are fetched with the machine's own apt into
//! private directories and unpacked into two trees, of which programs run through their own dynamic loader. What is
//! made once is kept; each part appears under its final name by one rename, so an interrupted run leaves nothing
//! that looks finished.

mod apt;
mod initramfs;
mod kernel;
mod libraries;
mod tool;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};

pub use initramfs::Flavour;
pub use kernel::payload;
pub use libraries::needed_of as needed_libraries;
pub use tree::Tree;

/// Raised whenever what is made from the same packages changes.
const RECIPE: u32 = 3;

/// Bytes that must be free before anything is fetched: 190 MB of packages, their trees and the archives.
const ROOM: u64 = 1_500_000_000;

/// What the trees hold. QEMU comes from backports: trixie's own has no `vfio-user-pci` (docs/lab.md#pieces).
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
const WITNESS: &[&str] = &["mstflint", "debian-archive-keyring"];

/// A reason why the lab cannot run here. It is not a failure: the scenarios are reported as ignored with it.
#[derive(Debug)]
pub struct Impossible(pub String);

impl std::fmt::Display for Impossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

/// The finished parts.
#[derive(Debug, Clone)]
pub struct Provisions {
    /// Where it all lies; guests keep their logs below it.
    pub dir: PathBuf,
    /// QEMU, the programs of the guest, and xz and zstd for the host.
    pub trixie: Tree,
    /// mstflint 4.21.
    pub bookworm: Tree,
    /// The kernel as an uncompressed ELF file.
    pub vmlinux: PathBuf,
    /// `uname -r` of the guest.
    pub release: String,
    /// The built tool: static where it can be, and what the host side of the lab runs, too.
    pub tool: PathBuf,
    archives: PathBuf,
}

impl Provisions {
    /// Makes or finds everything below `target`.
    ///
    /// # Errors
    ///
    /// [`Impossible`] inside where this machine cannot run the lab; anything else is a failure of the lab itself.
    pub fn make(target: &Path) -> Result<Provisions> {
        let dir = target.join("hwtests");
        able(target)?;
        fs::create_dir_all(&dir)?;
        // Two runs at once would fetch everything twice, and the second would find half of the first.
        let lock = fs::File::create(dir.join("lock"))?;
        let _held = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .context("lock of the lab's directory")?;

        let apt = || apt::Machine::read();
        let bookworm = Tree::at(&dir, "bookworm", RECIPE, |new| {
            let suite = apt()?.suite(new, &["bookworm"])?;
            suite.fetch(WITNESS, None)?;
            suite.unpack()
        })?;
        let trixie = Tree::at(&dir, "trixie", RECIPE, |new| {
            // An older host's keyring may not know the newer release yet; the package of its own release does.
            let keyring = bookworm.path("usr/share/keyrings/debian-archive-keyring.gpg");
            let suite = apt()?
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
        let tool = tool::build(target)?;
        initramfs::tool(&archives, &tool)?;
        Ok(Provisions {
            dir,
            trixie,
            bookworm,
            vmlinux,
            release,
            tool,
            archives,
        })
    }

    /// The built tool without the lab around it: what a card bench needs.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub fn tool_alone(target: &Path) -> Result<PathBuf> {
        tool::build(target)
    }

    /// Writes the archive a guest boots from: the parts of its flavour joined.
    ///
    /// # Errors
    ///
    /// When a part cannot be read or the file not be written.
    pub fn initrd(&self, flavour: &Flavour, to: &Path) -> Result<()> {
        initramfs::join(&self.archives, &self.release, flavour, to)
    }
}

/// Whether this machine can run the lab at all.
fn able(target: &Path) -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!(Impossible("the lab runs on x86-64 Linux only".into()));
    }
    for program in [
        "apt-get",
        "apt-config",
        "apt-cache",
        "dpkg-deb",
        "setpriv",
        "taskset",
    ] {
        if which(program).is_none() {
            bail!(Impossible(format!(
                "{program} is not here: the lab is made from Debian's packages"
            )));
        }
    }
    fs::create_dir_all(target)?;
    let free = nix::sys::statvfs::statvfs(target)?;
    let bytes = free.blocks_available() * free.fragment_size();
    if bytes < ROOM && !target.join("hwtests/trixie").exists() {
        bail!(Impossible(format!(
            "{} MB free below {}, the lab needs {}",
            bytes / 1_000_000,
            target.display(),
            ROOM / 1_000_000
        )));
    }
    Ok(())
}

/// A program of this machine.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// QEMU knows the device that everything rests on.
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

/// Makes `name` in `dir` by one rename, unless it is there already.
fn once(dir: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let done = dir.join(name);
    if !done.exists() {
        let part = dir.join(format!(".{name}.part"));
        let _ = fs::remove_dir_all(&part);
        let _ = fs::remove_file(&part);
        make(&part).with_context(|| format!("making {}", done.display()))?;
        fs::rename(&part, &done)?;
    }
    Ok(done)
}
