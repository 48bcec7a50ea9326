//! Figures of the gateway and of the chip behind it, by commands that change nothing.

use super::FlashError;
use super::gateway::BLOCK;
use super::session::FlashSession;
use crate::card::Reg;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Bits on the wire of RDID: opcode and four bytes.
const ID_BITS: u64 = 8 * 5;
/// Bits on the wire of a read of 16 bytes: opcode, address, data.
const READ_BITS: u64 = 8 * 20;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayFigures {
    /// Answers to RDID, and how often each came.
    pub ids: BTreeMap<u32, u32>,
    /// Answers to RDSR: status register 1.
    pub statuses: BTreeSet<u8>,
    /// Time of an RDID, its answer included.
    pub id_time: Duration,
    /// Time of a read of 16 bytes, its answer included.
    pub read_time: Duration,
    /// Time of one register read.
    pub register_time: Duration,
}

impl GatewayFigures {
    /// The SPI clock in Hz: by what a read takes longer than RDID, less the three registers more that it
    /// reads. An estimate: a poll of the gateway takes about as long as a command. `None` where the figures give none.
    pub fn spi_clock(&self) -> Option<u64> {
        let registers = 3 * self.register_time;
        let longer = self.read_time.checked_sub(self.id_time + registers)?.as_nanos();
        let hz = u128::from(READ_BITS - ID_BITS) * 1_000_000_000 / longer.max(1);
        u64::try_from(hz).ok().filter(|_| longer > 0)
    }
}

/// Sends RDID and a read of the first block, `times` each, and RDSR `statuses` times.
pub(super) fn measure(
    session: &mut FlashSession<'_>,
    (times, statuses): (u32, u32),
) -> Result<GatewayFigures, FlashError> {
    let times = times.max(1);
    let clock = session.gateway.clock;
    let mut ids = BTreeMap::new();
    let start = clock.now();
    for _ in 0..times {
        *ids.entry(session.gateway.read_id()?).or_insert(0) += 1;
    }
    let id_time = clock.now().saturating_sub(start) / times;
    let start = clock.now();
    for _ in 0..times {
        session.gateway.read(0, &mut [0; BLOCK], BLOCK)?;
    }
    let read_time = clock.now().saturating_sub(start) / times;
    let start = clock.now();
    for _ in 0..times {
        session.gateway.card.read(Reg::DeviceId)?;
    }
    let register_time = clock.now().saturating_sub(start) / times;
    let statuses =
        (0..statuses).map(|_| session.gateway.read_status()).collect::<Result<_, _>>()?;
    Ok(GatewayFigures { ids, statuses, id_time, read_time, register_time })
}
