//! Serves a simulated card to programs that speak the shim's frames (see `shim.c`).

use cx3flash::card::{CrOffset, CrSpace};
use cx3flash::sim::{Counters, SimCard};
use nix::time::{ClockId, clock_gettime};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Configuration gateway: register address.
const ADDRESS: u16 = 0x58;
/// Configuration gateway: data.
const DATA: u16 = 0x5c;
/// Semaphore 32, with which the tools flush posted writes (mstflint
/// mtcr_ul/mtcr_ul_com.c, `mtcr_connectx_flush`).
const FLUSH: u32 = 0xf_0380;

/// How the time of a served card passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TimePace {
    /// With its accesses, and with the sleeps that the shim sends: the same in every run.
    Simulated,
    /// With the wall clock.
    Wall,
}

/// How accesses reach the card.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// As they come: configuration cycles.
    ConfigCycles,
    /// Each register access as the access to BAR0 that it stands for, with the flush of posted
    /// writes that mstflint does there.
    Bar0,
}

/// What a run left.
pub struct ServedRun {
    /// What the card counted.
    pub counters: Counters,
    /// The flash at the end.
    pub flash: Vec<u8>,
    /// Processor time of the server.
    pub cpu: Duration,
}

/// A card that is served by a thread of this process.
pub struct MstServer {
    home: tempfile::TempDir,
    thread: JoinHandle<ServedRun>,
}

impl MstServer {
    /// Serves the card that `make` returns.
    ///
    /// # Panics
    /// When the card or the socket cannot be made.
    pub fn start(
        make: impl FnOnce() -> SimCard + Send + 'static,
        pace: TimePace,
        transport: Transport,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join("s")).unwrap();
        let root = home.path().to_owned();
        let (ready, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let card = make();
            card.set_host_restores_config(false);
            super::show(&root, &card);
            let mut session = ServerSession::new(card, pace, transport);
            let _ = ready.send(());
            let start = thread_cpu();
            for stream in listener.incoming() {
                if session.serve(stream.expect("the shim connects")) {
                    break;
                }
            }
            ServedRun {
                counters: session.card.take_counters(),
                flash: session.card.flash(),
                cpu: thread_cpu().saturating_sub(start),
            }
        });
        wait.recv().expect("the card is served");
        Self { home, thread }
    }

    /// Directory that stands for the root of the file system.
    pub fn root(&self) -> &Path {
        self.home.path()
    }

    /// Where the card answers.
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("s")
    }

    /// Ends the server.
    ///
    /// # Panics
    /// When the server panicked.
    pub fn end(self) -> ServedRun {
        UnixStream::connect(self.socket())
            .and_then(|mut s| s.write_all(&[0; 8]))
            .expect("the server listens");
        self.thread.join().expect("the card was served to the end")
    }
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("Linux has a clock of each thread")
        .into()
}

struct ServerSession {
    card: SimCard,
    pace: TimePace,
    start: Instant,
    bar0: Option<GatewayBar0>,
}

/// BAR0 behind the two registers of the configuration gateway.
struct GatewayBar0 {
    space: Box<dyn CrSpace>,
    at: u32,
    wrote: bool,
}

impl ServerSession {
    fn new(card: SimCard, pace: TimePace, transport: Transport) -> Self {
        let bar0 = (transport == Transport::Bar0).then(|| GatewayBar0 {
            space: card.bar0(),
            at: 0,
            wrote: true,
        });
        let _ = card.take_counters();
        Self { card, pace, start: Instant::now(), bar0 }
    }

    /// Answers one program until it hangs up; true for the caller that ends the server.
    fn serve(&mut self, stream: UnixStream) -> bool {
        let clock = self.card.clock();
        let mut answers = stream.try_clone().expect("a socket has a second handle");
        let mut frames = BufReader::new(stream);
        let mut frame = [0; 8];
        while frames.read_exact(&mut frame).is_ok() {
            let [operation, _, low, high, a, b, c, d] = frame;
            let at = u16::from_le_bytes([low, high]);
            let value = u32::from_le_bytes([a, b, c, d]);
            if self.pace == TimePace::Wall {
                let behind = self.start.elapsed().saturating_sub(clock.now());
                clock.sleep(behind);
            }
            match operation {
                0 => return true,
                1 => {
                    let answer = self.read(at).to_le_bytes();
                    if answers.write_all(&answer).is_err() {
                        break;
                    }
                }
                2 => self.write(at, value),
                3 => clock.sleep(Duration::from_micros(value.into())),
                other => panic!("the shim sent operation {other}"),
            }
        }
        false
    }

    fn read(&mut self, at: u16) -> u32 {
        match (&mut self.bar0, at) {
            (Some(bar0), ADDRESS) => bar0.at,
            (Some(bar0), DATA) => bar0.read(),
            _ => self.card.config_read(at),
        }
    }

    fn write(&mut self, at: u16, value: u32) {
        match (&mut self.bar0, at) {
            (Some(bar0), ADDRESS) => bar0.at = value,
            (Some(bar0), DATA) => bar0.write(value),
            _ => self.card.config_write(at, value),
        }
    }
}

impl GatewayBar0 {
    fn read(&mut self) -> u32 {
        if std::mem::take(&mut self.wrote) {
            self.space.write(CrOffset(FLUSH), 0).expect("a register");
            while self.space.read(CrOffset(FLUSH)).expect("a register") != 0 {}
        }
        // What is no register reads as the configuration gateway reads it.
        self.space.read(CrOffset(self.at)).unwrap_or(u32::MAX)
    }

    fn write(&mut self, value: u32) {
        self.wrote = true;
        let _ = self.space.write(CrOffset(self.at), value);
    }
}
