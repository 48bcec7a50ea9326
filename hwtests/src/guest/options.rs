//! QEMU's command line (docs/lab.md#qemu-options).

use std::path::{Path, PathBuf};

use crate::provision::Provisions;

/// The kernel's command line in every guest (docs/lab.md#fast-boot). Not `tsc=reliable`: on a busy host the kernel
/// measured a clock that ran seven times too fast, which it notices by itself.
const APPEND: &str = "console=ttyS0 quiet mitigations=off nokaslr audit=0 no_timer_check \
    random.trust_cpu=on cryptomgr.notests initcall_blacklist=jent_mod_init,crypto_kdf108_init \
    rcupdate.rcu_expedited=1 panic=-1";

/// Memory of a guest in MiB: the unpacked archives and a few backups of 2 MiB.
const MEMORY: u32 = 768;

/// Where a served card sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardSlot {
    /// Behind a root port of its own, alone in its IOMMU group.
    Alone,
    /// With a virtio device as its second function: functions of one device without access control
    /// (ACS) between them share a group.
    WithSibling,
}

/// The machine of one guest.
#[derive(Debug, Clone, Default)]
pub struct GuestMachine {
    /// Added to the kernel's command line, as `lockdown=integrity`.
    pub append: &'static str,
    pub iommu: bool,
    /// The served cards, in the order of their buses: socket, slot, and a device id to show instead
    /// of the card's own.
    pub cards: Vec<(PathBuf, CardSlot, Option<u16>)>,
}

impl GuestMachine {
    /// QEMU's arguments.
    pub(super) fn arguments(
        &self,
        provisions: &Provisions,
        dir: &Path,
        initrd: &Path,
    ) -> Vec<String> {
        let at = |name: &str| dir.join(name).display().to_string();
        let share = |name: &str| provisions.trixie.path(name).display().to_string();
        // SVM in TCG lets kvm_amd load, which the KVM probe needs.
        let mut words = format!(
            "-nodefaults -no-user-config -display none -no-reboot -smp 1 \
             -accel tcg,thread=multi,tb-size=256 -cpu max,pmu=off -m {MEMORY}M \
             -object memory-backend-memfd,id=ram,size={MEMORY}M,share=on \
             -machine q35,memory-backend=ram,hpet=off,smm=off,i8042=off,vmport=off,sata=off,smbus=off,graphics=off"
        );
        if self.iommu {
            // Before the cards; without caching-mode QEMU aborts when the guest enables it
            // (docs/lab.md#qemu-options).
            words += " -device intel-iommu,intremap=on,caching-mode=on";
        }
        words += " -device virtio-serial-pci,disable-legacy=on \
                  -device virtserialport,chardev=lab,name=lab \
                  -device virtserialport,chardev=when,name=when";
        for n in 0..self.cards.len() {
            let (addr, chassis) = (n + 2, n + 1);
            words += &format!(
                " -device pcie-root-port,id=rp{n},chassis={chassis},slot={chassis},bus=pcie.0,addr={addr}"
            );
        }
        let mut out: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let mut push = |option: &str, value: String| out.extend([option.to_owned(), value]);
        for (n, (socket, slot, shown)) in self.cards.iter().enumerate() {
            let place = match slot {
                CardSlot::Alone => "",
                CardSlot::WithSibling => r#","addr":"0.0","multifunction":true"#,
            };
            let shown = shown.map_or(String::new(), |id| format!(r#","x-pci-device-id":{id}"#));
            // The socket's address is a structure, so the device is given as JSON
            // (docs/lab.md#qemu-options). The time limit of an answer is raised: a server on a
            // loaded machine is slow.
            push(
                "-device",
                format!(
                    r#"{{"driver":"vfio-user-pci","id":"card{n}","bus":"rp{n}"{place}{shown},"x-msg-timeout":60000,"socket":{{"type":"unix","path":"{}"}}}}"#,
                    socket.display()
                ),
            );
            if *slot == CardSlot::WithSibling {
                push("-device", format!("virtio-rng-pci,bus=rp{n},addr=0.1"));
            }
        }
        for (id, path) in [("lab", "port"), ("when", "when")] {
            let path = at(path);
            push("-chardev", format!("socket,id={id},path={path},server=on,wait=off"));
        }
        push("-chardev", format!("file,id=con,path={}", at("console.log")));
        push("-serial", "chardev:con".into());
        push("-monitor", format!("unix:{},server=on,wait=off", at("monitor")));
        push("-L", share("usr/share/qemu"));
        push("-L", share("usr/share/seabios"));
        push("-kernel", provisions.vmlinux.display().to_string());
        push("-initrd", initrd.display().to_string());
        push("-append", format!("{APPEND} {}", self.append));
        out
    }
}
