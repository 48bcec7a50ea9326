//! An update of an MCX311A-XCAT with our `flint` on a simulated card: the output is what an owner
//! recorded of flint 4.21 and the real card, line by line.
//!
//! The record has no blanks at line ends (flint pads its labels), so those are not compared.

use cx3flash::image::{Recipe, build};
use std::path::Path;
use std::process::Command;

/// `query full` of the card before the update.
const BEFORE: &str = "\
Image type:            FS2
FW Version:            2.35.5100
FW Release Date:       6.9.2015
MIC Version:           1.5.0
Config Sectors:        1
Product Version:       02.35.51.00
Rom Info:              type=PXE version=3.4.648
Device ID:             4099
Description:           Node             Port1            Port2            Sys image
GUIDs:                 ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff
MACs:                                       e41d2ddd7850     e41d2ddd7851
VSD:
PSID:                  MT_1170110023
";

/// `query full` of the new image.
const NEW: &str = "\
Image type:            FS2
FW Version:            2.42.5000
FW Release Date:       5.9.2017
MIC Version:           2.0.0
Config Sectors:        1
PRS Name:              cx3-1_MCX311A.prs
Product Version:       02.42.50.00
Rom Info:              type=PXE version=3.4.752
Device ID:             4099
Description:           Node             Port1            Port2            Sys image
GUIDs:                 0002c9000100d050 0002c9000100d051 0002c9000100d052 0002c9000100d050
MACs:                                       0002c9000001     0002c9000002
VSD:                   n/a
PSID:                  MT_1170110023
";

/// `verify` of the new image.
const TABLE: &str = "
     FS2 non failsafe image:

     /0x00000038-0x0000065b (0x000624)/ (BOOT2) - OK
     /0x0000065c-0x0000297f (0x002324)/ (BOOT2) - OK
     /0x00002980-0x00003923 (0x000fa4)/ (Configuration) - OK
     /0x00003924-0x0001d14b (0x019828)/ (ROM) - OK
     /0x0001d14c-0x0001d18f (0x000044)/ (GUID) - OK
     /0x0001d190-0x0001d313 (0x000184)/ (Image Info) - OK
     /0x0001d314-0x0002a6ab (0x00d398)/ (DDR) - OK
     /0x0002a6ac-0x0002b6ff (0x001054)/ (DDR) - OK
     /0x0002b700-0x0002bacf (0x0003d0)/ (DDR) - OK
     /0x0002bad0-0x00069aa7 (0x03dfd8)/ (DDR) - OK
     /0x00069aa8-0x0006e92b (0x004e84)/ (DDR) - OK
     /0x0006e92c-0x00072dff (0x0044d4)/ (DDR) - OK
     /0x00072e00-0x000738f7 (0x000af8)/ (DDR) - OK
     /0x000738f8-0x000a29eb (0x02f0f4)/ (DDR) - OK
     /0x000a29ec-0x000a6597 (0x003bac)/ (DDR) - OK
     /0x000a6598-0x000bb48b (0x014ef4)/ (DDR) - OK
     /0x000bb48c-0x000bb593 (0x000108)/ (DDR) - OK
     /0x000bb594-0x000c0617 (0x005084)/ (DDR) - OK
     /0x000c0618-0x000c1e13 (0x0017fc)/ (Configuration) - OK
     /0x000c1e14-0x000c1e87 (0x000074)/ (Jump addresses) - OK
     /0x000c1e88-0x000c250b (0x000684)/ (FW Configuration) - OK
     /0x00000000-0x000c250b (0x0c250c)/ (Full Image) - OK

-I- FW image verification succeeded. Image is bootable.

";

/// The burn: versions, the warning, the question (the `y` is typed, so it does not show), both steps.
const BURN: &str = "
    Current FW version on flash:  2.35.5100
    New FW version:               2.42.5000

Burn process will not be failsafe. No checks will be performed.
ALL flash, including the Invariant Sector will be overwritten.
If this process fails, computer may remain in an inoperable state.

 Do you want to continue ? (y/n) [n] :
Burning FS2 FW image without signatures - OK
Restoring signature                     - OK
";

/// DDR sections of the table, all of each.
const DDR: [u32; 12] = [
    0xD398, 0x1054, 0x3D0, 0x3_DFD8, 0x4E84, 0x44D4, 0xAF8, 0x2_F0F4, 0x3BAC, 0x1_4EF4, 0x108,
    0x5084,
];
/// FW Configuration, all of it.
const CONFIGURATION: usize = 0x684;
/// The whole image.
const SIZE: usize = 0xC_250C;

/// Header and CRC of a section.
const AROUND: u32 = 20;

