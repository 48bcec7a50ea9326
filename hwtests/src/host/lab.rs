//! A guest of the lab as the host under test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::guests::{CardSetup, GuestKind};
use super::server::CardServer;
use super::{Signalled, TestHost, Transcript};
use crate::guest::agent::CommandOutput;
use crate::guest::{Guest, GuestMachine};
use crate::provision::Provisions;

/// Images of real size: path in the guest, and the name of the model image.
const MODELS: [(&str, &str); 2] =
    [("/images/old.bin", "mcx312b-2.36.5150"), ("/images/new.bin", "mcx312b-2.42.5000")];

/// The image that brings the recovery card of [`GuestKind::SeveralCards`] back. It is for another board than those of
/// the other cards.
pub const RECOVERY_IMAGE: &str = "/images/mcx311a.bin";

/// The image on the first card as it comes.
const CARD_IMAGE: &str = "/images/card.bin";

/// Small images for a chip of 1 MiB, path and version. With three of them a burn never finds in its half the image that
/// it writes: it erases and programs all of it.
pub const SMALL_IMAGES: [(&str, &str); 3] = [
    ("/images/small0.bin", "2.40.5000"),
    ("/images/small1.bin", "2.41.5000"),
    ("/images/small2.bin", "2.42.5000"),
];

/// One guest with its cards.
#[derive(Debug)]
pub struct LabHost {
    // Dropped before the servers: QEMU must end first.
    guest: Guest,
    servers: Vec<CardServer>,
    /// What the first card comes with, and a newer one.
    images: [&'static str; 2],
    transcript: Transcript,
}

impl LabHost {
    /// Makes the cards of a guest, serves them and boots it, all on processor `core`.
    pub fn start(provisions: &Provisions, kind: GuestKind, core: usize) -> Result<LabHost> {
        let dir = provisions.dir.join("guests").join(kind.name());
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let small = small_images(provisions, &dir)?;
        let full_size = kind == GuestKind::FullSize;
        let mut files = if full_size { images(provisions)? } else { Vec::new() };
        let mut servers = Vec::new();
        let mut cards = Vec::new();
        for (n, setup) in kind.cards().iter().enumerate() {
            let file = create(provisions, &dir, n, setup, &small[0].1)?;
            // What mstflint reads from the card is compared with it.
            if n == 0 && kind == GuestKind::Plain {
                files.push((CARD_IMAGE.to_owned(), image_of(provisions, &dir, &file)?));
            }
            let server = CardServer::start(&provisions.tool, &dir, n, &file, core)
                .with_context(|| format!("serving card {n} of {}", kind.name()))?;
            cards.push((server.socket().to_owned(), setup.slot, setup.shown_as));
            servers.push(server);
        }
        for (path, file) in small {
            files.push((path.to_owned(), std::fs::read(file)?));
        }
        let machine = GuestMachine { append: kind.append(), iommu: kind.has_iommu(), cards };
        let guest = Guest::boot(provisions, &dir, &machine, &files, core)?;
        let [old, new] = if full_size { MODELS } else { [SMALL_IMAGES[0], SMALL_IMAGES[1]] };
        Ok(LabHost { guest, servers, images: [old.0, new.0], transcript: Transcript::default() })
    }
}

impl TestHost for LabHost {
    fn run(&mut self, command: &str, limit: Duration) -> Result<CommandOutput> {
        self.guest.run(command, limit)
    }

    fn bdf(&self) -> &str {
        "0000:01:00.0"
    }

    fn tool(&self) -> &str {
        "cx3flash"
    }

    fn images(&self) -> [&str; 2] {
        self.images
    }

    fn server(&mut self, n: usize) -> Option<&mut CardServer> {
        self.servers.get_mut(n)
    }

    fn signalled_at(
        &mut self,
        command: &str,
        signal: &str,
        mutation: u64,
        limit: Duration,
    ) -> Result<Signalled> {
        let server = self.servers.first().context("no card is served")?;
        let mut hold = server.hold_at(mutation)?;
        let mut when = self.guest.when()?;
        // The guest's processor stops while an access is unanswered, so the signal comes a little
        // after the release.
        let script = format!(
            "({{ exec {command}; }} >/tmp/killed.out 2>/tmp/killed.err) & pid=$!\n\
             (until read -r x </run/when; do sleep 0.02; done; kill -{signal} $pid) & killer=$!\n\
             wait $pid; code=$?\n\
             kill $killer 2>/dev/null\n\
             cat /tmp/killed.out; cat /tmp/killed.err >&2; exit $code"
        );
        let guest = &mut self.guest;
        let (output, reached) = std::thread::scope(|scope| {
            let watcher = scope.spawn(move || -> Result<bool> {
                let reached = hold.reached(limit)?;
                if reached {
                    when.write_all(b"now\n")?;
                    hold.release()?;
                }
                Ok(reached)
            });
            let output = guest.run(&script, limit);
            (output, watcher.join())
        });
        let reached = reached.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
        Ok(Signalled { reached, output: output? })
    }

