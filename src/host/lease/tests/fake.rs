//! A kernel for a host made of files: `bind`, `unbind`, `driver_override`, `remove`, `rescan` and
//! module parameters do to the tree what Linux does (docs/linux.md#binding,
//! docs/linux.md#mlx4_core), and can fail, hang, or die with the process at any action.

mod changes;

use crate::card::Clock;
use crate::host::journal::Journal;
use crate::host::lease::actions::{Actions, BIND_LIMIT};
use crate::host::lease::lock::{self, Lock};
use crate::host::lease::{Lease, LeaseError};
use crate::host::tests::fake::{CARD, FakeHost, bdf};
use crate::host::{PciCard, sysfs};
use rustix::fs::FlockOperation;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The other function of the card's IOMMU group, where a test has one.
pub(super) const SIBLING: &str = "0000:05:00.1";
/// The card's virtual function, where a test has one.
pub(super) const VF: &str = "0000:05:00.4";
pub(super) const GUARD: &str = "/sys/module/mlx4_core/parameters/internal_err_reset";

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before the action had any effect.
    Before,
    /// After it took effect.
    After,
}

/// Operations that fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    /// A reading of sysfs instead of an action.
    pub(super) reading: bool,
    /// Its number.
    pub(super) at: usize,
    pub(super) errno: i32,
    /// And everything after it.
    pub(super) for_ever: bool,
}

