//! The two roads to a card.

use super::config;
use super::state::CardState;
use crate::card::{CrError, CrOffset, CrSpace};
use std::cell::RefCell;
use std::rc::Rc;

/// Memory access: writes are posted.
pub(super) struct SimBar0(pub(super) Rc<RefCell<CardState>>);

impl CrSpace for SimBar0 {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        self.0.borrow_mut().bar_read(at.0)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        self.0.borrow_mut().bar_write(at.0, value)
    }

    fn posts_writes(&self) -> bool {
        true
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.0.borrow().shown_device_id())
    }
}

/// Configuration cycles through 0x58/0x5c, in the variant found by the probe of docs/hardware.md#sources-and-marks
/// docs/hardware.md#configuration-cycle-gateway.
pub(super) struct ConfigGateway {
    card: Rc<RefCell<CardState>>,
    write_only: bool,
}

/// Where the address register is left (docs/hardware.md#configuration-cycle-gateway): reading the device id hurts nobody.
const HARMLESS: u32 = 0xf_0014;

impl ConfigGateway {
    pub(super) fn open(card: Rc<RefCell<CardState>>) -> Self {
        let write_only = {
            let mut state = card.borrow_mut();
            state.config_write(config::ADDRESS, HARMLESS);
            state.config_read(config::ADDRESS) == config::NOT_READABLE
        };
        Self { card, write_only }
    }
}

impl CrSpace for ConfigGateway {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let mut card = self.card.borrow_mut();
        card.check_offset(at.0)?;
        card.config_write(config::ADDRESS, at.0 | u32::from(self.write_only));
        let value = card.config_read(config::DATA);
        card.answer(at.0, value)
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        let mut card = self.card.borrow_mut();
        card.check_offset(at.0)?;
        if self.write_only {
            card.config_write(config::DATA, value);
            card.config_write(config::ADDRESS, at.0);
        } else {
            card.config_write(config::ADDRESS, at.0);
            card.config_write(config::DATA, value);
        }
        card.answer(at.0, ())
    }

    fn posts_writes(&self) -> bool {
        false
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok(self.card.borrow().shown_device_id())
    }
}

impl Drop for ConfigGateway {
    fn drop(&mut self) {
        if let Ok(mut card) = self.card.try_borrow_mut() {
            card.config_write(config::ADDRESS, HARMLESS | u32::from(self.write_only));
        }
    }
}
