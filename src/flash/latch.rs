//! Commands of the self-test of an expendable card: nothing else sends them.

use super::gateway::{BLOCK, Pieces, WEL};
use super::session::FlashSession;
use super::waits::ChipWork;
use super::{FlashError, Locked};
use crate::image::FlashAddr;

/// What the status register showed of the write-enable latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatchFigures {
    /// Set after write enable.
    pub set: bool,
    /// Clear after write disable.
    pub cleared: bool,
}

impl Locked<'_> {
    /// Sets the write-enable latch and clears it again. Nothing is written.
    ///
    /// # Errors
    /// [`FlashError`].
    pub fn probe_latch(&mut self) -> Result<LatchFigures, FlashError> {
        let gateway = &mut self.session().gateway;
        gateway.write_enable()?;
        let set = gateway.read_status()? & WEL != 0;
        gateway.write_disable()?;
        let cleared = gateway.read_status()? & WEL == 0;
        Ok(LatchFigures { set, cleared })
    }

    /// Programs FF over a blank block of 16 bytes; whether it is blank afterwards.
    ///
    /// # Errors
    /// [`FlashError::Differs`] when it is not blank before; nothing is programmed then.
    pub fn program_blank(&mut self, at: FlashAddr) -> Result<bool, FlashError> {
        let session = self.session();
        let is_blank = |session: &mut FlashSession<'_>| {
            let block = session.agreed_block(at.0)?;
            Ok::<_, FlashError>(block.iter().find(|byte| **byte != 0xFF).copied())
        };
        if let Some(found) = is_blank(session)? {
            return Err(FlashError::Differs { at: at.0, found, wanted: 0xFF });
        }
        session.write_enable()?;
        session.begin_work();
        session.gateway.program(&Pieces::blank(at.0))?;
        session.finish(at.0, ChipWork::PAGE_PROGRAM)?;
        Ok(is_blank(session)?.is_none())
    }
}

impl Pieces {
    /// One piece that changes no cell.
    fn blank(at: u32) -> Self {
        Self::of_block(at, [0xFF; BLOCK])
    }
}
