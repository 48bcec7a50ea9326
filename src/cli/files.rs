//! Files the command line itself makes; never overwritten.

use super::exit::Exit;
use super::failure::Failure;
use super::hints::{Code, Facts};
use crate::host::create_file;
use std::io::ErrorKind;
use std::path::Path;

/// Make a file that does not exist yet; all bytes are on the disk afterwards.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    create_file(path, bytes).map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::AlreadyExists {
        let message = format!("{} exists already", path.display());
        return Failure::new(Exit::Failed, Code::Exists, message).with_hint(&Facts::default());
    }
    Failure::from_error(Exit::Failed, Code::FileUnwritable, error)
        .about(format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::write_new;
    use crate::cli::hints::Code;

    #[test]
    fn a_file_of_the_user_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_new(&path, b"first").unwrap();
        assert_eq!(write_new(&path, b"second").unwrap_err().code, Code::Exists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        let inside = path.join("y");
        assert_eq!(
            write_new(&inside, b"").unwrap_err().code,
            Code::FileUnwritable
        );
    }
}
