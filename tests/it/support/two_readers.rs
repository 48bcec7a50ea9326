//! One file, read by mstflint and by our reader.

use super::flint::Flint;
use super::flint_text::{self, VerifyEnd};
use super::ours;
use cx3flash::escape;
use cx3flash::image::Form;
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with the file.
pub struct TwoReaders {
    dir: TempDir,
    flint: &'static Flint,
}

impl TwoReaders {
    pub fn new(flint: &'static Flint) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, flint }
    }

    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image.bin")
    }

    pub fn put(&self, bytes: &[u8]) {
        std::fs::write(self.image(), bytes).unwrap();
    }

    /// Its verify of the file, and ours; `Err` describes the difference.
    pub fn same_verify(
        &self,
        bytes: &[u8],
        flags: &[&str],
        form: Form,
    ) -> Result<VerifyEnd, String> {
        let run = self.flint.run(&self.image(), flags, &["verify"]);
        if run.hung {
            return Err("mstflint hangs".into());
        }
        let mut theirs = flint_text::verify(&run.text, run.code)?;
        if let VerifyEnd::CannotOpen(text) = &mut theirs.end
            && text.starts_with(ours::UNALIGNED)
        {
            // The rest names the file.
            text.truncate(ours::UNALIGNED.len());
        }
        let ours = ours::verify(bytes, form).ok_or("ours predicts that mstflint never ends")?;
        if ours == theirs {
            Ok(ours.end)
        } else {
            Err(format!("verify: mstflint: {theirs:?}\nours: {ours:?}"))
        }
    }

    /// Its query full of the file, and ours.
    pub fn same_query(&self, bytes: &[u8], flags: &[&str], form: Form) -> Result<(), String> {
        let run = self.flint.run(&self.image(), flags, &["query", "full"]);
        let ours = ours::query(bytes, form);
        let theirs = match run.text.split_once("-E- Failed to query image: ") {
            Some((_, rest)) => {
                let (_, error) = rest.split_once(". ").ok_or(rest)?;
                Err(error.strip_suffix('\n').unwrap_or(error).to_owned())
            }
            None => {
                // mstflint prints control characters as they are.
                let lines: Vec<_> = run.text.split('\n').map(escape::line).collect();
                Ok(flint_text::query(&lines.join("\n")))
            }
        };
        let code = i32::from(theirs.is_err());
        if ours == theirs && run.code == code {
            return Ok(());
        }
        let (mut ours, mut theirs) = (ours, theirs);
        if let (Ok(a), Ok(b)) = (&mut ours, &mut theirs) {
            let same: Vec<_> = a.iter().filter(|f| b.contains(f)).cloned().collect();
            a.retain(|f| !same.contains(f));
            b.retain(|f| !same.contains(f));
        }
        Err(format!("query: mstflint ({}): {theirs:?}\nours: {ours:?}", run.code))
    }

    /// The file that its `command` writes.
    pub fn written(&self, flags: &[&str], command: &str) -> Option<Vec<u8>> {
        let out = self.dir.path().join("out");
        let _ = std::fs::remove_file(&out);
        let path = out.to_str().unwrap();
        let run = self.flint.run(&self.image(), flags, &[command, path]);
        (run.code == 0).then(|| std::fs::read(&out).unwrap())
    }

    pub fn checksum(&self) -> String {
        let run = self.flint.run(&self.image(), &[], &["checksum"]);
        let (_, sum) = run.text.split_once("Checksum: ").expect(&run.text);
        sum.trim().to_owned()
    }
}
