//! The running firmware's answers on the tools command interface
//! (docs/hardware.md#tools-command-interface, docs/hardware.md#settings-in-the-firmware).
//!
//! They follow the source of mstflint 4.21 and were measured with its mstconfig. How long a command
//! takes is not known (a few microseconds, and what the flash needs). TLVs are stored and have no
//! effect here.

use super::Fault;
use super::boot::BootOutcome;
use super::nor::{Mutation, PAGE};
use super::nv_log::{MOST_DWORDS, NvAreas, NvStep};
use super::nv_register::{self as register, NvRequest};
use super::state::{CardState, MAILBOX_DWORDS, SemaphoreHolder};
use super::tools_defaults::ImageSettings;
use std::rc::Rc;

/// The interface: seven words.
const HCR: u32 = 0x8_0780;
/// Its control word.
pub(super) const CONTROL: u32 = HCR + 0x18;
/// The mailbox in CR-space.
pub(super) const MAILBOX: u32 = 0xe_0000;
/// Its last dword.
pub(super) const MAILBOX_END: u32 = MAILBOX + 4 * (MAILBOX_DWORDS as u32 - 1);
const GO: u32 = 1 << 23;
/// What stays in the control word next to the status.
const KEPT: u32 = 0x003f_ffff;
/// ns until a command that touches no flash is done; UNCONFIRMED.
const COMMAND_NS: u64 = 2_500;
/// First firmware with the interface (by mstconfig's message on older ones).
const SINCE: (u32, u32) = (31, 5000);
/// First firmware with the mailbox in CR-space. Which one that was is not known; some have it and
/// some do not, so here both are met.
const MAPPED_SINCE: u32 = 33;

const OK: u8 = 0;
const BAD_OP: u8 = 2;
const BAD_RESOURCE: u8 = 9;
/// A setting that no tool asks for, and its port.
const OWN_TLV: (u16, u8) = (0x7f0, 0);
/// Register accesses until the firmware tries again to get semaphore 63.
const LATER: u64 = 64;

const QUERY_DEV_CAP: u32 = 0x003;
const ACCESS_REGISTER: u32 = 0x03b;
const MAILBOX_WRITE: u32 = 0x070;
const MAILBOX_READ: u32 = 0x071;
const QUERY_DEF_PARAMS: u32 = 0x073;
const HW_ACCESS: u32 = 0x060;
const UNKNOWN_TLV: u8 = 3;
/// Semaphore 47.
const SEMAPHORE: u32 = 0xf_03bc;

impl CardState {
    fn word(&self, at: u32) -> u32 {
        self.plain.get(&at).copied().unwrap_or(0)
    }

    /// 0xe0000 and on is memory.
    pub(super) fn has_mailbox(&self) -> bool {
        !self.running.is_recovery() && self.running.version_block()[1] >> 16 >= MAPPED_SINCE
    }

    /// Registers of a secure host: hidden but for the tools command interface, which the firmware answers
    /// (INFERRED from how mstflint enables the access; docs/hardware.md#locked-cards).
    pub(super) fn hides(&self, at: u32) -> bool {
        let open = self.hw_access || self.running.is_recovery();
        self.spec.secure_host && !open && !self.answers_locked(at)
    }

    /// What a secure host answers without a key.
    pub(super) fn answers_locked(&self, at: u32) -> bool {
        self.spec.secure_host && matches!(at, HCR..=CONTROL | SEMAPHORE)
    }

    /// Command 0x60 with the key of [`super::SimCard::SECURE_HOST_KEY`].
    fn execute_hw_access(&mut self, modifier: u32) -> u8 {
        if !self.spec.secure_host {
            return BAD_OP;
        }
        if modifier != 0 {
            self.note("the card was locked: hw_access disable");
            self.hw_access = false;
            return OK;
        }
        let key = u64::from(self.word(HCR)) << 32 | u64::from(self.word(HCR + 4));
        if key != super::SimCard::SECURE_HOST_KEY {
            return UNKNOWN_TLV;
        }
        self.hw_access = true;
        self.save();
        OK
    }

    /// The control word, as it reads now.
    pub(super) fn read_tools_control(&self) -> u32 {
        let busy = if self.time.now() < self.tools.done_at { GO } else { 0 };
        self.word(CONTROL) | busy
    }

    /// The control word is written: with the go bit, a command. Without firmware it stays set.
    pub(super) fn write_tools_control(&mut self, word: u32) {
        self.plain.insert(CONTROL, word);
        if word & GO == 0 || !self.running.runs() {
            return;
        }
        self.tools.done_at = self.time.now() + COMMAND_NS;
        let status = self.execute_tool(word);
        self.plain.insert(CONTROL, u32::from(status) << 24 | word & KEPT & !GO);
    }

    fn execute_tool(&mut self, word: u32) -> u8 {
        let block = self.running.block;
        if (block[1] >> 16, block[1] & 0xffff) < SINCE {
            return BAD_OP;
        }
        let modifier = self.word(HCR + 8);
        let pair = (modifier & !1) as usize;
        match word & 0xfff {
            MAILBOX_WRITE => {
                let both = [self.word(HCR + 4), self.word(HCR)];
                match self.tools.mailbox.get_mut(pair..pair + 2) {
                    Some(place) => place.copy_from_slice(&both),
                    None => return BAD_RESOURCE,
                }
            }
            MAILBOX_READ => {
                let Some(&[low, high]) = self.tools.mailbox.get(pair..pair + 2) else {
                    return BAD_RESOURCE;
                };
                self.plain.insert(HCR + 0x10, low);
                self.plain.insert(HCR + 0xc, high);
            }
            QUERY_DEV_CAP => {
                for (at, value) in self.tools_facts().capabilities() {
                    self.tools.mailbox[at / 4] = value;
                }
            }
            QUERY_DEF_PARAMS => {
                let port = (word >> 12 & 0xf) as u8;
                let Some(words) = self.tools_facts().defaults(port) else {
                    return BAD_RESOURCE;
                };
                self.tools.mailbox[..words.len()].copy_from_slice(&words);
            }
            HW_ACCESS => return self.execute_hw_access(word >> 12 & 0xf),
            ACCESS_REGISTER => self.access_register(modifier & 1 == 1),
            _ => return BAD_OP,
        }
        OK
    }

