//! Files the command line itself makes; never overwritten.

use super::failure::Failure;
use crate::host::create_file;
use crate::job::Code;
use std::io::ErrorKind;
use std::path::Path;

/// Make a file that does not exist yet; all bytes are on the disk afterwards.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    create_file(path, bytes).map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::AlreadyExists {
        let message = format!("{} exists already", path.display());
        return Failure::new(Code::Exists, message);
    }
    Failure::from_error(Code::FileUnwritable, error)
        .about(format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::write_new;
    use crate::job::Code;

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