#[derive(Default)]
struct FakeState {
    /// Actions so far.
    count: usize,
    /// Readings of sysfs so far.
    readings: usize,
    failing: Option<Failing>,
    /// Everything fails now.
    broken: bool,
    kill: Option<(usize, Cut)>,
    dead: bool,
    /// End of a path, errno, and how many writes to it still fail with it.
    errnos: Vec<(&'static str, i32, usize)>,
    /// Ends of paths whose writes never return, and modules whose loading does not.
    hangs: Vec<&'static str>,
    /// Modules that modprobe does not find.
    absent: Vec<&'static str>,
    /// Writes to `driver_override` change nothing.
    stubborn: bool,
    /// Netdevs by port, as they come back.
    names: [&'static str; 2],
    /// Ids after the next rescan.
    rescanned_as: u16,
    /// Driver that the kernel binds in the next rescan.
    rescan_binds: Option<&'static str>,
    /// The actions, in words.
    log: Vec<String>,
    waited: Duration,
    /// How long a write takes that fails.
    failures_take: Duration,
    /// A lock that another process holds until the first pause.
    others: Option<Box<dyn std::any::Any>>,
    /// Every lock file fails with this errno.
    no_locks: Option<i32>,
    /// Called before each step with its name; true kills the process there.
    pause: Option<Rc<Pause>>,
    /// Before each operation on the journal's files, too.
    each_operation: bool,
    /// A probe that outlives its process, with the lock its helper has inherited.
    orphan: Option<Option<Lock>>,
}

/// Called before each step with its name; true kills the process there.
type Pause = dyn Fn(&str) -> bool;

pub(super) struct Kernel {
    pub(super) files: FakeHost,
    /// The card of the process, and its RDMA device.
    card: &'static str,
    rdma: &'static str,
    state: RefCell<FakeState>,
}

impl Kernel {
    /// A host with a two-port card on mlx4_core, first boot.
    pub(super) fn new() -> Rc<Self> {
        let files = FakeHost::new();
        files.ethernet_card();
        files.write("/proc/sys/kernel/random/boot_id", "first\n");
        files.write(GUARD, "1\n");
        for driver in ["mlx4_core", "vfio-pci", "ahci"] {
            files.mkdir(&format!("/sys/bus/pci/drivers/{driver}"));
            files.write(&format!("/sys/bus/pci/drivers/{driver}/bind"), "");
            files.write(&format!("/sys/bus/pci/drivers/{driver}/unbind"), "");
        }
        Rc::new(Self {
            files,
            card: CARD,
            rdma: "mlx4_0",
            state: RefCell::new(FakeState {
                names: ["enp5s0", "enp5s0d1"],
                rescanned_as: 0x1003,
                ..FakeState::default()
            }),
        })
    }

    /// What a process with one of two cards of a host sees. `pause` is called before each step.
    pub(super) fn shared(
        files: FakeHost,
        card: &'static str,
        pause: impl Fn(&str) -> bool + 'static,
    ) -> Rc<Self> {
        let (names, rdma) = Self::ports(card);
        Rc::new(Self {
            files,
            card,
            rdma,
            state: RefCell::new(FakeState {
                names,
                pause: Some(Rc::new(pause)),
                ..FakeState::default()
            }),
        })
    }

    /// Network and RDMA devices of a card.
    pub(super) fn ports(card: &str) -> ([&'static str; 2], &'static str) {
        match card {
            CARD => (["enp5s0", "enp5s0d1"], "mlx4_0"),
            _ => (["enp6s0", "enp6s0d1"], "mlx4_1"),
        }
    }

    /// The same with a SATA controller in the card's group, and a virtual function on a driver of
    /// its own that the kernel would not choose.
    pub(super) fn crowded() -> Rc<Self> {
        let kernel = Self::new();
        let files = &kernel.files;
        files.pci(SIBLING, 0x8086, 0x2922, 0x01_06_01);
        files.driver(SIBLING, Some("ahci"));
        files.group(17, &[CARD, SIBLING]);
        kernel.make_vf();
        files.write(&format!("{}/driver_override", files.device(VF)), "vfio-pci\n");
        files.driver(VF, Some("vfio-pci"));
        kernel
    }

    fn make_vf(&self) {
        self.files.vf(CARD, 0, VF, None);
        self.files.group(18, &[VF]);
    }

    pub(super) fn host(&self) -> crate::host::Host {
        self.files.host()
    }

    pub(super) fn card(&self) -> PciCard {
        self.host().card(bdf(self.card)).unwrap()
    }

    pub(super) fn take(self: &Rc<Self>) -> Result<Lease, LeaseError> {
        Lease::take_by(&self.host(), &self.card(), true, self.clone())
    }

    pub(super) fn adopt(self: &Rc<Self>) -> Result<Option<Lease>, LeaseError> {
        self.adopt_from(&Journal::of(&self.host(), bdf(self.card)))
    }

    pub(super) fn adopt_from(
        self: &Rc<Self>,
        journal: &Journal,
    ) -> Result<Option<Lease>, LeaseError> {
        Lease::adopt_by(&self.host(), journal, self.clone())
    }

    /// `host restore` in a new process.
    pub(super) fn restore(self: &Rc<Self>) -> Result<Option<Vec<String>>, LeaseError> {
        self.revive();
        match self.adopt()? {
            Some(mut lease) => lease.give_back().map(Some),
            None => Ok(None),
        }
    }

    /// A new process: nothing kills it.
    pub(super) fn revive(&self) {
        let mut state = self.state.borrow_mut();
        state.dead = false;
        state.kill = None;
    }

    pub(super) fn kill_at(&self, action: usize, cut: Cut) {
        self.state.borrow_mut().kill = Some((action, cut));
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state.borrow().dead
    }

    pub(super) fn actions(&self) -> usize {
        self.state.borrow().count
    }

    pub(super) fn fail(&self, path: &'static str, errno: i32) {
        self.fail_times(path, errno, usize::MAX);
    }

    pub(super) fn fail_times(&self, path: &'static str, errno: i32, times: usize) {
        self.state.borrow_mut().errnos.push((path, errno, times));
    }

    pub(super) fn no_lock_files(&self, errno: i32) {
        self.state.borrow_mut().no_locks = Some(errno);
    }

    /// Makes one operation fail, or all from there on, until the kernel is healed.
    pub(super) fn fail_at(self: &Rc<Self>, failing: Failing) {
        let mut state = self.state.borrow_mut();
        (state.count, state.readings, state.failing) = (0, 0, Some(failing));
        let kernel = Rc::downgrade(self);
        sysfs::BEFORE_READING.set(Some(Rc::new(move || match kernel.upgrade() {
            Some(kernel) => kernel.works(true),
            None => Ok(()),
        })));
    }

    /// Actions and readings since [`Kernel::fail_at`].
    pub(super) fn operations(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (state.count, state.readings)
    }

    fn works(&self, reading: bool) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.readings += usize::from(reading);
        let number = if reading { state.readings } else { state.count };
        let Some(failing) = state.failing else {
            return Ok(());
        };
        let hit = failing.reading == reading && failing.at == number;
        state.broken |= hit && failing.for_ever;
        if hit || state.broken {
            return Err(io::Error::from_raw_os_error(failing.errno));
        }
        Ok(())
    }

    pub(super) fn heal(&self) {
        sysfs::BEFORE_READING.set(None);
        let mut state = self.state.borrow_mut();
        state.failing = None;
        state.broken = false;
        state.errnos.clear();
        state.hangs.clear();
        state.absent.clear();
        state.stubborn = false;
    }

    pub(super) fn hang(&self, path: &'static str) {
        self.state.borrow_mut().hangs.push(path);
    }

    pub(super) fn absent(&self, module: &'static str) {
        self.files.remove(&format!("/sys/bus/pci/drivers/{module}"));
        self.state.borrow_mut().absent.push(module);
    }

    pub(super) fn stubborn_override(&self) {
        self.state.borrow_mut().stubborn = true;
    }

    pub(super) fn netdevs_return_as(&self, names: [&'static str; 2]) {
        self.state.borrow_mut().names = names;
    }

    pub(super) fn rescanned_as(&self, device: u16) {
        self.state.borrow_mut().rescanned_as = device;
    }

    pub(super) fn rescan_binds(&self, driver: Option<&'static str>) {
        self.state.borrow_mut().rescan_binds = driver;
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.state.borrow().log.clone()
    }

    pub(super) fn held_until_a_pause(&self, lock: impl std::any::Any) {
        self.state.borrow_mut().others = Some(Box::new(lock));
    }

    pub(super) fn failures_take(&self, time: Duration) {
        self.state.borrow_mut().failures_take = time;
    }

    pub(super) fn waited(&self) -> Duration {
        self.state.borrow().waited
    }

    pub(super) fn driver_of(&self, bdf: &str) -> Option<String> {
        let link = fs::read_link(self.files.at(&format!("{}/driver", self.files.device(bdf))));
        Some(link.ok()?.file_name()?.to_str()?.to_owned())
    }

    pub(super) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.files.at(path)).unwrap()
    }

    pub(super) fn set_override(&self, bdf: &str, text: &str) {
        let path = format!("{}/driver_override", self.files.device(bdf));
        self.files.write(&path, format!("{text}\n"));
    }

    /// Reboots the machine: the kernel binds drivers by itself.
    pub(super) fn reboot(&self, driver: Option<&str>) {
        self.files.write("/proc/sys/kernel/random/boot_id", "second\n");
        self.files.write(GUARD, "1\n");
        self.set_override(CARD, "(null)");
        if self.driver_of(CARD).is_some() {
            self.detach(CARD);
        }
        if let Some(driver) = driver {
            self.attach(CARD, driver);
        }
    }

    /// Everything below /sys.
    pub(super) fn sys(&self) -> BTreeMap<PathBuf, String> {
        self.files.sys()
    }

    /// Number of journals.
    pub(super) fn journals(&self) -> usize {
        self.names_of_journals().iter().filter(|name| !name.starts_with('.')).count()
    }

    /// Files in the directory of journals, hidden ones too.
    pub(super) fn names_of_journals(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.host().journal_dir()) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Step of the record that is about to be renamed.
    fn unfinished_step(&self) -> String {
        let own = format!(".{}.", self.card);
        let mut names = self.names_of_journals();
        names.retain(|name| name.ends_with(".json.new"));
        // A journal that follows its card has another address.
        names.sort_by_key(|name| name.starts_with(&own));
        let path = self.host().journal_dir().join(names.pop().unwrap());
        let file: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        file["record"]["step"].as_str().unwrap().to_owned()
    }

    /// One action of the process; what it does happens in `act`.
    fn action<T>(&self, what: String, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.is_dead() || self.pause(&what) {
            return Err(io::Error::other("the process is dead"));
        }
        let cut = {
            let mut state = self.state.borrow_mut();
            state.count += 1;
            state.log.push(what);
            let cut = state.kill.filter(|(at, _)| *at == state.count);
            state.dead = cut.is_some();
            cut.map(|(_, cut)| cut)
        };
        match cut {
            None => return self.works(false).and_then(|()| act()),
            Some(Cut::Before) => {}
            Some(Cut::After) => {
                let _ = act();
            }
        }
        Err(io::Error::other("killed"))
    }

    /// Whether the process is killed here.
    fn pause(&self, what: &str) -> bool {
        // Between the operations of one record nothing else can be seen.
        if what.starts_with("journal: ") && !self.state.borrow().each_operation {
            return false;
        }
        let pause = self.state.borrow().pause.clone();
        let killed = pause.is_some_and(|pause| pause(what));
        self.state.borrow_mut().dead |= killed;
        killed
    }

    /// A probe of mlx4_core takes time: other processes go on, and this one may be killed.
    fn probe(&self, helper: Option<Lock>) -> io::Result<()> {
        let mark = format!("/run/probing/{}", self.card);
        assert_eq!(self.text(GUARD), "0\n", "at the begin of a probe");
        self.files.write(&mark, "");
        if self.pause("probe") {
            self.state.borrow_mut().orphan = Some(helper);
            return Err(io::Error::other("killed"));
        }
        self.end_of_probe();
        Ok(())
    }

    fn end_of_probe(&self) {
        assert_eq!(self.text(GUARD), "0\n", "at the end of a probe");
        self.files.remove(&format!("/run/probing/{}", self.card));
        self.attach(self.card, "mlx4_core");
    }

    /// Does something once, before the first step whose name ends so.
    pub(super) fn at_step(&self, end: &'static str, act: impl FnOnce() + 'static) {
        let act = RefCell::new(Some(act));
        let mut state = self.state.borrow_mut();
        state.each_operation = true;
        state.pause = Some(Rc::new(move |what| {
            if what.ends_with(end)
                && let Some(act) = act.borrow_mut().take()
            {
                act();
            }
            false
        }));
    }

    /// Ends a probe whose process was killed.
    pub(super) fn end_orphan(&self) {
        let orphan = self.state.borrow_mut().orphan.take();
        if let Some(helper) = orphan {
            self.revive();
            if !self.pause("probe of a dead process") {
                self.end_of_probe();
            }
            drop(helper);
        }
    }
}

/// Only pauses take time.
impl Clock for Kernel {
    fn now(&self) -> Duration {
        self.waited()
    }

