//! Cards and files of the transcripts, by name. Small ones: 1 MiB of flash, images of 25 KB.

use cx3flash::image::{Guid, Half, Mac, Recipe, RomRecipe, Version, build, striped};
use cx3flash::sim::{CardSpec, Fault, SimCard, SimChip};
use std::path::Path;

/// What the vendor's images carry.
fn rom(subminor: u16, device: u16) -> Vec<u8> {
    RomRecipe::pxe((3, 4, subminor), device, 0x800).build().unwrap()
}

/// Make the ini say what the small chip is.
fn fitting(recipe: Recipe) -> Recipe {
    let mut recipe = recipe.matching_ini();
    recipe.ini =
        recipe.ini.map(|ini| ini.replace("log_flashdev_size = 21", "log_flashdev_size = 20"));
    recipe
}

/// 2.35.5100, not failsafe, with the owner's MACs.
fn old() -> Recipe {
    fitting(Recipe { size: 0, rom: Some(rom(648, 0x1003)), ..Recipe::mcx311a_2_35_5100() })
}

/// 2.42.5000, not failsafe.
fn new() -> Recipe {
    fitting(Recipe { size: 0, rom: Some(rom(752, 0x1003)), ..Recipe::mcx311a_2_42_5000() })
}

/// In chunks of 64 KiB.
fn failsafe(recipe: Recipe) -> Recipe {
    Recipe { chunk_log2: Some(16), ..recipe }
}

fn identity(recipe: Recipe) -> Recipe {
    Recipe {
        guids: Some([0, 1, 2, 3].map(|n| Guid(0xF452_1403_00AA_BBC0 + n))),
        macs: [Mac(0xF452_14AA_BBC0), Mac(0xF452_14AA_BBC1)],
        vsd: Some("shelf 3".into()),
        ..recipe
    }
}

/// 2.35.5100, failsafe, everything of the identity set.
fn fs_old() -> Recipe {
    identity(failsafe(old()))
}

/// 2.42.5000, failsafe.
fn fs_new() -> Recipe {
    failsafe(new())
}

/// An image by its file name without `.bin`.
fn recipe(name: &str) -> Option<Recipe> {
    Some(match name {
        "old" => old(),
        "new" => new(),
        "fs_old" => fs_old(),
        "fs_new" => fs_new(),
        "other_psid" => fitting(Recipe { psid: "MT_1060110018".into(), ..fs_new() }),
        "no_psid" => fitting(Recipe { psid: String::new(), ..fs_new() }),
        "pad" => Recipe { config_area: Some((1, 1, Some(2))), ..fs_new() },
        "chunk128" => Recipe { chunk_log2: Some(17), ..fs_new() },
        "pro" => fitting(Recipe {
            device_id: 4103,
            supported_hw: vec![(0x1F7, 0)],
            rom: Some(rom(752, 0x1007)),
            ..fs_new()
        }),
        "pro_untagged" => fitting(Recipe {
            device_id: 4103,
            supported_hw: vec![],
            rom: Some(rom(752, 0x1007)),
            ..fs_new()
        }),
        "rom_of_pro" => Recipe { rom: Some(rom(752, 0x1007)), ..fs_new() },
        "no_rom" => Recipe { rom: None, ..fs_new() },
        "no_product" => Recipe { product_version: None, ..fs_old() },
        "nf_no_product" => Recipe { product_version: None, ..old() },
        "no_product_no_rom" => Recipe { product_version: None, rom: None, ..fs_old() },
        "ancient_no_rom" => Recipe {
            product_version: None,
            rom: None,
            version: Version { major: 2, minor: 5, subminor: 900 },
            ..fs_old()
        },
        "four" => Recipe { guid_entries: 4, ..fs_old() },
        "four_new" => Recipe { guid_entries: 4, ..fs_new() },
        "no_vsd" => Recipe { vsd: None, ..fs_new() },
        "blank" => Recipe { guids: None, ..fs_old() },
        "nf_blank" => Recipe { guids: None, ..old() },
        "multicast" => Recipe { macs: [Mac(0x0102_C900_0001), Mac(0x0002_C900_0002)], ..fs_new() },
        "big" => Recipe { size: 0x7_F800, ..fs_new() },
        "nf_big" => Recipe { size: 0xF_F004, ..new() },
        "two_mib" => fs_new().matching_ini(),
        // Its last 64 KiB are shared with the settings area.
        "near_end" => Recipe { size: 0x7_E800, ..fs_new() },
        // An InfiniBand card: GUIDs and no MACs.
        "no_macs" => Recipe { macs: [Mac(u64::MAX); 2], ..fs_old() },
        "all_tags" => Recipe {
            vsd_vendor_id: Some(0x119F),
            min_fit_version: Some([1, 2, 3, 4]),
            hw_access_key: Some(7),
            config_area: Some((2, 1, Some(2))),
            ..fs_old()
        },
        "no_mic" => Recipe { mic_version: None, ..fs_new() },
        _ => return None,
    })
}

