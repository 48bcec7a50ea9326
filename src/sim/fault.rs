//! Faults, seeded and listed (docs/hardware.md#requirements-for-an-emulator item 12).

use crate::card::BarAccess;
use crate::image::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One thing that goes wrong. Several can wait at a time; each is used up when it has happened,
/// and [`super::SimCard::power_cycle`] takes them all away; only [`Fault::Firmware`], which belongs to
/// an image, stays.
///
/// `op` is the number of a mutating flash operation (each sector erase, each page or byte program,
/// each status write) of this power-on, from 1. `after` counts what comes before the fault, from the
/// moment it is added, or from the opening of the card file it waits in; 0 = the very next one.
/// Gateway data reads are all commands that bring data in: flash contents, but also RDID and RDSR.
/// A fault of a register access counts accesses, and with `at` is the first one behind `after` to this
/// register.
/// `bit` is a number inside what is programmed, erased or transferred (modulo its length): byte
/// `bit / 8`, counted from the least significant bit.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Power fails during operation `op`: the page or sector is left torn, and nothing answers until
    /// [`super::SimCard::power_cycle`]. `seed` decides which bits are done; some seeds leave nothing
    /// done, some everything. Operation 0: before the next one, nothing of which is done.
    PowerCut { op: u64, seed: u64 },
    /// As [`Fault::PowerCut`], and some cells are left between two states: each time they are read
    /// they may read differently, until they are erased or programmed completely. An image with such a cell does
    /// not count as one that boots.
    MarginalCut { op: u64, seed: u64 },
    /// The supply of the flash chip sags during operation `op`, which is left as by
    /// [`Fault::MarginalCut`], or with every cell that was to change between two states: the page or sector
    /// reads blank, complete, untouched or torn, but for other cells each time. For `commands` gateway commands it executes nothing and what is read is
    /// noise, while card and host run on; then it is as after power-up.
    BrownOut { op: u64, commands: u64, seed: u64 },
    /// Operation `op` goes to the page or sector at `to` instead of its own.
    Misdirected { op: u64, to: u32 },
    /// The running firmware stores a setting in its configuration area, `after` register accesses from
    /// now or when semaphore 63 is free after them.
    FirmwareWrites { after: u64 },
    /// One bit of operation `op` stays wrong.
    FlippedBit { op: u64, bit: u32 },
    /// Operation `op` reports success and does nothing.
    LyingWrite { op: u64 },
    /// One gateway data read delivers only the first half of its bytes; the data registers keep what
    /// they held for the rest.
    ShortRead { after: u64 },
    /// One gateway data read delivers something else than what came from the chip. Only the data
    /// registers are wrong; the flash is right, and the next read is. With `at` it is the first read
    /// behind `after` that covers this flash address.
    WrongRead { after: u64, kind: WrongRead, at: Option<u32> },
    /// One gateway data read with this opcode, the first one behind `after` (counted as above),
    /// delivers its first four bytes with the bits of `flip` inverted: RDID, RDSR.
    WrongAnswer { opcode: u8, after: u64, flip: u32 },
    /// `reads` register reads in a row answer something else.
    WrongRegister { after: u64, at: Option<u32>, reads: u32, kind: WrongRegister },
    /// One register write never arrives.
    LostWrite { after: u64, at: Option<u32> },
    /// One register write arrives once more, before the next access; one of the gateway's command
    /// register once the gateway is idle.
    DoubledWrite { after: u64, at: Option<u32> },
    /// One gateway command keeps the busy bit set for `ms` longer.
    SlowGateway { after: u64, ms: u64 },
    /// Operation `op` takes `ms` longer, and ends.
    SlowOp { op: u64, ms: u64 },
    /// The host sleeps for `ms` milliseconds behind one register access, and the card has no power
    /// meanwhile: an operation that runs is torn as by [`Fault::PowerCut`] with this seed. When
    /// `comes_back`, configuration space is restored, and the registers show a card that has just
    /// started. Otherwise nothing answers until power is cycled.
    Suspend { after: u64, ms: u64, seed: u64, comes_back: bool },
    /// Another program resets the chip and takes semaphores 40 and 63 at once, so quickly that no
    /// access is left unanswered.
    Usurped { after: u64 },
    /// The gateway's busy bit stays set from one gateway command on, which does nothing any more.
    StuckBusy { after: u64 },
    /// WIP stays set from operation `op` on.
    StuckWip { op: u64 },
    /// Semaphore `number` answers taken for `reads` reads (`None` = until 0 is written to
    /// it, and then taken once more at once when `owner_alive`).
    SemaphoreHeld { number: u8, reads: Option<u64>, owner_alive: bool },
    /// Erases and programs in the range that these bits of status register 1 protect do nothing, as
    /// the status register shows. The bits are non-volatile (but on SST): power does not clear them,
    /// a status write does.
    Protected { status: u8 },
    /// After so many more register accesses everything reads all ones, until power is cycled.
    Removed { after: u64 },
    /// Another driver resets the chip after so many more register accesses.
    Reset { after: u64 },
    /// The process that drives the card loses the processor for `ms` milliseconds behind one register
    /// access: the access answers as it would have, then time goes on, and so do chip and boot.
    Away { after: u64, ms: u64 },
    /// The configuration sectors hold what the running firmware calls corrupt
    /// (docs/hardware.md#settings-in-the-firmware). They are in the flash: power does not repair
    /// them, an erase does.
    CorruptConfiguration,
    /// Chained reads (CS_HOLD) return wrong bytes after the first 16 (each one inverted): silicon
    /// on which chaining does not work. Chained programs work.
    BrokenChainedRead,
    /// Chained reads return wrong bytes from byte `from` of each chain on (each one inverted).
    BrokenChain { from: u32 },
    /// In a chained read the first block behind each address that is a multiple of `size` is wrong (each byte
    /// inverted), but for the block that the chain begins with.
    ChainBorder { size: u32 },
    /// Each answer to this opcode has the bits of `set` set and those of `clear` clear in its first four bytes:
    /// RDSR (0x05) has its status in the upper 8.
    AnswerBits { opcode: u8, set: u32, clear: u32 },
    /// What this transport reads has its bytes in the other order, and what it writes as well.
    SwappedBytes { by: BarAccess },
    /// What this transport reads from register `at` has the bits of `flip` inverted.
    OtherAnswer { by: BarAccess, at: u32, flip: u32 },
    /// Each `every`th gateway data read finds another byte at `at` of the flash: the firmware writes
    /// there.
    MovingFlash { at: u32, every: u64 },
    /// The registers of the running version show this one, whatever runs.
    ShowsVersion { fw_version: Version },
    /// A reset clears registers and semaphores, and the firmware that ran goes on.
    ResetKeeps,
    /// The register at 0x41270 keeps its value while firmware runs.
    StillRegister,
    /// A write of 0 does not free this semaphore.
    SemaphoreSticks { number: u8 },
    /// The firmware answers that it cannot store a setting, with this status.
    SettingsRefused { status: u8 },
    /// Each gateway command takes so many microseconds longer.
    GatewayPace { us: u64 },
    /// Where the number of a gateway data read is a multiple of `every`, RDID is answered with another
    /// id.
    UnstableId { every: u64 },
    /// Writes arrive late: a read without the flush of docs/hardware.md#write-flush overtakes them.
    /// At most `depth` are outstanding. Each read lets one arrive behind it, and none is on its way
    /// for more than 20 µs.
    DelayedWrites { depth: u32 },
    /// Firmware of this version, in whichever half, does not do what firmware does. That holds from its
    /// next start on, and for good; one more fault for the same version replaces the first. The boot ROM
    /// takes such an image like any other one, and goes to no other image when it hangs.
    Firmware { fw_version: Version, defect: FirmwareDefect },
}

