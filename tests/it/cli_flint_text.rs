//! Our rendering of flint's text against flint itself, byte for byte.
//!
//! Runs when `mstflint` is installed (the CI script installs it); reports it when it is not.

use cx3flash::flint::text::{self as flint_text, QueryText};
use cx3flash::image::{Contents, Guid, Recipe, RomBlock, RomRecipe, Version, build};
use std::path::Path;
use std::process::Command;

/// stdout of `mstflint -i FILE ARGS`; `None` when there is no mstflint.
fn flint(file: &Path, args: &[&str]) -> Option<String> {
    let ran = Command::new("mstflint").arg("-i").arg(file).args(args).output();
    match ran {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            eprintln!("mstflint is not installed: nothing compared");
            None
        }
    }
}

fn rom(blocks: Vec<RomBlock>) -> Option<Vec<u8>> {
    let recipe = RomRecipe { blocks, size: 0x1000, ..RomRecipe::pxe((3, 4, 1), 0x1003, 0x1000) };
    Some(recipe.build().unwrap())
}

fn block(product: u16) -> RomBlock {
    RomBlock {
        product,
        version: (3, 4, 752),
        device_id: 0x1003,
        port: 0,
        protocol: 0xFF,
        cpu: 0,
        text: None,
    }
}

/// (name, recipe): every line of `query full` in every form it has.
fn variants() -> Vec<(&'static str, Recipe)> {
    let base = Recipe { size: 0, ..Recipe::default() };
    let with = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = base.clone();
        change(&mut recipe);
        recipe
    };
    vec![
        ("311a old", Recipe::mcx311a_2_35_5100()),
        ("311a new", Recipe::mcx311a_2_42_5000()),
        ("312b old", Recipe::mcx312b_2_36_5150()),
        ("312b new", Recipe::mcx312b_2_42_5000()),
        ("no rom", with(&|r| r.rom = None)),
        ("no ini", with(&|r| r.ini = None)),
        ("blank", with(&|r| r.guids = None)),
        ("blank guids, macs set", with(&|r| r.guids = Some([Guid(u64::MAX); 4]))),
        ("4 entries", with(&|r| r.guid_entries = 4)),
        ("multicast", with(&|r| r.macs[0].0 |= 1 << 40)),
        ("second bad", with(&|r| r.macs[1].0 |= 1 << 50)),
        (
            "both bad",
            with(&|r| {
                r.macs[0].0 |= 1 << 50;
                r.macs[1].0 |= 1 << 40;
            }),
        ),
        ("foreign vendor", with(&|r| r.vsd_vendor_id = Some(0x1234))),
        ("no vendor", with(&|r| r.vsd_vendor_id = None)),
        ("no vsd", with(&|r| r.vsd = None)),
        ("no mic", with(&|r| r.mic_version = None)),
        ("fit", with(&|r| r.min_fit_version = Some([1, 2, 3, 4]))),
        ("key", with(&|r| r.hw_access_key = Some(5))),
        ("zero key", with(&|r| r.hw_access_key = Some(0))),
        ("pad", with(&|r| r.config_area = Some((2, 3, None)))),
        ("no area", with(&|r| r.config_area = None)),
        (
            "no names",
            with(&|r| {
                r.prs_name = None;
                r.product_version = None;
            }),
        ),
        ("minor 100", with(&|r| r.version = Version { major: 2, minor: 100, subminor: 7 })),
        ("version 0", with(&|r| r.version = Version::default())),
        ("uefi", with(&|r| r.rom = rom(vec![block(0x10), block(0x11)]))),
        (
            "port cpu proto",
            with(&|r| {
                r.rom = rom(vec![
                    RomBlock { port: 1, protocol: 2, cpu: 3, ..block(0x10) },
                    RomBlock { protocol: 1, cpu: 1, ..block(0x11) },
                ]);
            }),
        ),
        ("clp 12", with(&|r| r.rom = rom(vec![block(0x12)]))),
        ("clp1", with(&|r| r.rom = rom(vec![block(1)]))),
        ("unknown rom", with(&|r| r.rom = rom(vec![block(0x99)]))),
        ("no blocks", with(&|r| r.rom = rom(vec![]))),
        (
            "mismatch",
            with(&|r| {
                r.rom = rom(vec![block(0x10), RomBlock { device_id: 0x1007, ..block(0x11) }])
            }),
        ),
        (
            "rom text",
            with(&|r| {
                r.rom = rom(vec![RomBlock { text: Some("8.7.6".into()), ..block(0xF) }]);
            }),
        ),
        ("one boot2", with(&|r| r.boot2_blocks = 1)),
        ("failsafe", with(&|r| r.chunk_log2 = Some(16))),
    ]
}

#[test]
fn query_and_verify_of_a_valid_image_are_those_of_flint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.bin");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, recipe) in variants() {
        let bytes = build(&recipe).unwrap_or_else(|e| panic!("{name}: {e}"));
        std::fs::write(&path, &bytes).unwrap();
        let contents = Contents::from_file(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        for full in [false, true] {
            let args: &[&str] = if full { &["query", "full"] } else { &["query"] };
            let Some(theirs) = flint(&path, args) else {
                return;
            };
            let ours = flint_text::query(
                contents.image(),
                QueryText { full, running: None, flint_dates: true },
            );
            compared += 1;
            if ours != theirs {
                wrong.push(format!("{name} {args:?}:\n{ours}\n--- flint:\n{theirs}"));
            }
        }
        let theirs = flint(&path, &["verify"]).unwrap();
        let ours = flint_text::verify(contents.image());
        compared += 1;
        if ours != theirs {
            wrong.push(format!("{name} verify:\n{ours}\n--- flint:\n{theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n=====\n"));
}

#[test]
fn verify_of_a_damaged_image_is_that_of_flint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.bin");
    let recipe = Recipe { size: 0, ..Recipe::default() };
    let good = build(&recipe).unwrap();
    let end = good.len();
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    // A few places in each kind of block; offsets 4 and 8 of a GPH are left out (flint may hang).
    for at in [
        0x10,
        0x20,
        0x24 + 3,
        0x30 + 3,
        0x35,
        0x3C,
        0x3C + 3,
        0x40,
        0x100,
        end / 3,
        end / 2,
        end - 5,
        end - 1,
    ] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x01;
        cases.push((format!("byte {at:#x}"), bytes));
    }
    for keep in [0x100, 0x1000, end / 2, end - 4, end - 0x100] {
        cases.push((format!("cut to {keep:#x}"), good[..keep & !3].to_vec()));
    }
    let mut tail = good.clone();
    tail.extend([0x55; 64]);
    cases.push(("tail".into(), tail));
    let mut wrong = Vec::new();
    for (name, bytes) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let Some(theirs) = flint(&path, &["verify"]) else {
            return;
        };
        let Ok(contents) = Contents::from_file(&bytes) else {
            wrong.push(format!("{name}: we see no image\n--- flint:\n{theirs}"));
            continue;
        };
        let ours = flint_text::verify(contents.image());
        if ours != theirs {
            wrong.push(format!("{name}:\n{ours}\n--- flint:\n{theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n=====\n"));
}
