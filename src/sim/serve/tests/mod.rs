//! A served card and the client of the crate `vfio_user`.

mod clients;
mod config;
mod control;
mod firmware;
mod protocol;
mod registers;
mod sockets;

use super::{ServePace, Server};
use crate::card::{CrError, CrOffset, CrSpace};
use crate::image::{Half, Recipe, build, striped};
use crate::sim::{CardSpec, SimCard};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use vfio_user::Client;

/// Configuration space.
const CONFIG: u32 = 7;
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A card, its server, and the way to give it orders.
struct ServedCard {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

/// Flash of a card of this kind.
fn flash_of(spec: &CardSpec) -> Vec<u8> {
    let recipe =
        if spec.hw_id == 0x1f7 { Recipe::mcx312b_2_36_5150() } else { Recipe::mcx311a_2_35_5100() };
    let recipe = Recipe { supported_hw: vec![(spec.hw_id, spec.revision)], ..recipe };
    let image = build(&recipe).expect("recipe");
    striped(&image, Half::Even, spec.chip.size()).expect("fits")
}

impl ServedCard {
    fn new(board: &str) -> Self {
        let spec = CardSpec::named(board).expect("board");
        let flash = flash_of(&spec);
        Self::with(spec, &flash)
    }

    fn with(spec: CardSpec, flash: &[u8]) -> Self {
        Self::at_pace(spec, flash, ServePace::Fast)
    }

    fn at_pace(spec: CardSpec, flash: &[u8], pace: ServePace) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("card");
        drop(SimCard::create(&file, spec, flash).expect("card file"));
        let (socket, control) = (dir.path().join("socket"), dir.path().join("control"));
        let (ready, wait) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let card = SimCard::open(&file).expect("card file");
            let server = Server::bind(card, pace, &socket, Some(&control));
            let mut server = server.expect("sockets");
            ready.send(()).expect("the test waits");
            server.run().expect("runs");
        });
        wait.recv_timeout(LIMIT).expect("the server starts");
        Self { dir, thread: Some(thread) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self) -> Client {
        Client::new(&self.path("socket")).expect("client")
    }

    /// A client that has switched memory decode and bus mastering on.
    fn started(&self) -> Client {
        let mut client = self.client();
        client.region_write(CONFIG, 4, &[6, 0]).expect("COMMAND");
        client
    }

    /// A connection for orders.
    fn control(&self) -> Orders {
        let stream = UnixStream::connect(self.path("control")).expect("control");
        stream.set_read_timeout(Some(LIMIT)).expect("time limit");
        Orders(BufReader::new(stream))
    }

    /// One order on a connection of its own.
    fn order(&self, line: &str) -> String {
        self.control().order(line)
    }

    fn info(&self) -> serde_json::Value {
        let answer = self.order("info");
        let json = answer.strip_prefix("ok ").expect("ok");
        serde_json::from_str(json).expect("JSON")
    }
}

impl Drop for ServedCard {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let answer = self.order("quit");
            let ended = thread.join();
            if !std::thread::panicking() {
                assert_eq!(answer, "ok");
                assert!(ended.is_ok(), "the server panicked");
                assert!(!self.path("socket").exists(), "the socket is left behind");
            }
        }
    }
}

struct Orders(BufReader<UnixStream>);

impl Orders {
    fn order(&mut self, line: &str) -> String {
        let stream = self.0.get_mut();
        stream.write_all(format!("{line}\n").as_bytes()).expect("order");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        line.trim_end().to_owned()
    }
}

/// BAR0 through a client.
#[derive(Clone)]
struct ClientBar0(Rc<RefCell<Client>>);

impl ClientBar0 {
    fn new(client: Client) -> Self {
        Self(Rc::new(RefCell::new(client)))
    }
}

impl CrSpace for ClientBar0 {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let mut bytes = [0; 4];
        let read = self.0.borrow_mut().region_read(0, at.0.into(), &mut bytes);
        read.map_err(|e| CrError::Io { at: at.0, source: std::io::Error::other(e.to_string()) })?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        let mut client = self.0.borrow_mut();
        let wrote = client.region_write(0, at.0.into(), &value.to_be_bytes());
        wrote.map_err(|e| CrError::Io { at: at.0, source: std::io::Error::other(e.to_string()) })
    }

    fn posts_writes(&self) -> bool {
        true
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        Ok((dword(&mut self.0.borrow_mut(), 0) >> 16) as u16)
    }

    fn back_after_reset(&mut self) -> Result<bool, CrError> {
        let mut client = self.0.borrow_mut();
        if dword(&mut client, 8) == u32::MAX {
            return Ok(false);
        }
        client.region_write(CONFIG, 4, &[6, 0]).expect("COMMAND");
        Ok(true)
    }
}

fn dword(client: &mut Client, at: u64) -> u32 {
    let mut bytes = [0; 4];
    client.region_read(CONFIG, at, &mut bytes).expect("config");
    u32::from_le_bytes(bytes)
}

fn set_dword(client: &mut Client, at: u64, value: u32) {
    let wrote = client.region_write(CONFIG, at, &value.to_le_bytes());
    wrote.expect("config");
}