    /// The settings of the running image.
    fn tools_facts(&mut self) -> Rc<ImageSettings> {
        if let Some(facts) = &self.tools.facts {
            return Rc::clone(facts);
        }
        let start = match &self.running.outcome {
            BootOutcome::Image { start, .. } | BootOutcome::Hung { start, .. } => Some(*start),
            BootOutcome::Recovery => None,
        };
        let facts = Rc::new(ImageSettings::of(&self.spec, self.nor.mem(), start));
        self.tools.facts = Some(Rc::clone(&facts));
        facts
    }

    /// The areas the running image has for its TLVs.
    pub(super) fn nv_areas(&mut self) -> Option<NvAreas> {
        self.tools_facts().areas.clone()
    }

    /// Register access, in whichever mailbox the request is.
    fn access_register(&mut self, mapped: bool) {
        let place = |n: usize| MAILBOX + 4 * n as u32;
        let mut words =
            if mapped { std::array::from_fn(|n| self.word(place(n))) } else { self.tools.mailbox };
        let reply = register::parse(&words).and_then(|request| self.registered(request));
        register::answer(&mut words, reply);
        if mapped {
            for (n, word) in words.into_iter().enumerate() {
                self.plain.insert(place(n), word);
            }
        } else {
            self.tools.mailbox = words;
        }
    }

    fn registered(&mut self, request: NvRequest) -> Result<Vec<u32>, u8> {
        let facts = self.tools_facts();
        let areas = facts.areas.as_ref().ok_or(register::NOT_AVAILABLE)?;
        let flash = self.nor.mem();
        let tlvs = areas.read(flash).ok_or(register::CORRUPT)?;
        let steps = match request {
            // mstconfig reads a TLV of port 2 on one-port cards and fails when the answer is an
            // error, so real firmware answers that nothing is stored (INFERRED).
            NvRequest::Get(id) => return tlvs.get(&id).cloned().ok_or(register::NOT_AVAILABLE),
            NvRequest::Set(id, data) if facts.knows(id) && data.len() <= MOST_DWORDS => {
                areas.store(flash, id, Some(&data))
            }
            NvRequest::Set(..) => return Err(register::UNKNOWN_TLV),
            NvRequest::Invalidate(id) => areas.store(flash, id, None),
            NvRequest::InvalidateAll => areas.clear(flash),
        };
        if let Some(status) = self.armed.defects.settings_refused {
            return Err(status);
        }
        // The flash is the host's while it holds the gateway.
        if self.nor.is_busy(self.time.now()) || self.semaphores[63] != SemaphoreHolder::Free {
            return Err(register::BUSY);
        }
        if self.carry_out(&steps) { Ok(Vec::new()) } else { Err(register::INTERNAL) }
    }

    /// The firmware stores a setting without being asked: bytes of its own in its configuration area,
    /// when it gets semaphore 63 ([`Fault::FirmwareWrites`]).
    pub(super) fn firmware_writes(&mut self) {
        if !self.running.runs() || self.off {
            return;
        }
        if self.semaphores[63] != SemaphoreHolder::Free || self.nor.is_busy(self.time.now()) {
            self.arm(Fault::FirmwareWrites { after: LATER });
            return;
        }
        if let Some(areas) = self.nv_areas() {
            let steps = areas.store(self.nor.mem(), OWN_TLV, Some(&[self.accesses as u32]));
            self.carry_out(&steps);
        }
    }

    /// Executes the firmware's steps on the flash. False when a step has not taken effect.
    fn carry_out(&mut self, steps: &[NvStep]) -> bool {
        let chip = self.nor.chip();
        let Some(&(_, sector, erase_ns)) = chip.erases.iter().min_by_key(|e| e.1) else {
            return false;
        };
        let piece = if chip.byte_program { 1 } else { PAGE as usize };
        for step in steps {
            match step {
                NvStep::Erase(range) => {
                    if range.start % sector != 0 || range.end % sector != 0 {
                        return false;
                    }
                    for at in range.clone().step_by(sector as usize) {
                        self.own_mutation(Mutation::Erase { at, len: sector, ns: erase_ns });
                    }
                }
                NvStep::Program(at, bytes) => {
                    for (n, chunk) in bytes.chunks(piece).enumerate() {
                        let at = at + (n * piece) as u32;
                        self.nor.fill_page(at, chunk);
                        self.own_mutation(Mutation::Program { at, len: chunk.len() as u32 });
                    }
                    let at = *at as usize;
                    if self.nor.mem().get(at..at + bytes.len()) != Some(bytes) {
                        return false;
                    }
                }
            }
            if self.off {
                return false;
            }
        }
        true
    }

    /// One operation of the firmware, after the previous one. Protected ranges do not change.
    fn own_mutation(&mut self, mutation: Mutation) {
        let range = mutation.range(self.nor.size());
        if self.off || self.nor.protects(&range) {
            return;
        }
        let start = self.tools.done_at.max(self.time.now());
        let changed = self.mutate(mutation, start).map(|done| done.range(self.nor.size()));
        self.nor.own.extend(changed);
        self.tools.done_at = start.saturating_add(mutation.ns(&self.nor));
    }
}
