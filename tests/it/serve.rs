//! `sim serve` as a process: its signals, its sockets, and descriptors that run out.

use crate::support::cli::Sandbox;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

struct CardServerProcess {
    sandbox: Sandbox,
    child: Child,
}

impl CardServerProcess {
    /// Started by this shell line, with the sockets `socket` and `control`.
    fn start(before: &str) -> Self {
        let sandbox = Sandbox::owner();
        let program = env!("CARGO_BIN_EXE_cx3flash");
        let line =
            format!("{before} exec {program} sim serve card.cx3 --socket socket --control control");
        let mut command = Command::new("sh");
        sandbox.prepare(&mut command);
        command.args(["-c", &line]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut serving = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut serving).unwrap();
        assert!(serving.starts_with("serving "), "{serving}");
        Self { sandbox, child }
    }

    fn connect(&self, name: &str) -> UnixStream {
        let stream = UnixStream::connect(self.sandbox.path(name)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// The server has ended, and how; its sockets are gone.
    fn ends(mut self) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        for name in ["socket", "control"] {
            assert!(!self.sandbox.path(name).exists(), "{name} is left behind");
        }
    }
}

impl Drop for CardServerProcess {
    fn drop(&mut self) {
        // A test that failed leaves no server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to an order; `None` when the connection is closed instead.
fn order(stream: &mut UnixStream, line: &str) -> Option<String> {
    let mut answer = String::new();
    writeln!(stream, "{line}").ok()?;
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        if byte == *b"\n" {
            return Some(answer);
        }
        answer.push(char::from(byte[0]));
    }
    None
}

#[test]
fn a_signal_ends_the_server_and_its_sockets_whatever_a_client_has_sent() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let server = CardServerProcess::start("");
        let mut client = server.connect("socket");
        client.write_all(&[1]).unwrap();
        assert!(order(&mut server.connect("control"), "info").unwrap().starts_with("ok "));
        kill(Pid::from_raw(server.child.id().cast_signed()), signal).unwrap();
        server.ends();
    }
}

#[test]
fn the_order_quit_ends_the_server_and_its_sockets() {
    let server = CardServerProcess::start("");
    assert_eq!(order(&mut server.connect("control"), "quit").as_deref(), Some("ok"));
    server.ends();
}

#[test]
fn a_server_without_descriptors_refuses_connections_and_goes_on() {
    let server = CardServerProcess::start("ulimit -n 24;");
    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut stream = server.connect("control");
        match order(&mut stream, "silent off") {
            Some(answer) => {
                assert_eq!(answer, "ok");
                kept.push(stream);
            }
            None => refused += 1,
        }
    }
    assert!(refused > 0 && !kept.is_empty(), "{refused} refused, {} kept", kept.len());
    // Clients are refused too; those that are there are served.
    assert!(matches!(server.connect("socket").read(&mut [0; 1]), Ok(0) | Err(_)));
    assert_eq!(order(&mut kept[0], "silent off").as_deref(), Some("ok"));
    drop(kept.split_off(1));
    let mut last = kept.remove(0);
    // The end of the others has been seen when one more is served.
    let mut quit = None;
    while quit.is_none() {
        assert_eq!(order(&mut last, "silent off").as_deref(), Some("ok"));
        quit = order(&mut server.connect("control"), "quit");
    }
    assert_eq!(quit.as_deref(), Some("ok"));
    server.ends();
}
