//! Which words on the gateway's data registers are contents of the flash, and of which address.
//!
//! Only what this driver itself sends is understood ([`crate::flash::gateway`]); whatever else stands in a
//! data register counts as contents that must not be shown.

use crate::card::Reg;
use crate::flash::gateway::{CommandBits, Opcode};

/// What a word of a data register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataWord {
    /// What the chip answers about itself: its id, its status.
    Answer,
    /// Contents of the flash at this address.
    Flash(u32),
    /// Anything else.
    Other,
}

/// Follows the gateway's registers.
#[derive(Debug)]
pub(super) struct GatewayView {
    address: u32,
    /// What data register 0 holds.
    holds: DataWord,
    /// Address of the next block of a chain of reads.
    next: Option<u32>,
}

impl Default for GatewayView {
    fn default() -> Self {
        Self { address: 0, holds: DataWord::Other, next: None }
    }
}

impl GatewayView {
    /// A register was written.
    pub(super) fn write(&mut self, reg: Reg, value: u32) {
        match reg {
            Reg::GatewayAddress => self.address = value,
            Reg::GatewayCommand => self.command(value),
            Reg::GatewayData(_) => self.holds = DataWord::Other,
            _ => {}
        }
    }

    fn command(&mut self, word: u32) {
        let bits = CommandBits::from_bits_truncate(word);
        let opcode = (word >> 16 & 0xff) as u8;
        let chained = self.next.take();
        let is_read = bits.contains(CommandBits::READ | CommandBits::DATA_PHASE);
        let start = match (is_read, bits.contains(CommandBits::OPCODE_PHASE)) {
            (true, true) if opcode == Opcode::Read as u8 => Some(self.address),
            (true, false) => chained,
            _ => None,
        };
        let about_chip = [Opcode::ReadId, Opcode::ReadStatus, Opcode::ReadStatus2];
        self.holds = match start {
            Some(at) => DataWord::Flash(at),
            None if is_read && about_chip.iter().any(|known| *known as u8 == opcode) => {
                DataWord::Answer
            }
            None => DataWord::Other,
        };
        let len = 1_u32 << (word >> 8 & 7);
        self.next =
            start.filter(|_| bits.contains(CommandBits::HOLD)).map(|at| at.wrapping_add(len));
    }

    /// What data register `n` holds. Known tools read one register of an answer.
    pub(super) fn data(&self, n: u8) -> DataWord {
        match self.holds {
            DataWord::Flash(at) => DataWord::Flash(at.wrapping_add(4 * u32::from(n))),
            DataWord::Answer if n == 0 => DataWord::Answer,
            _ => DataWord::Other,
        }
    }
}

/// What several readings of one place showed, one of which may have been wrong: the value of the majority; of
/// two readings that differ, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Majority<T> {
    value: T,
    /// Readings that showed it, less those that did not since it was taken.
    votes: u32,
}

impl<T: Copy + PartialEq> Majority<T> {
    pub(super) fn first(value: T) -> Self {
        Self { value, votes: 1 }
    }

    /// One more reading.
    pub(super) fn see(&mut self, value: T) {
        match (self.value == value, self.votes) {
            (true, votes) => self.votes = votes.saturating_add(1),
            (false, 0 | 1) => *self = Self::first(value),
            (false, votes) => self.votes = votes - 1,
        }
    }

    pub fn value(&self) -> T {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_worked_trace_have_their_addresses() {
        let mut state = GatewayView::default();
        assert_eq!(state.data(0), DataWord::Other);
        state.write(Reg::GatewayCommand, 0x409F_2215);
        assert_eq!([state.data(0), state.data(1)], [DataWord::Answer, DataWord::Other]);
        state.write(Reg::GatewayAddress, 0x10);
        state.write(Reg::GatewayCommand, 0x4003_241D);
        assert_eq!([state.data(0), state.data(3)], [DataWord::Flash(0x10), DataWord::Flash(0x1C)]);
        // A chain, and what follows it.
        state.write(Reg::GatewayCommand, 0x4003_243D);
        state.write(Reg::GatewayCommand, 0x4000_2431);
        assert_eq!(state.data(0), DataWord::Flash(0x20));
        state.write(Reg::GatewayCommand, 0x4000_2411);
        assert_eq!(state.data(0), DataWord::Flash(0x30));
        state.write(Reg::GatewayCommand, 0x4000_2411);
        assert_eq!(state.data(0), DataWord::Other);
    }

    #[test]
    fn what_is_programmed_is_no_answer_of_the_chip() {
        let mut state = GatewayView::default();
        state.write(Reg::GatewayCommand, 0x4005_2215);
        state.write(Reg::GatewayData(0), 0xe41d_2ddd);
        assert_eq!(state.data(0), DataWord::Other);
        state.write(Reg::GatewayCommand, 0x4002_241C);
        assert_eq!(state.data(0), DataWord::Other);
    }

    #[test]
    fn what_most_readings_show_is_believed_and_of_two_the_later() {
        for (readings, believed) in
            [("a", 'a'), ("ab", 'b'), ("aab", 'a'), ("baa", 'a'), ("aba", 'a'), ("aabba", 'a')]
        {
            let mut readings_left = readings.chars();
            let mut seen = Majority::first(readings_left.next().unwrap());
            readings_left.for_each(|reading| seen.see(reading));
            assert_eq!(seen.value(), believed, "{readings}");
        }
    }
}