/// What is wrong with firmware ([`Fault::Firmware`]). No public source describes a ConnectX-3 whose
/// firmware hangs: this is as hard on a driver as the registers allow (docs/lab.md#firmware-that-fails).
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareDefect {
    /// It is loaded and never starts. The version of the firmware before stays readable until power is
    /// cycled. With `recovery_id` the card shows its recovery id, otherwise the one of the image.
    NeverStarts { recovery_id: bool },
    /// It hangs `ms` milliseconds after its start. When `silent`, no register answers any more;
    /// otherwise they keep what they hold, and semaphore 63 stays taken.
    Dies { ms: u64, silent: bool },
    /// It starts when a driver enables bus mastering. Until then it shows no version.
    NeedsDriver,
}

/// What [`Fault::WrongRead`] delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongRead {
    /// Nothing arrives: the data registers keep all they held.
    Stale,
    /// Every byte is FF.
    AllOnes,
    /// One bit is wrong.
    Flipped { bit: u32 },
}

/// What [`Fault::WrongRegister`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongRegister {
    /// All ones; the read did not arrive.
    RequestLost,
    /// All ones; the register was read, a semaphore is taken.
    AnswerLost,
    /// 0xbad0cafe, as of a locked card; the register was not read.
    Locked,
    /// 0xbadacce5, as of a filtered register; the register was not read.
    Filtered,
    /// One bit is wrong.
    Flipped { bit: u32 },
}

