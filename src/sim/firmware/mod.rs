//! The firmware's command interface, as far as `mlx4_core` and `mlx4_en` need it to bind
//! (docs/lab.md#binding-mlx4_core; layouts as the Linux driver puts and gets them, `mlx4/fw.c`,
//! `eq.c`, `en_*.c`). No packets, completion queues, SR-IOV or tools command interface: commands
//! that only they need succeed without effect.
//!
//! Seven words at 0x80680: input (2), modifier, output (2), token in the high half, and the command
//! word: status 31:24, go 23, event 22, toggle 21, modifier 15:12, opcode 11:0. The registers
//! themselves are plain storage of the card, so that a chip reset clears them.

mod answers;
mod events;
mod opcode;

use super::SimCard;
use super::dma::DeviceBus;
use super::served::ImageIdentity;
use crate::card::CrOffset;
use events::{EventQueues, Icm};
use opcode as op;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;

/// The command interface.
const HCR: u32 = 0x8_0680;
/// Its last word, which starts a command.
const GO_WORD: u32 = HCR + 0x18;
const GO: u32 = 1 << 23;
const EVENT: u32 = 1 << 22;
/// What stays in the command word next to the status.
const KEPT: u32 = 0x003f_ffff;

/// Status: done.
const OK: u8 = 0;
/// Status: internal error; the mailbox cannot be reached.
const INTERNAL: u8 = 1;
/// Status: no such command.
const BAD_OP: u8 = 2;
/// Status: a parameter out of range.
const BAD_PARAM: u8 = 3;

/// Bytes of a mailbox.
const MAILBOX: usize = 4096;
/// Bytes of `INIT_HCA`, which `QUERY_HCA` returns.
const HCA: usize = 0x200;
/// Where `INIT_HCA` has log2 of the entries of the multicast groups' hash table.
const LOG_HASH: usize = 0xd7;
/// Bytes of a multicast group's entry the driver uses (its default, 2^10).
const GROUP_ENTRY: usize = 1024;

/// One command as it was posted.
#[derive(Clone, Copy, Debug)]
struct FirmwareCommand {
    opcode: u16,
    op_modifier: u8,
    modifier: u32,
    input: u64,
    output: u64,
    token: u16,
    event: bool,
}

impl FirmwareCommand {
    fn posted(card: &SimCard, word: u32) -> Self {
        let at = |n: u32| card.peek(HCR + 4 * n);
        let two = |n: u32| u64::from(at(n)) << 32 | u64::from(at(n + 1));
        Self {
            opcode: (word & 0xfff) as u16,
            op_modifier: (word >> 12 & 0xf) as u8,
            modifier: at(2),
            input: two(0),
            output: two(3),
            token: (at(5) >> 16) as u16,
            event: word & EVENT != 0,
        }
    }
}

/// What runs on the card, seen from the driver.
pub(super) struct NetworkFirmware {
    named: ImageIdentity,
    version: [u32; 2],
    ports: u8,
    /// Never answers.
    pub(super) dead: bool,
    icm: Icm,
    queues: EventQueues,
    /// Addresses and their queue pairs. The driver keeps the table through us, entry by entry, and
    /// reads back what it wrote.
    groups: BTreeMap<u32, Vec<u8>>,
    hca: Option<Vec<u8>>,
    counts: BTreeMap<u16, u64>,
    failures: Vec<String>,
}

impl NetworkFirmware {
    pub(super) fn new(card: &SimCard) -> Self {
        let mut firmware = Self {
            named: ImageIdentity::default(),
            version: [0; 2],
            ports: card.spec().ports(),
            dead: false,
            icm: Icm::default(),
            queues: EventQueues::default(),
            groups: BTreeMap::new(),
            hca: None,
            counts: BTreeMap::new(),
            failures: Vec::new(),
        };
        firmware.boot(card);
        firmware
    }

    /// Starts after the boot ROM has run.
    pub(super) fn boot(&mut self, card: &SimCard) {
        self.forget_host();
        self.named = card.named();
        let [major, minors, ..] = card.state.borrow().running.block;
        self.version = [major, minors];
    }

    /// Drops the memory that the host lent.
    pub(super) fn forget_host(&mut self) {
        self.icm = Icm::default();
        self.queues = EventQueues::default();
        self.groups.clear();
        self.hca = None;
    }

    /// For the control channel.
    pub(super) fn report(&self, card: &SimCard) -> Value {
        let counts: BTreeMap<String, u64> =
            self.counts.iter().map(|(op, n)| (format!("{op:#05x}"), *n)).collect();
        json!({
            "runs": card.firmware_runs(),
            "dead": self.dead,
            "commands": counts,
            "failures": self.failures,
            "event_queues": self.queues.queues.len(),
            "icm_ranges": self.icm.ranges.len(),
            "initialised": self.hca.is_some(),
        })
    }

