//! QEMU's command line (lab-recipe §3).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::provision::Provisions;

/// What the kernel is told in every guest: nothing that is not needed, no waiting (lab-recipe §2).
const APPEND: &str = "console=ttyS0 quiet mitigations=off nokaslr audit=0 tsc=reliable no_timer_check \
    random.trust_cpu=on cryptomgr.notests initcall_blacklist=jent_mod_init,crypto_kdf108_init \
    rcupdate.rcu_expedited=1 panic=-1";

/// Memory of a guest in MiB: the unpacked archives and a few backups of 2 MiB.
const MEMORY: u32 = 768;

/// Where a served card sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Behind a root port of its own, alone in its IOMMU group.
    Alone,
    /// Below a switch without access control (ACS), next to a virtio device: all below such a switch share a group, as
    /// cards behind the chipset of cheap boards do (linux-vfio §3.3).
    WithSibling,
}

/// The machine of one guest.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Added to the kernel's command line, as `lockdown=integrity`.
    pub append: String,
    /// Whether there is an IOMMU; a host without one has no IOMMU groups.
    pub iommu: bool,
    /// The served cards, in the order of their buses: socket, place, and a device id to show instead of the card's own.
    pub cards: Vec<(PathBuf, Slot, Option<u16>)>,
}

impl Machine {
    /// All arguments behind the program's name.
    pub(super) fn arguments(
        &self,
        provisions: &Provisions,
        dir: &Path,
        initrd: &Path,
    ) -> Vec<OsString> {
        let at = |name: &str| dir.join(name).display().to_string();
        let mut out: Vec<OsString> = Vec::new();
        let mut add = |words: &str| out.extend(words.split_whitespace().map(OsString::from));
        add("-nodefaults -no-user-config -display none -no-reboot -smp 1");
        // SVM in TCG lets kvm_amd load: the KVM probe runs for real.
        add("-accel tcg,thread=multi,tb-size=256 -cpu max,pmu=off");
        add(&format!("-m {MEMORY}M"));
        add(&format!(
            "-object memory-backend-memfd,id=ram,size={MEMORY}M,share=on"
        ));
        add(
            "-machine q35,memory-backend=ram,hpet=off,smm=off,i8042=off,vmport=off,sata=off,smbus=off,graphics=off",
        );
        if self.iommu {
            // Before the cards; without caching-mode QEMU aborts when the guest enables it (lab-recipe §3).
            add("-device intel-iommu,intremap=on,caching-mode=on");
        }
        add("-device virtio-serial-pci,disable-legacy=on");
        add("-device virtserialport,chardev=lab,name=lab");
        add("-device virtserialport,chardev=when,name=when");
        for (n, (socket, slot, shown)) in self.cards.iter().enumerate() {
            add(&slot.ports(n));
            add("-device");
            // The socket's address is a structure, so the device must be given as JSON (lab-recipe §3). The time
            // limit of an answer is raised: a loaded machine is not a dead server.
            let shown = shown.map_or(String::new(), |id| format!(r#","x-pci-device-id":{id}"#));
            add(&format!(
                r#"{{"driver":"vfio-user-pci","id":"card{n}","bus":"rp{n}"{shown},"x-msg-timeout":60000,"socket":{{"type":"unix","path":"{}"}}}}"#,
                socket.display()
            ));
        }
        let mut push = |option: &str, value: String| {
            out.push(option.into());
            out.push(value.into());
        };
        push(
            "-chardev",
            format!("socket,id=lab,path={},server=on,wait=off", at("port")),
        );
        push(
            "-chardev",
            format!("socket,id=when,path={},server=on,wait=off", at("when")),
        );
        push(
            "-chardev",
            format!("file,id=con,path={}", at("console.log")),
        );
        push("-serial", "chardev:con".into());
        push(
            "-monitor",
            format!("unix:{},server=on,wait=off", at("monitor")),
        );
        push(
            "-L",
            provisions
                .trixie
                .path("usr/share/qemu")
                .display()
                .to_string(),
        );
        push(
            "-L",
            provisions
                .trixie
                .path("usr/share/seabios")
                .display()
                .to_string(),
        );
        push("-kernel", provisions.vmlinux.display().to_string());
        push("-initrd", initrd.display().to_string());
        push("-append", format!("{APPEND} {}", self.append));
        out
    }
}

impl Slot {
    /// The ports of card `n`, whose bus is `rpN`.
    fn ports(self, n: usize) -> String {
        let (addr, chassis) = (n + 2, 10 * (n + 1));
        let root = |id: &str| {
            format!(
                "-device pcie-root-port,id={id},chassis={chassis},slot={chassis},bus=pcie.0,addr={addr} "
            )
        };
        let below = |id: &str, at: usize| {
            let slot = chassis + 1 + at;
            format!(
                "-device xio3130-downstream,id={id},chassis={slot},slot={slot},bus=up{n},addr={at} "
            )
        };
        match self {
            Slot::Alone => root(&format!("rp{n}")),
            Slot::WithSibling => {
                root(&format!("root{n}"))
                    + &format!("-device x3130-upstream,id=up{n},bus=root{n} ")
                    + &below(&format!("rp{n}"), 0)
                    + &below(&format!("side{n}"), 1)
                    + &format!("-device virtio-rng-pci,bus=side{n}")
            }
        }
    }
}
