//! QEMU's command line (docs/lab.md#qemu-options).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::provision::Provisions;

/// What the kernel is told in every guest: nothing that is not needed, no waiting (docs/lab.md#fast-boot).
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
    /// With a virtio device as its second function: functions of one device without access control (ACS) between them
    /// share a group.
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
            // Before the cards; without caching-mode QEMU aborts when the guest enables it (docs/lab.md#qemu-options).
            add("-device intel-iommu,intremap=on,caching-mode=on");
        }
        add("-device virtio-serial-pci,disable-legacy=on");
        add("-device virtserialport,chardev=lab,name=lab");
        add("-device virtserialport,chardev=when,name=when");
        for (n, (socket, slot, shown)) in self.cards.iter().enumerate() {
            let (addr, chassis) = (n + 2, n + 1);
            add(&format!(
                "-device pcie-root-port,id=rp{n},chassis={chassis},slot={chassis},bus=pcie.0,addr={addr}"
            ));
            add("-device");
            // The socket's address is a structure, so the device must be given as JSON (docs/lab.md#qemu-options). The time
            // limit of an answer is raised: a loaded machine is not a dead server.
            let place = slot.place();
            let shown = shown.map_or(String::new(), |id| format!(r#","x-pci-device-id":{id}"#));
            add(&format!(
                r#"{{"driver":"vfio-user-pci","id":"card{n}","bus":"rp{n}"{place}{shown},"x-msg-timeout":60000,"socket":{{"type":"unix","path":"{}"}}}}"#,
                socket.display()
            ));
            if let Some(beside) = slot.beside(n) {
                add(&beside);
            }
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
    /// The properties of the card that say where on its bus it sits.
    fn place(self) -> &'static str {
        match self {
            Slot::Alone => "",
            Slot::WithSibling => r#","addr":"0.0","multifunction":true"#,
        }
    }

    /// What shares the bus `rpN` with the card.
    fn beside(self, n: usize) -> Option<String> {
        (self == Slot::WithSibling).then(|| format!("-device virtio-rng-pci,bus=rp{n},addr=0.1"))
    }
}
