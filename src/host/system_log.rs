//! Lines in the system's log, through `/dev/log`: journald listens there, and so does every syslog daemon. A host
//! without one gets none, and nothing fails.

use super::Host;
use crate::escape;
use std::io;
use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "dev/log";
/// Priority of a line: facility daemon, severity informational (RFC 3164).
const DAEMON_INFO: u8 = 3 * 8 + 6;
/// Characters of a line; an old daemon cuts one at 1024 bytes.
const MOST: usize = 900;

impl Host {
    /// Writes a line to the system's log. It waits for nothing.
    pub fn log_line(&self, text: &str) {
        if let Err(error) = self.send_line(text) {
            tracing::debug!(%error, "no line in the system's log");
        }
    }

    fn send_line(&self, text: &str) -> io::Result<()> {
        let text: String = escape::line(text).chars().take(MOST).collect();
        let line = format!("<{DAEMON_INFO}>cx3flash[{}]: {text}", std::process::id());
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(line.as_bytes(), self.path(SOCKET)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, SOCKET};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_line_goes_to_the_socket_of_the_log_and_stays_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        host.log_line("nothing listens");
        std::fs::create_dir(dir.path().join("dev")).unwrap();
        let socket = UnixDatagram::bind(dir.path().join(SOCKET)).unwrap();
        host.log_line("burn \u{1b}[8m\n<0>forged");
        let mut bytes = [0; 2000];
        let len = socket.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..len]);
        let wanted = format!("<30>cx3flash[{}]: burn \\x1b[8m\\n<0>forged", std::process::id());
        assert_eq!(line, wanted);
        host.log_line(&"x".repeat(10_000));
        assert!(socket.recv(&mut bytes).unwrap() < 1024);
    }
}
