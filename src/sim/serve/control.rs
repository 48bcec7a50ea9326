//! The control channel: orders of a test harness, one a line; [`super`] lists them.

use super::device::ServedDevice;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Write};
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
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Control {
    pub(super) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, peers: Vec::new(), hold_at: None })
    }

    /// Everything to poll for input.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let peers = self.peers.iter().map(|p| p.stream.get_ref().as_fd());
        std::iter::once(self.listener.as_fd()).chain(peers).collect()
    }

    /// Take what has come: new connections, and orders, each of which is acknowledged.
    pub(super) fn serve(&mut self, device: &mut ServedDevice) -> io::Result<ServerAction> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    let (stream, line) = (BufReader::new(stream), Vec::new());
                    self.peers.push(Peer { stream, line });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let mut after = ServerAction::Nothing;
        for mut peer in std::mem::take(&mut self.peers) {
            loop {
                match peer.next_line() {
                    Ok(Some(line)) => {
                        let (answer, what) = self.execute(device, &line);
                        let _ = peer.send(&answer);
                        if what != ServerAction::Nothing {
                            after = what;
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock && peer.line.len() < LINE => {
                        self.peers.push(peer);
                        break;
                    }
                    Ok(None) | Err(_) => break,
                }
            }
        }
        Ok(after)
    }

    /// Sends a line to every connection.
    pub(super) fn announce(&mut self, line: &str) {
        self.peers.retain_mut(|peer| peer.send(line).is_ok());
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
    /// The next line; `None` when the peer has gone.
    fn next_line(&mut self) -> io::Result<Option<String>> {
        self.stream.read_until(b'\n', &mut self.line)?;
        let line = std::mem::take(&mut self.line);
        let complete = line.ends_with(b"\n");
        Ok(complete.then(|| String::from_utf8_lossy(&line).trim().to_owned()))
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let wrote = stream.write_all(format!("{line}\n").as_bytes());
        stream.set_nonblocking(true)?;
        wrote
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
        "firmware": device.firmware.report(),
    })
}
