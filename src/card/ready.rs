//! Readiness: a card is only read until its state has been stable for a while.
//!
//! A chip that boots answers in part: registers read all ones, hold what they held before the reset, or
//! show that no firmware runs. Its boot ROM uses the flash and clears the semaphores. So nothing is
//! written and no semaphore is read (reading takes it) before the observation below has been the same
//! for a while, see [`Seen::meaning`]. No source states how long a ConnectX-3 boots; mlx4_core waits one
//! second after a reset and then up to two more (drivers/net/ethernet/mellanox/mlx4/reset.c).

use super::session::{BootStep, NO_FIRMWARE_ABOVE, RESET_SILENCE, ReadyAfter};
use super::wait::PolledTime;
use super::{
    BAD_ACCESS, Card, CardError, Chip, FirmwareState, Function, Patience, Reg, RunningVersion,
    wait_for,
};
use std::fmt;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(20);
const PATIENCE: Patience = Patience::every(Duration::from_secs(15), STEP);

/// Firmware runs and shows its version.
const STABLE_RUNNING: Duration = Duration::from_millis(500);
/// A chip of another family, or a locked one.
const STABLE_REFUSAL: Duration = Duration::from_secs(2);
/// Firmware without a version, or under a recovery id: a booting chip may pass through it.
const STABLE_DOUBTFUL: Duration = Duration::from_secs(3);
/// The recovery id without firmware, and what a chip shows that boots slowly. The simulated chip's boot
/// of 10 s shows the recovery id for 4 s, and firmware with half a version for 3.5 s.
const STABLE_SLOW: Duration = Duration::from_secs(5);

/// The recovery register is a live value: only its class is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecoveryTest {
    FirmwareRuns,
    NoFirmware,
    Unreadable,
}

/// One observation of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Its registers cannot be reached.
    Silent,
    /// The hardware id is none of the family.
    NoChip(u32),
    /// The family's registers.
    Chip(Registers),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registers {
    chip: Chip,
    /// None when configuration space cannot be read.
    pci_id: Option<u16>,
    test: RecoveryTest,
    version: [u32; 2],
}

/// When an observation counts.
enum Believed {
    /// Once it has been stable for so long.
    Stable(Duration),
    /// At the limit, for the chip may still be booting.
    AtTheLimit,
}

type Meaning = Result<(Chip, FirmwareState), CardError>;

impl Seen {
    fn meaning(self) -> (Meaning, Believed) {
        use Believed::{AtTheLimit, Stable};
        let unreadable = |register| (Err(CardError::BadAccess { register }), AtTheLimit);
        let seen = match self {
            Self::Silent => return (Err(gone()), AtTheLimit),
            Self::NoChip(value) => {
                let finding = Chip::decode(value).err().unwrap_or_else(gone);
                let when = match finding {
                    // Registers of a chip in reset may read 0.
                    CardError::NotOurs(0) => AtTheLimit,
                    CardError::Locked | CardError::NotOurs(_) => Stable(STABLE_REFUSAL),
                    _ => AtTheLimit,
                };
                return (Err(finding), when);
            }
            Self::Chip(seen) => seen,
        };
        let (pci_id, test, version) = (seen.pci_id, seen.test, seen.version);
        // In recovery mode registers may be filtered. `recover` needs none of them.
        let recovery_id = pci_id.and_then(Function::of) == Some(Function::Recovery);
        let filtered = version.contains(&BAD_ACCESS);
        if test == RecoveryTest::Unreadable && !recovery_id {
            return unreadable(Reg::RecoveryTest);
        }
        if filtered && !recovery_id {
            return unreadable(Reg::RunningVersion(0));
        }
        if matches!(pci_id, None | Some(0 | 0xFFFF)) {
            return (Err(self.not_ready()), AtTheLimit);
        }
        let [first, second] = version;
        let has_version = !filtered && RunningVersion::decode(first, second).is_some();
        let (firmware, when) = match (recovery_id, test, has_version) {
            (false, RecoveryTest::FirmwareRuns, true) => {
                (FirmwareState::Runs, Stable(STABLE_RUNNING))
            }
            (false, RecoveryTest::FirmwareRuns, false) => {
                (FirmwareState::Runs, Stable(STABLE_DOUBTFUL))
            }
            // Where the live id cannot be read, VFIO shows the one it noted when it opened the card
            // (drivers/vfio/pci/vfio_pci_config.c), which is not that of firmware started since.
            (true, RecoveryTest::FirmwareRuns, true) => {
                (FirmwareState::Runs, Stable(STABLE_DOUBTFUL))
            }
            (true, ..) => (FirmwareState::Recovery, Stable(STABLE_SLOW)),
            (false, ..) => (FirmwareState::NotRunning, AtTheLimit),
        };
        (Ok((seen.chip, firmware)), when)
    }

    fn not_ready(self) -> CardError {
        CardError::NotReady {
            waited_ms: PATIENCE.limit().as_millis() as u64,
            seen: self.to_string(),
        }
    }
}

