//! The control channel: orders of a test harness, one a line; [`super`] lists them.

use super::device::ServedDevice;
use crate::sim::Fault;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Longest line.
const LINE: usize = 64 * 1024;
/// How long a write to a harness that does not read may take.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// What the server itself does after an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerAction {
    Nothing,
    Release,
    Quit,
}

/// Listener and connections.
pub(super) struct Control {
    listener: UnixListener,
    peers: Vec<Peer>,
    /// Stop answering when so many mutations are done.
    pub(super) hold_at: Option<u64>,
}

struct Peer {
    stream: UnixStream,
    line: Vec<u8>,
}

impl Control {
    pub(super) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            peers: Vec::new(),
            hold_at: None,
        })
    }

    /// Everything to poll for input.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let peers = self.peers.iter().map(|p| p.stream.as_fd());
        std::iter::once(self.listener.as_fd())
            .chain(peers)
            .collect()
    }

    /// Take what has come: new connections, and orders, each of which is acknowledged.
    pub(super) fn serve(&mut self, device: &mut ServedDevice) -> io::Result<ServerAction> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    let line = Vec::new();
                    self.peers.push(Peer { stream, line });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let mut after = ServerAction::Nothing;
        for mut peer in std::mem::take(&mut self.peers) {
            let alive = peer.fill();
            while let Some(line) = peer.next_line() {
                let (answer, what) = self.execute(device, &line);
                let _ = peer.send(&answer);
                if what != ServerAction::Nothing {
                    after = what;
                }
            }
            if alive {
                self.peers.push(peer);
            }
        }
        Ok(after)
    }

    /// Sends a line to every connection.
    pub(super) fn announce(&mut self, line: &str) {
        self.peers.retain_mut(|peer| peer.send(line).is_ok());
    }

    fn execute(&mut self, device: &mut ServedDevice, line: &str) -> (String, ServerAction) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let done = match (word, rest) {
            ("fault", _) => fault(device, rest),
            ("power-cycle", "") => {
                device.card.power_cycle();
                device.card.reset_config();
                device.settle();
                Ok(String::new())
            }
            ("info", "") => Ok(info(device, self.hold_at).to_string()),
            ("silent", "on" | "off") => {
                device.card.set_silent(rest == "on");
                Ok(String::new())
            }
            ("firmware", "dead" | "alive") => {
                device.firmware.set_dead(rest == "dead");
                Ok(String::new())
            }
            ("boot-ms", _) => match rest.parse() {
                Ok(ms) => {
                    device.card.set_boot_time(Duration::from_millis(ms));
                    Ok(String::new())
                }
                Err(_) => Err(format!("{rest:?} is no number")),
            },
            ("pci-reset-boots", "on" | "off") => {
                device.card.set_pci_reset_boots(rest == "on");
                Ok(String::new())
            }
            ("hold-at-mutation", _) => match rest.parse() {
                Ok(0) => {
                    self.hold_at = None;
                    Ok(String::new())
                }
                Ok(n) if n > device.card.mutations() => {
                    self.hold_at = Some(n);
                    Ok(String::new())
                }
                Ok(n) => Err(format!("{n} is past: {} are done", device.card.mutations())),
                Err(_) => Err(format!("{rest:?} is no number")),
            },
            ("release", "") => return ("ok".into(), ServerAction::Release),
            ("forget", "") => {
                let counters = device.card.take_counters();
                device.forget_counts();
                Ok(json!({ "counters": counters }).to_string())
            }
            ("quit", "") => return ("ok".into(), ServerAction::Quit),
            _ => Err(format!("no order is called {line:?}")),
        };
        let answer = match done {
            Ok(text) if text.is_empty() => "ok".into(),
            Ok(text) => format!("ok {text}"),
            Err(why) => format!("error {why}"),
        };
        (answer, ServerAction::Nothing)
    }
}

impl Peer {
    /// Read what there is; false when the peer has gone.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(n) => self.line.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return self.line.len() < LINE;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn next_line(&mut self) -> Option<String> {
        let end = self.line.iter().position(|b| *b == b'\n')?;
        let line: Vec<u8> = self.line.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let wrote = self.stream.write_all(format!("{line}\n").as_bytes());
        self.stream.set_nonblocking(true)?;
        wrote
    }
}

fn fault(device: &mut ServedDevice, text: &str) -> Result<String, String> {
    let fault: Fault =
        serde_json::from_str(text).map_err(|e| format!("no fault is called {text}: {e}"))?;
    device.card.inject(fault);
    Ok(String::new())
}

fn info(device: &ServedDevice, hold_at: Option<u64>) -> serde_json::Value {
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
        "boots": card.boots(),
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
        "dma_ranges": device.memory.len(),
        "msix_vectors": device.irqs.vectors(),
        "interrupts_sent": device.irqs.sent,
        "firmware": device.firmware.report(),
    })
}
