//! Unpacks the kernel's `bzImage`: QEMU starts the uncompressed ELF file by its PVH entry, which
//! saves the emulated processor 2 to 2.5 s of decompression at each boot (docs/lab.md#fast-boot).

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use super::tree::{Tree, once};

/// `uname -r` of the tree's kernel, and its ELF file.
pub(super) fn extract(dir: &Path, trixie: &Tree) -> Result<(String, PathBuf)> {
    let boot = trixie.path("boot");
    let release = fs::read_dir(&boot)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))
        .with_context(|| format!("no vmlinuz-* in {}", boot.display()))?;
    let vmlinux = once(dir, &format!("vmlinux-{release}"), |part| {
        let image = fs::read(boot.join(format!("vmlinuz-{release}")))?;
        let payload = payload(&image).context("the kernel is no bzImage")?;
        let elf = decompress(trixie, payload)?;
        if elf.get(..4) != Some(b"\x7fELF") {
            bail!("the kernel's payload is no ELF file");
        }
        Ok(fs::write(part, elf)?)
    })?;
    Ok((release, vmlinux))
}

/// The compressed kernel inside a `bzImage`.
///
/// The x86 boot protocol (kernel documentation, arch/x86/boot): `HdrS` at 0x202, version at 0x206
/// (2.08 and later have the payload fields), the number of setup sectors at 0x1f1, offset and
/// length of the payload at 0x248 and 0x24c, counted from the end of the setup sectors. The length
/// includes the 4 bytes of the uncompressed size at its end.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let half = |at: usize| Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    if half(0x206)? < 0x208 {
        return None;
    }
    // 0 means 4, for the oldest loaders.
    let setup = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup + 1) * 512 + usize::try_from(word(0x248)?).ok()?;
    let length = usize::try_from(word(0x24c)?).ok()?.checked_sub(4)?;
    image.get(start..start.checked_add(length)?)
}

/// Decompresses with the program of the tree for the format of the first bytes.
pub(super) fn decompress(tree: &Tree, data: &[u8]) -> Result<Vec<u8>> {
    let program = match data {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "usr/bin/zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "usr/bin/xz",
        other => bail!("unknown compression: {:02x?}", other.get(..6)),
    };
    let mut child = tree
        .command(program)?
        .args(["-d", "-c", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let out = std::thread::scope(|scope| {
        // The pipe is small, so writing and reading must overlap.
        scope.spawn(move || stdin.write_all(data));
        child.wait_with_output()
    })?;
    if !out.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(out.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: u16, setup: u8, offset: u32, length: u32) -> Vec<u8> {
        let mut image = vec![0; 8192];
        image[0x1f1] = setup;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        image
    }

    #[test]
    fn the_payload_is_read_behind_the_setup_sectors() {
        let mut bytes = image(0x20f, 3, 0x10, 12);
        bytes[4 * 512 + 0x10..][..12].copy_from_slice(b"compressSIZE");
        assert_eq!(payload(&bytes), Some(&b"compress"[..]));
        let mut bytes = image(0x20f, 0, 0, 8);
        bytes[5 * 512..][..8].copy_from_slice(b"fourSIZE");
        assert_eq!(payload(&bytes), Some(&b"four"[..]));
    }

    #[test]
    fn a_file_without_payload_has_none() {
        assert_eq!(payload(&image(0x207, 3, 0x10, 12)), None);
        assert_eq!(payload(&image(0x20f, 3, 0x10, 3)), None);
        assert_eq!(payload(&image(0x20f, 3, 8000, 4000)), None);
        assert_eq!(payload(&image(0x20f, 3, u32::MAX, u32::MAX)), None);
        assert_eq!(payload(&vec![0; 8192]), None);
        assert_eq!(payload(b"short"), None);
    }
}