fn gone() -> CardError {
    let register = Reg::DeviceId;
    CardError::Gone { register }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = match self {
            Self::Silent => return f.write_str("it does not answer"),
            Self::NoChip(value) => return write!(f, "hardware id {value:#010x}"),
            Self::Chip(seen) => seen,
        };
        write!(f, "{}, ", seen.chip.name())?;
        match seen.pci_id {
            Some(id) => write!(f, "PCI id {id:04x}, ")?,
            None => f.write_str("PCI id unreadable, ")?,
        }
        f.write_str(match seen.test {
            RecoveryTest::FirmwareRuns => "firmware runs by 0x41270, ",
            RecoveryTest::NoFirmware => "no firmware runs by 0x41270, ",
            RecoveryTest::Unreadable => "0x41270 unreadable, ",
        })?;
        let [first, second] = seen.version;
        match RunningVersion::decode(first, second) {
            Some(v) => write!(f, "version {}.{}.{}", v.major, v.minor, v.subminor),
            None => write!(f, "no version ({first:#010x} {second:#010x})"),
        }
    }
}

/// The observations so far.
struct BootCurve {
    last: Seen,
    stable: PolledTime,
    /// How long after the start the last change was seen.
    changed: Duration,
    /// Why the registers could not be reached last.
    error: Option<CardError>,
    /// The registers were reached at the last observation.
    reachable: bool,
}

impl BootCurve {
    /// A stage of a slow boot may look ready and last long. So the state must also be stable for as long
    /// as the chip was seen changing before, up to [`STABLE_SLOW`].
    fn is_stable_for(&self, time: Duration) -> bool {
        let slow = self.changed.min(STABLE_SLOW);
        self.stable.reached(time.max(slow))
    }
}

impl Card {
    /// Waits until the card is ready. It is only read meanwhile; every change is logged.
    ///
    /// # Errors
    /// [`CardError`]: what the card still shows at the limit, or [`CardError::NotReady`].
    pub(super) fn until_ready(&mut self, after: ReadyAfter) -> Meaning {
        let clock = self.clock();
        let start = clock.now();
        // How long the chip has been booting before that, as far as it is known.
        let before = match after {
            ReadyAfter::Open => self.space.since_reset(),
            ReadyAfter::SoftwareReset => RESET_SILENCE,
            ReadyAfter::OtherReset => Duration::ZERO,
        };
        let since = || clock.now().saturating_sub(start) + before;
        let mut curve = BootCurve {
            last: Seen::Silent,
            stable: PolledTime::start(&*clock),
            changed: Duration::ZERO,
            error: None,
            reachable: after == ReadyAfter::Open,
        };
        self.boot_curve.clear();
        let ready = wait_for(&*clock, PATIENCE, || {
            let seen = self.observe(&mut curve);
            if seen == curve.last {
                curve.stable.count(&*clock, STEP);
            } else {
                let error = curve.error.as_ref().map(ToString::to_string);
                let ms = since().as_millis() as u64;
                tracing::debug!(ms, %seen, error, "the card shows");
                self.boot_curve.push(BootStep { ms, seen: seen.to_string() });
                curve.last = seen;
                curve.changed = since();
                curve.stable = PolledTime::start(&*clock);
            }
            match seen.meaning() {
                (meaning, Believed::Stable(time)) if curve.is_stable_for(time) => meaning.map(Some),
                _ => Ok(None),
            }
        })?;
        let (chip, firmware) = match ready {
            Some(ready) => ready,
            None => at_the_limit(curve, after)?,
        };
        tracing::info!(
            ms = since().as_millis() as u64,
            chip = chip.name(),
            ?firmware,
            "the card is ready"
        );
        Ok((chip, firmware))
    }

    /// One observation. A card that did not answer may have lost COMMAND and its BARs, so the next
    /// observation makes its registers reachable first.
    fn observe(&mut self, curve: &mut BootCurve) -> Seen {
        let (seen, error) = match self.read_state(curve.reachable) {
            Ok(seen) => (seen, None),
            Err(error) => (Seen::Silent, Some(error)),
        };
        curve.reachable = matches!(seen, Seen::Chip(_));
        curve.error = error;
        seen
    }

    fn read_state(&mut self, reachable: bool) -> Result<Seen, CardError> {
        if !reachable && !self.space.back_after_reset()? {
            return Ok(Seen::Silent);
        }
        let value = self.raw_read(Reg::DeviceId)?;
        let Ok(chip) = Chip::decode(value) else {
            return Ok(Seen::NoChip(value));
        };
        let test = match self.raw_read(Reg::RecoveryTest)? {
            BAD_ACCESS => RecoveryTest::Unreadable,
            value if value > NO_FIRMWARE_ABOVE => RecoveryTest::NoFirmware,
            _ => RecoveryTest::FirmwareRuns,
        };
        let version =
            [self.raw_read(Reg::RunningVersion(0))?, self.raw_read(Reg::RunningVersion(1))?];
        let pci_id = self.space.pci_device_id().ok();
        Ok(Seen::Chip(Registers { chip, pci_id, test, version }))
    }
}

/// No observation counted within the limit: the last one is the finding.
fn at_the_limit(curve: BootCurve, after: ReadyAfter) -> Meaning {
    if let Some(error) = curve.error {
        return Err(error);
    }
    let waited_ms = PATIENCE.limit().as_millis() as u64;
    match curve.last.meaning() {
        (Err(CardError::Gone { .. }), _) if after == ReadyAfter::SoftwareReset => {
            Err(CardError::ResetTimeout(waited_ms))
        }
        (Err(error), Believed::AtTheLimit) => Err(error),
        (Ok(ready), Believed::AtTheLimit) if curve.stable.reached(STABLE_DOUBTFUL) => Ok(ready),
        // A slow boot that ended shortly before the limit.
        (Ok(ready), Believed::Stable(time)) if curve.stable.reached(time) => Ok(ready),
        _ => Err(curve.last.not_ready()),
    }
}

#[cfg(test)]
mod tests;