    fn sleep(&self, time: Duration) {
        self.pause("sleep");
        let mut state = self.state.borrow_mut();
        state.waited += time;
        if state.others.take().is_some() {
            state.log.push("another process is done".into());
        }
    }
}

impl Actions for Kernel {
    fn write_within(
        &self,
        attribute: &Path,
        value: &str,
        _: Duration,
        held: Option<&File>,
    ) -> io::Result<()> {
        // An address of the tree, as on a real host.
        let root = self.files.at("/");
        let path = format!("/{}", attribute.strip_prefix(root).unwrap().display());
        let entry = format!("{value:?} > {path}");
        self.action(entry, || {
            let fits = |end: &&str| path.ends_with(*end);
            let mut state = self.state.borrow_mut();
            if state.hangs.iter().any(&fits) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let takes = state.failures_take;
            let mut errnos = state.errnos.iter_mut();
            if let Some((_, errno, times)) = errnos.find(|(end, _, times)| *times > 0 && fits(end))
            {
                *times -= 1;
                let error = io::Error::from_raw_os_error(*errno);
                state.waited += takes;
                return Err(error);
            }
            drop(state);
            self.store(&path, value, held)
        })
    }

    fn modprobe(&self, module: &str) -> io::Result<()> {
        self.action(format!("modprobe {module}"), || {
            if self.state.borrow().hangs.contains(&module) {
                self.state.borrow_mut().waited += BIND_LIMIT;
                return Err(io::ErrorKind::TimedOut.into());
            }
            if self.state.borrow().absent.contains(&module) {
                return Err(io::Error::other("FATAL: Module not found"));
            }
            if ["mlx4_core", "vfio-pci", "ahci"].contains(&module) {
                self.files.mkdir(&format!("/sys/bus/pci/drivers/{module}"));
            }
            Ok(())
        })
    }