    /// A register was written: executes the command if it is the command word with the go bit.
    pub(super) fn written(&mut self, card: &SimCard, at: CrOffset, host: &mut DeviceBus<'_>) {
        if at.0 != GO_WORD || self.dead || !card.firmware_runs() {
            return;
        }
        let word = card.peek(GO_WORD);
        if word & GO == 0 {
            return;
        }
        let mut command = FirmwareCommand::posted(card, word);
        *self.counts.entry(command.opcode).or_default() += 1;
        let status = match self.execute(&mut command, host) {
            Ok(status) => status,
            Err(error) => {
                self.fail(&command, &error.to_string());
                INTERNAL
            }
        };
        if status == BAD_OP || status == BAD_PARAM {
            self.fail(&command, &format!("answered with status {status}"));
        }
        tracing::debug!(?command, status, "firmware command");
        card.poke(HCR + 12, (command.output >> 32) as u32);
        card.poke(HCR + 16, command.output as u32);
        card.poke(GO_WORD, u32::from(status) << 24 | word & KEPT & !GO);
        if command.event
            && let Err(error) =
                self.queues.completed((command.token, status, command.output), &self.icm, host)
        {
            self.fail(&command, &error.to_string());
        }
    }

    fn fail(&mut self, command: &FirmwareCommand, why: &str) {
        tracing::warn!(?command, why, "firmware command");
        if self.failures.len() < 100 {
            self.failures.push(format!("command {:#05x}: {why}", command.opcode));
        }
    }

    fn execute(&mut self, c: &mut FirmwareCommand, host: &DeviceBus<'_>) -> io::Result<u8> {
        let input = |len: usize| {
            let mut bytes = vec![0; len];
            host.read(c.input, &mut bytes).map(|()| bytes)
        };
        match c.opcode {
            op::QUERY_FW => host.write(c.output, &answers::firmware(self.version))?,
            op::QUERY_DEV_CAP => host.write(c.output, &answers::capabilities(self.ports))?,
            op::QUERY_ADAPTER => host.write(c.output, &answers::adapter(&self.named.psid))?,
            op::QUERY_PORT => {
                let port = (c.modifier & 0xff) as u8;
                if port == 0 || port > self.ports {
                    return Ok(BAD_PARAM);
                }
                let mac = self.named.macs.get(usize::from(port) - 1);
                host.write(c.output, &answers::port(mac.map_or(0, |m| m.0)))?;
            }
            // Operation 2 reads the GUID of the port in 15:8, 0 sets the page size.
            op::MOD_STAT_CFG if c.op_modifier == 2 => {
                let guid = self.named.guids.get((c.modifier >> 8 & 0xff) as usize);
                host.write(c.output, &answers::port_guid(guid.map_or(0, |g| g.0)))?;
            }
            op::SET_ICM_SIZE => c.output = 0x100,
            op::MAP_ICM => {
                let entries = c.modifier as usize;
                if entries > MAILBOX / 16 {
                    return Ok(BAD_PARAM);
                }
                self.icm.map(&input(entries * 16)?);
            }
            op::UNMAP_ICM => self.icm.unmap(c.input, c.modifier),
            op::INIT_HCA => {
                let hca = input(HCA)?;
                self.icm.mtt_base = answers::u64_at(&hca, 0x100);
                self.hca = Some(hca);
            }
            op::QUERY_HCA => host.write(c.output, self.hca.as_deref().unwrap_or(&[0; HCA]))?,
            op::CLOSE_HCA => {
                self.queues = EventQueues::default();
                self.groups.clear();
                self.hca = None;
            }
            op::SW2HW_EQ => {
                let context = input(0x40)?;
                self.queues.add(c.modifier, &context, &self.icm, host)?;
            }
            op::HW2SW_EQ => self.queues.remove(c.modifier),
            // Where an address begins its chain. Any hash will do: the driver reads it each time.
            op::MGID_HASH => {
                let log = self.hca.as_ref().map_or(0, |hca| hca[LOG_HASH].min(15));
                let address = input(16)?.into_iter();
                let sum = address.fold(0_u16, |sum, byte| sum.rotate_left(5) ^ u16::from(byte));
                c.output = (sum & ((1 << log) - 1)).into();
            }
            op::READ_MCG => {
                let entry = self.groups.get(&c.modifier).map(Vec::as_slice);
                host.write(c.output, entry.unwrap_or(&[0; GROUP_ENTRY]))?;
            }
            // Operation 1 sets promiscuous queue pairs, which are never read.
            op::WRITE_MCG if c.op_modifier == 0 => {
                self.groups.insert(c.modifier, input(GROUP_ENTRY)?);
            }
            op::WRITE_MCG => {}
            op::MAP_EQ => self.queues.map(c.input, c.modifier),
            opcode if op::gives_nothing(opcode) => {}
            opcode => match op::gives_zeroes(opcode) {
                None => return Ok(BAD_OP),
                // The output is optional in some of them.
                Some(_) if c.output == 0 => {}
                Some(len) => host.write(c.output, &vec![0; len])?,
            },
        }
        Ok(OK)
    }
}
