//! The lab's side of a bench: a guest with served cards.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::rooms::{Plugged, Room};
use super::served::Served;
use super::{Bench, Signalled, Transcript};
use crate::guest::agent::Ran;
use crate::guest::{Guest, Machine};
use crate::provision::{Flavour, Provisions};

/// Paths of the images in the guest: what the card comes with, and the newer one.
const IMAGES: [&str; 2] = ["/images/old.bin", "/images/new.bin"];

/// The image that brings the recovery card of [`Room::Crowd`] back.
pub const RECOVERY_IMAGE: &str = "/images/mcx311a.bin";

/// The image on the first card as it comes.
const CARD_IMAGE: &str = "/images/card.bin";

/// The image the witness burns: the same board's, not yet patched with an identity.
const SHAPES: [(&str, &str); 3] = [
    (IMAGES[0], "mcx312b-2.36.5150"),
    (IMAGES[1], "mcx312b-2.42.5000"),
    (RECOVERY_IMAGE, "mcx311a-2.42.5000"),
];

/// Three small images for a chip of 1 MiB: a burn reads all of the chip into a backup, and twenty of them shall not take
/// long. Three, so that a burn never finds the image that its half had before: it erases and programs all of it.
pub const SMALL_IMAGES: [(&str, &str); 3] = [
    ("/images/small0.bin", "2.40.5000"),
    ("/images/small1.bin", "2.41.5000"),
    ("/images/small2.bin", "2.42.5000"),
];

/// One guest with its cards.
#[derive(Debug)]
pub struct LabBench {
    // Before the servers: QEMU must be gone before what it talks to.
    guest: Guest,
    served: Vec<Served>,
    transcript: Transcript,
}

impl LabBench {
    /// Makes the cards of a room, serves them and boots its guest, all on one processor.
    ///
    /// # Errors
    ///
    /// When a card cannot be made or served, or the guest does not boot.
    pub fn start(provisions: &Provisions, room: Room, core: usize) -> Result<LabBench> {
        let dir = provisions.dir.join("guests").join(room.name());
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let mut files = images(provisions)?;
        let small = small_images(provisions, &dir)?;
        let mut served = Vec::new();
        let mut cards = Vec::new();
        for (n, plugged) in room.cards().iter().enumerate() {
            let file = create(provisions, &dir, n, plugged, &small[0])?;
            if n == 0 {
                files.push((CARD_IMAGE.to_owned(), image_of(provisions, &dir, &file)?));
            }
            let server = Served::start(&provisions.tool, &dir, n, &file, core)
                .with_context(|| format!("serving card {n} of {}", room.name()))?;
            cards.push((server.socket().to_owned(), plugged.slot, plugged.shown_as));
            served.push(server);
        }
        for (file, (path, _)) in small.iter().zip(SMALL_IMAGES) {
            files.push((path.to_owned(), std::fs::read(file)?));
        }
        let machine = Machine {
            append: room.append().to_owned(),
            iommu: room.iommu(),
            cards,
        };
        let flavour = Flavour { files };
        let guest = Guest::boot(provisions, &dir, &machine, &flavour, core)?;
        Ok(LabBench {
            guest,
            served,
            transcript: Transcript::default(),
        })
    }
}

impl Bench for LabBench {
    fn run(&mut self, command: &str, limit: Duration) -> Result<Ran> {
        self.guest.run(command, limit)
    }

    fn bdf(&self) -> &str {
        "0000:01:00.0"
    }

    fn tool(&self) -> &str {
        "cx3flash"
    }

    fn images(&self) -> [&str; 2] {
        IMAGES
    }

    fn served(&mut self, n: usize) -> Option<&mut Served> {
        self.served.get_mut(n)
    }

