//! The firmware: commands with mailboxes in guest memory, and an event with its interrupt.

use super::ServedCard;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use vfio_user::Client;

/// Bus address the guest's memory begins at.
const BASE: u64 = 0x4000_0000;
const IN: u64 = BASE + 0x1000;
const OUT: u64 = BASE + 0x2000;
const MTT: u64 = BASE + 0x3000;
const QUEUE: u64 = BASE + 0x4000;
const GO: u32 = 1 << 23;
const EVENT: u32 = 1 << 22;
const TOGGLE: u32 = 1 << 21;

/// A driver of a few lines.
struct MlxDriver {
    client: Client,
    memory: File,
    toggle: bool,
}

impl MlxDriver {
    fn new(served: &ServedCard) -> Self {
        let mut client = served.started();
        let fd = memfd_create("guest", MFdFlags::MFD_CLOEXEC);
        let memory = File::from(fd.expect("memfd"));
        memory.set_len(0x8000).expect("size");
        // Two mappings, each with a descriptor of its own, of which the second lies first.
        let raw = memory.as_raw_fd();
        client.dma_map(0x4000, BASE, 0x4000, raw).expect("map");
        client.dma_map(0, BASE + 0x4000, 0x4000, raw).expect("map");
        Self { client, memory, toggle: false }
    }

    /// Place in the file of a bus address.
    fn at(address: u64) -> u64 {
        (address - BASE) ^ 0x4000
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        let wrote = self.memory.write_all_at(bytes, Self::at(address));
        wrote.expect("memory");
    }

    fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut out = [0; N];
        let read = self.memory.read_exact_at(&mut out, Self::at(address));
        read.expect("memory");
        out
    }

    fn word(&mut self, n: u64, value: u32) {
        let wrote = self.client.region_write(0, 0x8_0680 + 4 * n, &value.to_be_bytes());
        wrote.expect("BAR0");
    }

    fn status_word(&mut self) -> u32 {
        let mut word = [0; 4];
        let read = self.client.region_read(0, 0x8_0698, &mut word);
        read.expect("BAR0");
        u32::from_be_bytes(word)
    }

    fn post(&mut self, opcode: u32, modifier: u32, (input, output): (u64, u64)) {
        self.word(0, (input >> 32) as u32);
        self.word(1, input as u32);
        self.word(2, modifier);
        self.word(3, (output >> 32) as u32);
        self.word(4, output as u32);
        self.word(5, 0x1234 << 16);
        let toggle = if self.toggle { TOGGLE } else { 0 };
        self.toggle = !self.toggle;
        self.word(6, GO | toggle | opcode);
    }

    /// Status of a command.
    fn run(&mut self, opcode: u32, modifier: u32, params: (u64, u64)) -> u32 {
        self.post(opcode, modifier, params);
        let word = self.status_word();
        assert_eq!(word & GO, 0, "go stays set");
        assert_eq!(word & TOGGLE != 0, !self.toggle, "toggle is kept");
        word >> 24
    }

    /// An event queue of 32 entries with vector 5.
    fn event_queue(&mut self) {
        let mut entry = [0; 16];
        entry[8..].copy_from_slice(&MTT.to_be_bytes());
        entry[0..8].copy_from_slice(&0x10_0000_u64.to_be_bytes());
        self.put(IN, &entry);
        assert_eq!(self.run(0xffa, 1, (IN, 0)), 0, "MAP_ICM");
        let mut hca = [0; 0x200];
        hca[0x100..0x108].copy_from_slice(&0x10_0000_u64.to_be_bytes());
        self.put(IN, &hca);
        assert_eq!(self.run(0x007, 0, (IN, 0)), 0, "INIT_HCA");
        self.put(MTT + 0x80, &(QUEUE | 1).to_be_bytes());
        let mut context = [0; 0x40];
        context[0x0c] = 5;
        context[0x17] = 5;
        context[0x1f] = 0x80;
        self.put(IN, &context);
        assert_eq!(self.run(0x013, 40, (IN, 0)), 0, "SW2HW_EQ");
        assert_eq!(self.run(0x012, 40, (1 << 10, 0)), 0, "MAP_EQ");
    }
}

#[test]
fn queries_report_the_running_image() {
    let served = ServedCard::new("mcx312b");
    let mut driver = MlxDriver::new(&served);
    assert_eq!(driver.run(0x004, 0, (0, OUT)), 0, "QUERY_FW");
    let fw: [u8; 16] = driver.get(OUT);
    // Major, subminor, minor.
    assert_eq!(fw[2..8], [0, 2, 0x14, 0x1e, 0, 36]);
    assert_eq!(driver.run(0x003, 0, (0, OUT)), 0, "QUERY_DEV_CAP");
    assert_eq!(driver.get::<1>(OUT + 0x37)[0] & 0xf, 2, "ports");
    // Loopback, UDP spreading, both steerings: see where they are set.
    assert_eq!(driver.get(OUT + 0x40), [0, 0, 7, 1]);
    assert_eq!(driver.run(0x006, 0, (0, OUT)), 0, "QUERY_ADAPTER");
    let psid: [u8; 16] = driver.get(OUT + 0xf0);
    // MT_1200111023, each word the other way round.
    assert_eq!(&psid, b"1_TM10022011\0\0\x003");
    for (port, status) in [(1, 0), (2, 0), (3, 3), (0, 3)] {
        assert_eq!(driver.run(0x043, port, (0, OUT)), status, "port {port}");
    }
    let spec = crate::sim::CardSpec::named("mcx312b").expect("board");
    let named = crate::sim::SimCard::new(spec.clone(), &super::flash_of(&spec)).named();
    let mac: [u8; 8] = driver.get(OUT + 0x10);
    assert_eq!(u64::from_be_bytes(mac), named.macs[1].0);
    assert_eq!(served.info()["misuse"], serde_json::json!([]));
}

