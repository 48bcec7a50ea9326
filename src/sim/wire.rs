//! Where an SPI chip is inside one transaction.

/// What is to come after the three address bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum AfterAddress {
    Read,
    FastRead,
    Program,
    Erase { len: u32, ns: u64 },
}

/// Where the chip is in a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum WireState {
    /// Chip-select high.
    Idle,
    /// Chip-select low, opcode awaited.
    Opcode,
    Address {
        got: u8,
        at: u32,
        after: AfterAddress,
    },
    /// One dummy byte of a fast read.
    Dummy {
        at: u32,
    },
    Read {
        at: u32,
    },
    Program {
        at: u32,
        count: u32,
    },
    EraseReady {
        at: u32,
        len: u32,
        ns: u64,
    },
    /// RDID; pads with 0 behind the id (docs/hardware.md#requirements-for-an-emulator item 9).
    Id {
        at: usize,
    },
    /// ABh: three dummy bytes, then the signature for as long as it is clocked.
    Signature {
        at: u8,
    },
    /// Any register that repeats for as long as it is clocked.
    Status1,
    Status2,
    Flags,
    /// B5h: erased non-volatile configuration register, all ones.
    Ones,
    WriteEnable,
    WriteDisable,
    WriteStatus {
        bytes: [u8; 2],
        got: u8,
    },
    ChipErase,
    /// Nothing until chip-select rises; data line reads ones.
    Ignored,
}
