//! The files of the sockets, and the end of a server.

use super::{LIMIT, ServedCard};
use crate::sim::serve::{ServeError, ServePace, Server};
use crate::sim::{CardSpec, SimCard};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

fn bound(socket: &Path, control: Option<&Path>) -> Result<Server, ServeError> {
    Server::bind(SimCard::new(CardSpec::default(), &[]), ServePace::Fast, socket, control)
}

fn unix_socket() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("socket")
}

#[test]
fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
    let served = ServedCard::new("mcx311a");
    let in_use = bound(&served.path("socket"), None);
    assert!(matches!(in_use, Err(ServeError::InUse { .. })));
    let stale = served.path("stale");
    drop(UnixListener::bind(&stale).expect("socket"));
    assert!(stale.exists());
    drop(bound(&stale, None).expect("replaced"));
    assert!(!stale.exists());
    // The server was looked at, and goes on.
    assert_eq!(served.info()["clients_refused"], 0);
}

#[test]
fn what_is_no_socket_stays_at_its_path() {
    let dir = tempfile::tempdir().expect("directory");
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, b"not a socket").expect("file");
    std::os::unix::fs::symlink("file", &link).expect("link");
    for path in [&file, &link, &dir.path().to_owned()] {
        let error = bound(path, None).err().expect("refused");
        let text = error.to_string();
        assert_eq!(text, format!("{} exists and is not a socket", path.display()));
    }
    assert_eq!(std::fs::read(&link).expect("file"), b"not a socket");
}

#[test]
fn a_server_with_a_full_queue_is_in_use() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("socket");
    let address = UnixAddr::new(&path).expect("address");
    let busy = unix_socket();
    bind(busy.as_raw_fd(), &address).expect("bound");
    listen(&busy, Backlog::new(1).expect("backlog")).expect("listens");
    let waiting: Vec<OwnedFd> = (0..16)
        .map(|_| unix_socket())
        .take_while(|fd| connect(fd.as_raw_fd(), &address).is_ok())
        .collect();
    assert!(waiting.len() < 16, "the queue has no end");
    assert!(matches!(bound(&path, None), Err(ServeError::InUse { .. })));
}

#[test]
fn a_server_that_cannot_begin_leaves_no_socket() {
    let dir = tempfile::tempdir().expect("directory");
    let (socket, file) = (dir.path().join("socket"), dir.path().join("file"));
    std::fs::write(&file, b"").expect("file");
    assert!(matches!(bound(&socket, Some(&file)), Err(ServeError::NoSocket { .. })));
    assert!(!socket.exists());
}

#[test]
fn the_socket_of_a_later_server_stays() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("socket");
    let first = bound(&path, None).expect("bound");
    std::fs::remove_file(&path).expect("removed");
    let second = bound(&path, None).expect("bound");
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_stop_ends_a_server_with_half_a_message() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("socket");
    let (stop, mut signalled) = UnixStream::pair().expect("pair");
    let (ready, wait) = std::sync::mpsc::channel();
    let at = path.clone();
    let thread = std::thread::spawn(move || {
        let mut server = bound(&at, None).expect("bound");
        server.stop_on(stop);
        ready.send(()).expect("the test waits");
        server.run().is_ok()
    });
    wait.recv_timeout(LIMIT).expect("the server starts");
    let mut client = UnixStream::connect(&path).expect("connects");
    client.write_all(&[1]).expect("sent");
    signalled.write_all(&[0]).expect("signalled");
    assert!(thread.join().expect("the server ends"));
    assert!(!path.exists());
}