/// The faults that stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Defects {
    /// [`Fault::SwappedBytes`].
    swapped: Vec<BarAccess>,
    /// [`Fault::OtherAnswer`].
    answers: Vec<(BarAccess, u32, u32)>,
    /// [`Fault::BrokenChain`]: bytes of a chain that are right.
    pub(super) chain: Option<u32>,
    /// [`Fault::ChainBorder`].
    pub(super) border: Option<u32>,
    /// [`Fault::AnswerBits`].
    bits: Vec<(u8, u32, u32)>,
    /// [`Fault::MovingFlash`].
    pub(super) moving: Option<(u32, u64)>,
    /// [`Fault::ShowsVersion`].
    pub(super) version: Option<Version>,
    /// [`Fault::ResetKeeps`].
    pub(super) reset_keeps: bool,
    /// [`Fault::StillRegister`].
    pub(super) still_register: bool,
    /// [`Fault::SemaphoreSticks`].
    sticky: Option<u8>,
    /// [`Fault::SettingsRefused`].
    pub(super) settings_refused: Option<u8>,
    /// [`Fault::GatewayPace`], in ns.
    pub(super) pace_ns: u64,
    /// [`Fault::UnstableId`].
    pub(super) unstable_id: Option<u64>,
}

impl Defects {
    pub(super) fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::SwappedBytes { by } => self.swapped.push(*by),
            Fault::OtherAnswer { by, at, flip } => self.answers.push((*by, *at, *flip)),
            Fault::BrokenChainedRead => self.chain = Some(16),
            Fault::BrokenChain { from } => self.chain = Some(*from),
            Fault::ChainBorder { size } => self.border = Some((*size).max(16)),
            Fault::AnswerBits { opcode, set, clear } => self.bits.push((*opcode, *set, *clear)),
            Fault::MovingFlash { at, every } => self.moving = Some((*at, (*every).max(1))),
            Fault::ShowsVersion { fw_version } => self.version = Some(*fw_version),
            Fault::ResetKeeps => self.reset_keeps = true,
            Fault::StillRegister => self.still_register = true,
            Fault::SemaphoreSticks { number } => self.sticky = Some(*number),
            Fault::SettingsRefused { status } => self.settings_refused = Some(*status),
            Fault::GatewayPace { us } => self.pace_ns = us.saturating_mul(1000),
            Fault::UnstableId { every } => self.unstable_id = Some((*every).max(1)),
            _ => {}
        }
    }

    pub(super) fn sticks(&self, number: u8) -> bool {
        self.sticky == Some(number)
    }

    /// What the chip answers to this opcode instead of `word`.
    pub(super) fn chip_answer(&self, opcode: u8, word: u32) -> u32 {
        let of = self.bits.iter().filter(|(to, ..)| *to == opcode);
        of.fold(word, |word, (_, set, clear)| (word | set) & !clear)
    }

    /// What reaches the driver of a register's value.
    pub(super) fn answer(&self, by: BarAccess, at: u32, value: u32) -> u32 {
        let wrong = self.answers.iter().filter(|(with, place, _)| *with == by && *place == at);
        let value = wrong.fold(value, |value, (.., flip)| value ^ flip);
        if self.swapped.contains(&by) { value.swap_bytes() } else { value }
    }

    /// What reaches the register of a value that a driver writes.
    pub(super) fn written(&self, by: BarAccess, value: u32) -> u32 {
        if self.swapped.contains(&by) { value.swap_bytes() } else { value }
    }
}