/// An image with the sections and sizes of the vendor's. The ini is made longer
/// by a comment until it has the size of the real one.
fn image() -> Vec<u8> {
    let recipe =
        Recipe { ddr: DDR.map(|len| len - AROUND).to_vec(), ..Recipe::mcx311a_2_42_5000() };
    let ini = recipe.ini.clone().unwrap();
    let rest = SIZE - CONFIGURATION;
    let mut noise = 0x9E37_79B9_u32;
    let mut comment = String::from(";; ");
    loop {
        let recipe = Recipe { ini: Some(format!("{ini}{comment}\n")), ..recipe.clone() };
        let bytes = build(&recipe).unwrap();
        assert!(bytes.len() <= SIZE, "no comment makes it {SIZE:#x} bytes");
        if bytes.len() == SIZE {
            return bytes;
        }
        assert!(bytes.len() > rest);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        comment.push_str(&format!("{:02x}", noise >> 24));
    }
}

struct OwnersCard {
    dir: tempfile::TempDir,
}

impl OwnersCard {
    /// The card as it was, and the image.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("new.bin"), image()).unwrap();
        let owner = Self { dir };
        owner.run(&["sim", "create", "card.cx3"], "");
        owner
    }

    fn run(&self, args: &[&str], typed: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cx3flash"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("CX3FLASH_BACKUP_DIR", self.dir.path().join("backups"))
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("CX3FLASH_ROOT", self.dir.path().join("host"));
        let output = mst::output_of(&mut command, typed);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    fn card(&self, args: &[&str]) -> String {
        let mut all = vec!["flint", "-d", "sim:card.cx3"];
        all.extend(args);
        self.run(&all, "")
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(self.dir.path()).join(name)).unwrap()
    }
}

/// Without blanks at line ends, and of a line drawn over itself only what stays.
fn as_recorded(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let shown = line.trim_end_matches('\n').rsplit('\r').next().unwrap();
        out.push_str(shown.trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn every_step_of_an_update_has_its_documented_result() {
    let owner = OwnersCard::new();
    let new_image = ["flint", "-i", "new.bin"];
    assert_eq!(as_recorded(&owner.card(&["query", "full"])), BEFORE);
    let query = owner.run(&[&new_image[..], &["query", "full"]].concat(), "");
    assert_eq!(as_recorded(&query), NEW);
    let table = owner.run(&[&new_image[..], &["verify"]].concat(), "");
    assert_eq!(as_recorded(&table), TABLE);

    // 1. Backups.
    assert_eq!(owner.card(&["dc", "old.ini"]), "");
    assert_eq!(owner.card(&["ri", "old.mlx"]), "");
    assert_eq!(owner.card(&["rrom", "old.dump"]), "");
    let ini = String::from_utf8(owner.file("old.ini")).unwrap();
    assert!(ini.contains("PSID = MT_1170110023"), "{ini}");
    let saved = owner.run(&["flint", "-i", "old.mlx", "query", "full"], "");
    assert_eq!(as_recorded(&saved), BEFORE);
    let rom = owner.run(&["flint", "-i", "old.dump", "qrom"], "");
    assert_eq!(as_recorded(&rom).trim(), "Rom Info: type=PXE version=3.4.648");

    // 2. The burn, answered with y.
    let burn = owner.run(&["flint", "-d", "sim:card.cx3", "-i", "new.bin", "burn"], "y\n");
    // Typed on a terminal the answer ends the line; from a pipe it does not.
    let burn = burn.replace("[n] : \r", "[n] :\n\r");
    assert_eq!(as_recorded(&burn), BURN);

    // 3. Without a reboot: as the new image, with the card's own identity, and what runs.
    let now = NEW
        .replace(
            "FW Version:            2.42.5000\n",
            "FW Version:            2.42.5000\nFW Version(Running):   2.35.5100\n",
        )
        .replace(
            "0002c9000100d050 0002c9000100d051 0002c9000100d052 0002c9000100d050",
            "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        )
        .replace("0002c9000001     0002c9000002", "e41d2ddd7850     e41d2ddd7851")
        .replace("VSD:                   n/a", "VSD:");
    assert_eq!(as_recorded(&owner.card(&["query", "full"])), now);
    assert_eq!(as_recorded(&owner.card(&["verify"])), TABLE);

    // 4. After the next boot the new one runs.
    owner.run(&["sim", "power-cycle", "card.cx3"], "");
    let after = now.replace("FW Version(Running):   2.35.5100\n", "");
    assert_eq!(as_recorded(&owner.card(&["query", "full"])), after);
}

#[test]
fn activation_starts_the_new_firmware() {
    let owner = OwnersCard::new();
    owner.run(&["flint", "-y", "-d", "sim:card.cx3", "-i", "new.bin", "burn"], "");
    let pending = "FW Version(Running):   2.35.5100\n";
    assert!(owner.card(&["query"]).contains(pending));
    owner.run(&["-d", "sim:card.cx3", "activate"], "");
    let after = owner.card(&["query"]);
    assert!(after.contains("FW Version:            2.42.5000\n"), "{after}");
    assert!(!after.contains(pending), "{after}");
}