    fn signalled_at(
        &mut self,
        command: &str,
        signal: &str,
        mutation: u64,
        limit: Duration,
    ) -> Result<Signalled> {
        let served = self.served.first().context("no card is served")?;
        let mut hold = served.hold_at(mutation)?;
        let mut when = self.guest.when()?;
        // The guest's processor stands still while an access is unanswered, so the signal comes a little after the
        // release: what matters is that it comes from outside, at a place spread over the work.
        let script = format!(
            "({{ exec {command}; }} >/tmp/killed.out 2>/tmp/killed.err) & pid=$!\n\
             (until read -r x </run/when; do sleep 0.02; done; kill -{signal} $pid) & killer=$!\n\
             wait $pid; code=$?\n\
             kill $killer 2>/dev/null\n\
             cat /tmp/killed.out; cat /tmp/killed.err >&2; exit $code"
        );
        let guest = &mut self.guest;
        let (ran, reached) = std::thread::scope(|scope| {
            let watcher = scope.spawn(move || -> Result<bool> {
                let reached = hold.reached(limit)?;
                if reached {
                    when.write_all(b"now\n")?;
                    hold.release()?;
                }
                Ok(reached)
            });
            let ran = guest.run(&script, limit);
            (ran, watcher.join())
        });
        let reached = reached.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
        Ok(Signalled { reached, ran: ran? })
    }

    fn console(&self) -> String {
        self.guest.console()
    }

    fn transcript(&mut self) -> &mut Transcript {
        &mut self.transcript
    }
}

/// A card file of a room.
fn create(
    provisions: &Provisions,
    dir: &Path,
    n: usize,
    plugged: &Plugged,
    small: &Path,
) -> Result<PathBuf> {
    let file = dir.join(format!("card{n}.cx3"));
    let mut command = Command::new(&provisions.tool);
    command
        .args(["sim", "create"])
        .arg(&file)
        .args(plugged.create);
    if plugged.small {
        command.arg("--image").arg(small);
    }
    // The cards of a room need MACs of their own.
    if !plugged.create.contains(&"--blank") {
        command.args([format!("--mac=0002c900{:02x}10", 0x10 + n)]);
        command.args([format!("--guid=0002c903000{n:x}1010")]);
    }
    succeed(&mut command)?;
    Ok(file)
}

/// The image the first card comes with, taken from its flash before anything serves it.
fn image_of(provisions: &Provisions, dir: &Path, card: &Path) -> Result<Vec<u8>> {
    let out = dir.join("backup");
    let mut command = Command::new(&provisions.tool);
    command
        .arg("-d")
        .arg(format!("sim:{}", card.display()))
        .args(["backup", "--out"])
        .arg(&out)
        .env("XDG_STATE_HOME", dir);
    succeed(&mut command)?;
    let image = std::fs::read_dir(&out)?
        .flatten()
        .map(|entry| entry.path().join("image.bin"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| out.join("image.bin"));
    Ok(std::fs::read(image)?)
}

/// The image files of every guest, made once.
fn images(provisions: &Provisions) -> Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    for (path, shape) in SHAPES {
        let file = provisions.dir.join(format!("{shape}.bin"));
        let part = provisions
            .dir
            .join(format!(".{shape}.{:?}.part", std::thread::current().id()));
        let _ = std::fs::remove_file(&part);
        succeed(
            Command::new(&provisions.tool)
                .args(["sim", "image", "--like", shape])
                .arg(&part),
        )?;
        std::fs::rename(&part, &file)?;
        out.push((path.to_owned(), std::fs::read(file)?));
    }
    Ok(out)
}

/// [`SMALL_IMAGES`] as files of this host.
fn small_images(provisions: &Provisions, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for (n, (_, version)) in SMALL_IMAGES.iter().enumerate() {
        let (recipe, file) = (
            dir.join(format!("small{n}.json")),
            dir.join(format!("small{n}.bin")),
        );
        // No word on the flash size in its settings, so that it fits any chip; two halves of 512 KiB.
        std::fs::write(
            &recipe,
            format!(
                r#"{{"psid":"MT_1200111023","device_id":4103,"supported_hw":[[503,0]],"chunk_log2":19,"rom":null,"ini":"[ADAPTER]\nPSID = MT_1200111023\n","size":98304,"seed":{n}}}"#
            ),
        )?;
        let mut command = Command::new(&provisions.tool);
        command
            .args(["sim", "image"])
            .arg(&file)
            .arg("--recipe")
            .arg(&recipe);
        succeed(command.args(["--fw-version", version]))?;
        out.push(file);
    }
    Ok(out)
}

fn succeed(command: &mut Command) -> Result<()> {
    let out = command.output()?;
    if !out.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(())
}