/// The faults of one card. Most accesses only compare one number with [`ArmedFaults::trip`].
#[derive(Clone)]
pub(super) struct ArmedFaults {
    /// Each with the count behind which it is due.
    list: Vec<(Fault, u64)>,
    /// Number of the register access at which something happens.
    pub(super) trip: u64,
    /// The same for reads, and for writes, that go wrong.
    pub(super) read_trip: u64,
    pub(super) write_trip: u64,
    /// [`Fault::DelayedWrites`], 0 = none.
    pub(super) delay: u32,
    /// What stays wrong.
    pub(super) defects: Defects,
    /// Some semaphore is held by a fault.
    pub(super) semaphores: bool,
    /// [`Fault::Suspend`] waits.
    pub(super) suspends: bool,
}

/// What one count is at the moment a fault is armed; `after` counts from there.
#[derive(Clone, Copy)]
pub(super) struct FaultCounts {
    pub(super) accesses: u64,
    pub(super) commands: u64,
    pub(super) reads: u64,
}

impl Default for ArmedFaults {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            trip: u64::MAX,
            read_trip: u64::MAX,
            write_trip: u64::MAX,
            delay: 0,
            defects: Defects::default(),
            semaphores: false,
            suspends: false,
        }
    }
}

/// Faults of the next access of either kind.
fn hits_any_access(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Removed { .. }
            | Fault::Reset { .. }
            | Fault::Away { .. }
            | Fault::FirmwareWrites { .. }
            | Fault::Suspend { .. }
            | Fault::Usurped { .. }
    )
}