    fn clock(&self) -> &dyn Clock {
        self
    }

    fn lock(&self, path: &Path, arg: FlockOperation, mode: u32) -> io::Result<Option<Lock>> {
        let name = path.file_name().unwrap().to_string_lossy();
        let errno = self.state.borrow().no_locks;
        self.action(format!("lock {name}"), || match errno {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => lock::acquire(path, arg, mode),
        })
    }

    fn note(&self, lock: &Lock, text: &str) -> io::Result<()> {
        self.action(format!("note {text:?}"), || lock::write_note(lock, text))
    }

    fn before_disk(&self, operation: &'static str) -> io::Result<()> {
        let what = match operation {
            "rename it" => format!("record {}", self.unfinished_step()),
            "remove it" => "forget".to_owned(),
            other => format!("journal: {other}"),
        };
        self.action(what, || Ok(()))
    }
}

impl FakeHost {
    /// Everything below /sys, the same for equal hosts: files with their text, links with their targets.
    pub(super) fn sys(&self) -> BTreeMap<PathBuf, String> {
        let mut tree = BTreeMap::new();
        walk(&self.at("/sys"), &mut tree);
        let root = self.at("/");
        let relative = |path: PathBuf| path.strip_prefix(&root).unwrap().to_owned();
        tree.into_iter().map(|(path, text)| (relative(path), text)).collect()
    }
}

pub(super) fn walk(dir: &Path, tree: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            tree.insert(path, format!("-> {}", target.display()));
        } else if path.is_dir() {
            tree.insert(path.clone(), "/".into());
            walk(&path, tree);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            tree.insert(path, text);
        }
    }
}

/// What differs between two trees; empty when nothing does.
pub(super) fn differences(
    was: &BTreeMap<PathBuf, String>,
    is: &BTreeMap<PathBuf, String>,
) -> Vec<String> {
    let mut all: Vec<&PathBuf> = was.keys().chain(is.keys()).collect();
    all.sort();
    all.dedup();
    all.into_iter()
        .filter(|path| was.get(*path) != is.get(*path))
        .map(|p| format!("{}: {:?} -> {:?}", p.display(), was.get(p), is.get(p)))
        .collect()
}
