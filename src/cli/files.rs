//! Files of the user: read with a bound, never overwritten.

use super::exit::Exit;
use super::failure::Failure;
use super::hints::{Code, Facts};
use crate::image::{Contents, ImageError};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

/// Largest file that is looked at: four times the largest flash a card of this family could
/// address. Anything longer is no image, and `/dev/zero` has no end.
const MAX: u64 = 64 << 20;

/// All bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let io = |e: std::io::Error| {
        Failure::from_error(Exit::Failed, Code::FileUnreadable, &e)
            .about(format!("{} cannot be read", path.display()))
    };
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > MAX {
        return Err(Failure::new(
            Exit::Failed,
            Code::NoImage,
            format!(
                "{} is longer than {}: no image, ROM or card file is",
                path.display(),
                super::units::kib(MAX)
            ),
        ));
    }
    Ok(bytes)
}

/// Make a file that does not exist yet; all bytes are on the disk afterwards.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let io = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            Exit::Failed,
            Code::Exists,
            format!("{} exists already", path.display()),
        )
        .with_hint(&Facts::default()),
        _ => Failure::from_error(Exit::Failed, Code::FileUnwritable, &e)
            .about(format!("{} cannot be written", path.display())),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(io)?;
    let wrote = file.write_all(bytes).and_then(|()| file.sync_all());
    wrote.map_err(|e| {
        // Half a file that looks like a whole one is worse than none.
        let _ = std::fs::remove_file(path);
        io(e)
    })
}

/// An image file, and its length with whatever follows the image.
pub(super) fn image(path: &Path) -> Result<(Contents, u64), Failure> {
    let bytes = read(path)?;
    let contents = Contents::from_file(&bytes).map_err(|e| image_failure(path, &e))?;
    Ok((contents, bytes.len() as u64))
}

/// One clear line for a file in which there is no image.
pub(super) fn image_failure(path: &Path, error: &ImageError) -> Failure {
    let code = match error {
        ImageError::Empty => Code::ImageEmpty,
        ImageError::Zip => Code::ImageZip,
        ImageError::OtherFormat(_) => Code::ImageGeneration,
        ImageError::Mfa => Code::ImageArchive,
        ImageError::RomFile => Code::ImageIsRom,
        ImageError::TooShort(_) | ImageError::NoMagic => Code::NoImage,
        ImageError::Unaligned(_) | ImageError::FailsafeWord(_) | ImageError::Source(_) => {
            Code::ImageDamaged
        }
    };
    let facts = Facts {
        image: Some(path),
        ..Facts::default()
    };
    Failure::from_error(Exit::Failed, code, error)
        .about(format!("{}", path.display()))
        .with_hint(&facts)
}