impl ArmedFaults {
    pub(super) fn add(&mut self, fault: Fault, now: FaultCounts) {
        let due = match fault {
            Fault::Removed { after }
            | Fault::Reset { after }
            | Fault::FirmwareWrites { after }
            | Fault::Away { after, .. }
            | Fault::Suspend { after, .. }
            | Fault::Usurped { after }
            | Fault::WrongRegister { after, .. }
            | Fault::LostWrite { after, .. }
            | Fault::DoubledWrite { after, .. } => now.accesses.saturating_add(after),
            Fault::StuckBusy { after } | Fault::SlowGateway { after, .. } => {
                now.commands.saturating_add(after)
            }
            Fault::ShortRead { after }
            | Fault::WrongRead { after, .. }
            | Fault::WrongAnswer { after, .. } => now.reads.saturating_add(after),
            _ => 0,
        };
        self.list.push((fault, due));
        self.refresh();
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        self.list.iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// Removes those for which `gone` is true.
    pub(super) fn drop_where(&mut self, mut gone: impl FnMut(&Fault) -> bool) {
        self.list.retain(|(fault, _)| !gone(fault));
        self.refresh();
    }

    fn refresh(&mut self) {
        let list = std::mem::take(&mut self.list);
        *self = Self::default();
        for (fault, due) in &list {
            let first = due.saturating_add(1);
            self.suspends |= matches!(fault, Fault::Suspend { .. });
            match fault {
                fault if hits_any_access(fault) => self.trip = self.trip.min(first),
                Fault::WrongRegister { .. } => self.read_trip = self.read_trip.min(first),
                Fault::LostWrite { .. } | Fault::DoubledWrite { .. } => {
                    self.write_trip = self.write_trip.min(first);
                }
                Fault::DelayedWrites { depth } => self.delay = *depth,
                Fault::SemaphoreHeld { .. } => self.semaphores = true,
                fault => self.defects.add(fault),
            }
        }
        self.list = list;
    }

    /// Takes out the first fault of a kind that is due when its count is `count`.
    fn take(&mut self, count: u64, kind: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut list = self.list.iter();
        let at = list.position(|(fault, due)| count > *due && kind(fault))?;
        let (fault, _) = self.list.remove(at);
        self.refresh();
        Some(fault)
    }

    /// What is wrong with firmware of this version.
    pub(super) fn defect_of(&self, version: Version) -> Option<FirmwareDefect> {
        self.list.iter().find_map(|(fault, _)| match fault {
            Fault::Firmware { fw_version, defect } if *fw_version == version => Some(*defect),
            _ => None,
        })
    }

    /// The removal, reset, pause, sleep or write of the firmware due at this access.
    pub(super) fn at_access(&mut self, access: u64) -> Option<Fault> {
        self.take(access, hits_any_access)
    }

    /// How this read of register `at` goes wrong. Counts down.
    pub(super) fn spoils_register(&mut self, access: u64, at: u32) -> Option<WrongRegister> {
        let fault = self.take(access, |fault| {
            matches!(fault, Fault::WrongRegister { at: place, .. } if place.is_none_or(|p| p == at))
        })?;
        let Fault::WrongRegister { at, reads, kind, .. } = fault else {
            return None;
        };
        if reads > 1 {
            self.list.push((Fault::WrongRegister { after: 0, at, reads: reads - 1, kind }, access));
            self.refresh();
        }
        (reads > 0).then_some(kind)
    }

    /// The loss or doubling of this write to register `at`.
    pub(super) fn spoils_write(&mut self, access: u64, at: u32) -> Option<Fault> {
        self.take(access, |fault| match fault {
            Fault::LostWrite { at: place, .. } | Fault::DoubledWrite { at: place, .. } => {
                place.is_none_or(|p| p == at)
            }
            _ => false,
        })
    }

    /// The gateway sticks at this command.
    pub(super) fn sticks_at_command(&mut self, command: u64) -> bool {
        self.take(command, |fault| matches!(fault, Fault::StuckBusy { .. })).is_some()
    }

    /// ns that this command takes longer.
    pub(super) fn slows_command(&mut self, command: u64) -> u64 {
        match self.take(command, |fault| matches!(fault, Fault::SlowGateway { .. })) {
            Some(Fault::SlowGateway { ms, .. }) => ms.saturating_mul(1_000_000),
            _ => 0,
        }
    }

    /// Bits inverted in the answer to this opcode.
    pub(super) fn spoils_answer(&mut self, read: u64, opcode: u8) -> u32 {
        let hit =
            |fault: &Fault| matches!(fault, Fault::WrongAnswer { opcode: o, .. } if *o == opcode);
        match self.take(read, hit) {
            Some(Fault::WrongAnswer { flip, .. }) => flip,
            _ => 0,
        }
    }

    /// This gateway read delivers only its first bytes.
    pub(super) fn shortens_read(&mut self, read: u64) -> bool {
        self.take(read, |fault| matches!(fault, Fault::ShortRead { .. })).is_some()
    }

    /// This gateway read delivers something wrong; `covers` are the flash addresses it reads.
    pub(super) fn spoils_read(&mut self, read: u64, covers: &Range<u32>) -> Option<WrongRead> {
        let fault = self.take(read, |fault| match fault {
            Fault::WrongRead { at, .. } => at.is_none_or(|at| covers.contains(&at)),
            _ => false,
        })?;
        match fault {
            Fault::WrongRead { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Takes the next fault of mutating operation `now`.
    pub(super) fn at_op(&mut self, now: u64) -> Option<Fault> {
        self.take(now, |fault| match fault {
            Fault::PowerCut { op, .. } => *op == now || *op == 0,
            Fault::FlippedBit { op, .. }
            | Fault::LyingWrite { op }
            | Fault::SlowOp { op, .. }
            | Fault::MarginalCut { op, .. }
            | Fault::BrownOut { op, .. }
            | Fault::Misdirected { op, .. } => *op == now,
            Fault::StuckWip { op } => now >= *op,
            _ => false,
        })
    }

    /// A read of semaphore `n`: true = it answers taken. Counts down.
    pub(super) fn holds_on_read(&mut self, n: u8) -> bool {
        for (fault, _) in &mut self.list {
            if let Fault::SemaphoreHeld { number, reads, .. } = fault
                && *number == n
                && *reads != Some(0)
            {
                *reads = reads.map(|left| left - 1);
                return true;
            }
        }
        self.drop_where(|fault| {
            matches!(fault, Fault::SemaphoreHeld { number, reads: Some(0), .. } if *number == n)
        });
        false
    }

    /// A write of 0 to semaphore `n`: true = a live owner has it back at once.
    pub(super) fn retakes(&mut self, n: u8) -> bool {
        let alive = self.list.iter().any(|(fault, _)| {
            matches!(fault, Fault::SemaphoreHeld { number, owner_alive: true, .. } if *number == n)
        });
        if !alive {
            self.drop_where(
                |fault| matches!(fault, Fault::SemaphoreHeld { number, .. } if *number == n),
            );
        }
        alive
    }
}