/// Bytes of a file of the transcripts.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let stem = name.strip_suffix(".bin").unwrap_or(name);
    match stem {
        "pxe.rom" => rom(900, 0x1003),
        "pro.rom" => rom(900, 0x1007),
        "zeros.rom" => vec![0; 0x800],
        "odd.rom" => rom(900, 0x1003)[..0x7FE].to_vec(),
        "damaged" => {
            let mut bytes = build(&fs_new()).unwrap();
            bytes[0x700] ^= 1;
            bytes
        }
        "trailing" => {
            let mut bytes = build(&fs_new()).unwrap();
            bytes.extend([0xA5; 64]);
            bytes
        }
        "short" => build(&fs_new()).unwrap()[..0x20].to_vec(),
        "unaligned" => build(&fs_new()).unwrap()[..0x1001].to_vec(),
        "no_magic" => vec![0x1A; 0x1000],
        _ => build(&recipe(stem).unwrap_or_else(|| panic!("no file is called {name}"))).unwrap(),
    }
}

/// Put the card called `name` into a new file.
pub(crate) fn card(name: &str, at: &Path) {
    let mut spec = CardSpec { chip: SimChip::W25q80, ..CardSpec::default() };
    let size = spec.chip.size();
    let even = |recipe: &Recipe| striped(&build(recipe).unwrap(), Half::Even, size).unwrap();
    let mut faults = Vec::new();
    let flash = match name {
        "nf" => build(&identity(old())).unwrap(),
        "owner" => build(&old()).unwrap(),
        "fs" => even(&fs_old()),
        "odd" => striped(&build(&fs_old()).unwrap(), Half::Odd, size).unwrap(),
        "both" => {
            let mut flash = even(&fs_old());
            let other = striped(&build(&fs_new()).unwrap(), Half::Odd, size).unwrap();
            for (mine, theirs) in flash.iter_mut().zip(other) {
                *mine &= theirs;
            }
            flash
        }
        "empty" => Vec::new(),
        "three" => {
            let mut flash = even(&fs_old());
            let magic = flash[..16].to_vec();
            flash[0x4_0000..][..16].copy_from_slice(&magic);
            flash[0x8_0000..][..16].copy_from_slice(&magic);
            flash
        }
        // With settings in their areas.
        "settings" => settings(even(&fs_old())),
        "nf_settings" => settings(build(&identity(old())).unwrap()),
        "bad_rom" => damaged(even(&fs_old()), 0x3A00),
        "bad_guid" => damaged(even(&fs_old()), 0x4150),
        "bad_boot2" => damaged(even(&fs_old()), 0x100),
        "a0" => {
            spec.revision = 0;
            even(&Recipe { supported_hw: vec![(0x1F5, 0)], ..fs_old() })
        }
        "held" => {
            faults.push(Fault::SemaphoreHeld { number: 63, reads: None, owner_alive: false });
            even(&fs_old())
        }
        "secure" => {
            spec.secure_host = true;
            even(&fs_old())
        }
        "worn" => {
            faults.push(Fault::FlippedBit { op: 2, bit: 5 });
            even(&fs_old())
        }
        "protected" => {
            faults.push(Fault::Protected { status: 0x1C });
            even(&fs_old())
        }
        // The image of that name.
        other => even(&recipe(other).unwrap_or_else(|| panic!("no card is called {other}"))),
    };
    let card = SimCard::create(at, spec, &flash).unwrap();
    for fault in faults {
        card.inject(fault);
    }
}

/// Something in both settings areas of either layout.
fn settings(mut flash: Vec<u8>) -> Vec<u8> {
    flash.resize(0x10_0000, 0xFF);
    for at in [0xE_F000, 0xF_E000, 0xF_F000] {
        flash[at..at + 0x40].fill(0xA5);
    }
    flash
}

fn damaged(mut flash: Vec<u8>, at: usize) -> Vec<u8> {
    flash[at] ^= 1;
    flash
}