#[test]
fn a_command_with_the_event_bit_raises_an_interrupt() {
    let served = ServedCard::new("mcx311a");
    let mut driver = MlxDriver::new(&served);
    let vectors: Vec<EventFd> =
        (0..8).map(|_| EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("eventfd")).collect();
    for (n, fd) in vectors.iter().enumerate() {
        let set = driver.client.set_irqs(2, 4 | 32, n as u32, 1, &[fd.as_raw_fd()]);
        set.expect("SET_IRQS");
    }
    driver.event_queue();
    for n in 0..32 {
        let entry: [u8; 32] = driver.get(QUEUE + 32 * n);
        assert_eq!(entry[31], 0x80, "entry {n} is the card's");
    }
    for n in 0..70_u64 {
        driver.post(0x031 | EVENT, 0, (0, 0));
        assert_eq!(vectors[5].read().expect("interrupt {n}"), 1);
        let entry: [u8; 32] = driver.get(QUEUE + 32 * (n % 32));
        let owner = if n / 32 % 2 == 0 { 0 } else { 0x80 };
        assert_eq!((entry[1], entry[15], entry[31]), (0x0a, 0, owner), "{n}");
        assert_eq!(entry[6..8], [0x12, 0x34]);
    }
    assert!(vectors[4].read().is_err(), "only its own vector");
    let info = served.info();
    assert_eq!(info["interrupts_sent"], 70);
    assert_eq!(info["msix_vectors"], 8);
    assert_eq!(info["firmware"]["failures"], serde_json::json!([]));
    // All of them away.
    driver.client.set_irqs(2, 1 | 32, 0, 0, &[]).expect("off");
    driver.post(0x031 | EVENT, 0, (0, 0));
    assert!(vectors[5].read().is_err(), "the eventfd is closed");
}

#[test]
fn unknown_commands_and_unreachable_mailboxes_fail() {
    let served = ServedCard::new("mcx311a");
    let mut driver = MlxDriver::new(&served);
    assert_eq!(driver.run(0x777, 0, (0, 0)), 2);
    assert_eq!(driver.run(0x004, 0, (0, 0x9000_0000)), 1);
    driver.client.dma_unmap(BASE, 0x4000).expect("unmap");
    assert_eq!(driver.run(0x004, 0, (0, OUT)), 1);
    // Bus mastering off: nothing is written.
    driver.client.region_write(7, 4, &[2, 0]).expect("COMMAND");
    assert_eq!(driver.run(0x004, 0, (0, QUEUE)), 1);
    let failures = served.info()["firmware"]["failures"].clone();
    assert_eq!(failures.as_array().map(Vec::len), Some(4), "{failures}");
}

#[test]
fn dead_firmware_never_answers() {
    let served = ServedCard::new("mcx311a");
    let mut driver = MlxDriver::new(&served);
    assert_eq!(served.order("firmware dead"), "ok");
    driver.post(0x004, 0, (0, OUT));
    assert_ne!(driver.status_word() & GO, 0);
    assert_eq!(served.order("firmware alive"), "ok");
    assert_eq!(driver.run(0x004, 0, (0, OUT)), 0);
    // Nor does a card without firmware.
    let spec = crate::sim::CardSpec::default();
    let blank = ServedCard::with(spec, &[]);
    let mut driver = MlxDriver::new(&blank);
    driver.post(0x004, 0, (0, OUT));
    assert_ne!(driver.status_word() & GO, 0);
}

#[test]
fn address_tables_are_kept_until_the_device_is_closed() {
    let served = ServedCard::new("mcx311a");
    let mut driver = MlxDriver::new(&served);
    driver.event_queue();
    let entry: Vec<u8> = (0..1024_u32).map(|n| n as u8).collect();
    driver.put(IN, &entry);
    assert_eq!(driver.run(0x026, 7, (IN, 0)), 0, "WRITE_MCG");
    assert_eq!(driver.run(0x025, 7, (0, OUT)), 0, "READ_MCG");
    assert_eq!(driver.get::<1024>(OUT).to_vec(), entry);
    assert_eq!(driver.run(0x008, 0, (0, 0)), 0, "CLOSE_HCA");
    assert_eq!(driver.run(0x025, 7, (0, OUT)), 0, "READ_MCG");
    assert_eq!(driver.get::<1024>(OUT), [0; 1024]);
}
