//! The control channel: orders of a test harness, one a line; [`super`] lists them.

use super::device::ServedDevice;
use super::socket::ServerSocket;
use nix::poll::PollFlags;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest line.
const LINE: usize = 64 * 1024;
/// Most bytes kept for a harness that does not read them.
const ANSWERS: usize = 1 << 20;

/// What the server itself does after an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerAction {
    Nothing,
    Release,
    Quit,
}

/// Listener and connections.
pub(super) struct Control {
    socket: ServerSocket,
    peers: Vec<Peer>,
    /// Stop answering when so many mutations are done.
    pub(super) hold_at: Option<u64>,
}

/// One connection. It never waits, and no order is read before the answer to the last one has gone.
struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It sends nothing any more.
    ended: bool,
}

impl Control {
    pub(super) fn new(socket: ServerSocket) -> Self {
        Self { socket, peers: Vec::new(), hold_at: None }
    }

    /// Everything to poll.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = (self.socket.fd(), PollFlags::POLLIN);
        std::iter::once(listener).chain(self.peers.iter().map(Peer::waits_for))
    }

    /// Orders have come that are not executed yet.
    pub(super) fn has_orders(&self) -> bool {
        self.peers.iter().any(|peer| peer.output.is_empty() && peer.input.contains(&b'\n'))
    }

    /// Take what has come: new connections, and one order of each, which is acknowledged.
    pub(super) fn serve(&mut self, device: &mut ServedDevice) -> io::Result<ServerAction> {
        while let Some(stream) = self.socket.accept()? {
            self.peers.push(Peer { stream, input: Vec::new(), output: Vec::new(), ended: false });
        }
        let mut after = ServerAction::Nothing;
        for mut peer in std::mem::take(&mut self.peers) {
            if let Some(line) = peer.next_order() {
                let (answer, what) = self.execute(device, &line);
                peer.send(&answer);
                if what != ServerAction::Nothing {
                    after = what;
                }
            }
            if peer.stays() {
                self.peers.push(peer);
            }
        }
        Ok(after)
    }

    /// Sends a line to every connection.
    pub(super) fn announce(&mut self, line: &str) {
        self.peers.iter_mut().for_each(|peer| peer.send(line));
    }

    fn execute(&mut self, device: &mut ServedDevice, line: &str) -> (String, ServerAction) {
        let after = match line {
            "release" => ServerAction::Release,
            "quit" => ServerAction::Quit,
            _ => match self.order(device, line) {
                Ok(None) => ServerAction::Nothing,
                Ok(Some(json)) => return (format!("ok {json}"), ServerAction::Nothing),
                Err(why) => return (format!("error {why}"), ServerAction::Nothing),
            },
        };
        ("ok".into(), after)
    }

    /// Does an order for the card; what it answers beyond `ok`, or what is wrong with it.
    fn order(&mut self, device: &mut ServedDevice, line: &str) -> Result<Option<Value>, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let number = || rest.parse::<u64>().map_err(|_| format!("{rest:?} is no number"));
        let card = device.card.clone();
        match (word, rest) {
            ("fault", _) => {
                let fault = serde_json::from_str(rest)
                    .map_err(|e| format!("no fault is called {rest}: {e}"))?;
                card.inject(fault);
            }
            ("power-cycle", "") => {
                card.power_cycle();
                card.state.borrow_mut().reset_config();
                device.settle();
            }
            ("info", "") => return Ok(Some(info(device, self.hold_at))),
            ("silent", "on" | "off") => {
                let mut state = card.state.borrow_mut();
                state.gone = rest == "on";
                state.save();
            }
            ("firmware", "dead" | "alive") => device.firmware.dead = rest == "dead",
            ("boot-ms", _) => card.set_boot_time(Duration::from_millis(number()?)),
            ("pci-reset-boots", "on" | "off") => {
                let mut state = card.state.borrow_mut();
                state.spec.pci_reset_boots = rest == "on";
                state.save();
            }
            ("hold-at-mutation", _) => {
                let (at, done) = (number()?, card.mutations());
                if at != 0 && at <= done {
                    return Err(format!("{at} is past: {done} are done"));
                }
                self.hold_at = (at != 0).then_some(at);
            }
            ("forget", "") => {
                let counters = card.take_counters();
                device.forget_counts();
                return Ok(Some(json!({ "counters": counters })));
            }
            _ => return Err(format!("no order is called {line:?}")),
        }
        Ok(None)
    }
}

impl Peer {
    fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        let idle = self.output.is_empty() && !self.ended;
        let events = if idle { PollFlags::POLLIN } else { PollFlags::POLLOUT };
        (self.stream.as_fd(), events)
    }

    /// The next line, once the last answer has gone.
    fn next_order(&mut self) -> Option<String> {
        self.flush();
        if !self.output.is_empty() {
            return None;
        }
        if !self.ended && !self.input.contains(&b'\n') {
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(n) => self.input.extend_from_slice(&bytes[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => self.ended = true,
            }
        }
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.input.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn send(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
        self.flush();
    }

    /// Sends as much as the socket takes.
    fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.ended = true;
                    self.input.clear();
                    self.output.clear();
                }
            }
        }
    }

    /// It has more to send or to read, and keeps the limits.
    fn stays(&self) -> bool {
        let left = !self.output.is_empty() || self.input.contains(&b'\n');
        (!self.ended || left) && self.input.len() < LINE && self.output.len() < ANSWERS
    }
}

fn info(device: &ServedDevice, hold_at: Option<u64>) -> Value {
    let card = &device.card;
    let digest = card.with_flash(|flash| {
        let hash = Sha256::digest(flash);
        hash.iter().map(|b| format!("{b:02x}")).collect::<String>()
    });
    json!({
        "flash_sha256": digest,
        "pci_device_id": card.pci_device_id(),
        "running": card.running(),
        "power_on": card.boot_outcome(),
        "power_on_either_order": card.boot_outcomes(),
        "reset": card.reset_outcome(),
        "boots": card.state.borrow().boots,
        "booting": card.is_booting(),
        "boot_ms": card.spec().boot_ms,
        "pci_reset_boots": card.spec().pci_reset_boots,
        "silent": card.is_silent(),
        "semaphores_held": card.semaphores_held(),
        "counters": card.counters(),
        "registers": device
            .busiest(20)
            .iter()
            .map(|(at, r, w)| json!({"at": format!("{at:#07x}"), "reads": r, "writes": w}))
            .collect::<Vec<_>>(),
        "mutations": card.mutations(),
        "hold_at_mutation": hold_at,
        "faults": card.faults(),
        "misuse": card.misuse(),
        "misuse_count": card.misuse_count(),
        "bus_master": device.config.masters(),
        "memory_decode": card.config_peek(4) & 2 != 0,
        "dma_ranges": device.memory.ranges.len(),
        "msix_vectors": device.irqs.vectors(),
        "interrupts_sent": device.irqs.sent,
        "firmware": device.firmware.report(card),
        "clients_refused": device.clients_refused,
    })
}