    fn console(&self) -> String {
        self.guest.console()
    }

    fn cpu_time(&self) -> Duration {
        let servers = self.servers.iter().map(CardServer::cpu_time);
        self.guest.cpu_time() + servers.sum::<Duration>()
    }

    fn transcript(&mut self) -> &mut Transcript {
        &mut self.transcript
    }
}

/// Makes the file of a guest's `n`th card.
fn create(
    provisions: &Provisions,
    dir: &Path,
    n: usize,
    setup: &CardSetup,
    small: &Path,
) -> Result<PathBuf> {
    let file = dir.join(format!("card{n}.cx3"));
    let mut command = sim(provisions, "create", &file);
    command.args(setup.create);
    if setup.small {
        command.arg("--image").arg(small);
    }
    // The cards of a guest need MACs of their own.
    if !setup.create.contains(&"--blank") {
        command.arg(format!("--mac=0002c900{:02x}10", 0x10 + n));
        command.arg(format!("--guid=0002c903000{n:x}1010"));
    }
    succeed(&mut command)?;
    Ok(file)
}

/// The image on the first card, read before the card is served.
fn image_of(provisions: &Provisions, dir: &Path, card: &Path) -> Result<Vec<u8>> {
    let out = dir.join("backup");
    succeed(
        Command::new(&provisions.tool)
            .args(["-d", &format!("sim:{}", card.display()), "backup", "--out"])
            .arg(&out)
            .env("XDG_STATE_HOME", dir),
    )?;
    let image = std::fs::read_dir(&out)?
        .flatten()
        .map(|entry| entry.path().join("image.bin"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| out.join("image.bin"));
    Ok(std::fs::read(image)?)
}

/// The images of real size.
fn images(provisions: &Provisions) -> Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    for (path, model) in MODELS {
        let file = provisions.dir.join(format!("{model}.bin"));
        let part = format!(".{model}.{:?}.part", std::thread::current().id());
        let part = provisions.dir.join(part);
        let _ = std::fs::remove_file(&part);
        succeed(sim(provisions, "image", &part).args(["--like", model]))?;
        std::fs::rename(&part, &file)?;
        out.push((path.to_owned(), std::fs::read(file)?));
    }
    Ok(out)
}

/// [`SMALL_IMAGES`] and [`RECOVERY_IMAGE`]: path in the guest, and the file of this host.
fn small_images(provisions: &Provisions, dir: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    // Failsafe with two halves of 512 KiB, and not failsafe.
    let pro = ("MT_1200111023", r#""device_id":4103,"supported_hw":[[503,0]],"chunk_log2":19"#);
    let other = ("MT_1170110023", r#""device_id":4099,"supported_hw":[[501,1]],"chunk_log2":null"#);
    let of_pro = SMALL_IMAGES.iter().map(|(path, version)| (*path, *version, pro));
    let mut out = Vec::new();
    for (n, (path, version, (psid, board))) in
        of_pro.chain([(RECOVERY_IMAGE, "2.42.5000", other)]).enumerate()
    {
        let recipe = dir.join(format!("small{n}.json"));
        let file = dir.join(format!("small{n}.bin"));
        // Its ini has no flash size, so it fits any chip.
        std::fs::write(
            &recipe,
            format!(
                r#"{{"psid":"{psid}",{board},"rom":null,"ini":"[ADAPTER]\nPSID = {psid}\n","size":98304,"seed":{n}}}"#
            ),
        )?;
        let mut command = sim(provisions, "image", &file);
        command.arg("--recipe").arg(&recipe);
        succeed(command.args(["--fw-version", version]))?;
        out.push((path, file));
    }
    Ok(out)
}

/// A `sim` command of the tool that makes `file`.
fn sim(provisions: &Provisions, what: &str, file: &Path) -> Command {
    let mut command = Command::new(&provisions.tool);
    command.args(["sim", what]).arg(file);
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let out = command.output()?;
    if !out.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
