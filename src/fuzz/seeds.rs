//! The seeds of the corpus, made by our own builder: `cargo test --lib fuzz::seeds -- --ignored`
//! writes `fuzz/corpus/TARGET/seed-NAME`. Findings lie beside them under other names.

use super::records_of;
use crate::image::{
    Contents, ExtraSection, Guid, Half, Recipe, RomBlock, RomRecipe, build, striped,
};
use flate2::{Compression, write::ZlibEncoder};
use std::fs;
use std::io::Write;
use std::path::Path;

/// Target, name, bytes.
type Seed = (&'static str, String, Vec<u8>);

fn small() -> Recipe {
    Recipe { size: 0, rom: None, vsd: Some("seed".into()), ..Recipe::default() }
}

/// Small images of every shape.
fn recipes() -> Vec<(&'static str, Recipe)> {
    let rom = RomRecipe::pxe((3, 4, 752), 0x1003, 0x214).build().ok();
    vec![
        ("plain", small()),
        ("failsafe", Recipe { chunk_log2: Some(16), ..small() }),
        ("rom", Recipe { rom: rom.clone(), ..small() }),
        ("rom-failsafe", Recipe { rom, chunk_log2: Some(16), ..small() }),
        ("old", Recipe { guid_entries: 4, ..small() }),
        ("blank-guids", Recipe { guids: None, ..small() }),
        ("ethernet", Recipe { guids: Some([Guid(u64::MAX); 4]), ..small() }),
        ("no-ini", Recipe { ini: None, ..small() }),
        ("one-boot2", Recipe { boot2_blocks: 1, mic_version: None, ..small() }),
        (
            "tags",
            Recipe {
                is_ga: Some(true),
                min_fit_version: Some([1, 2, 3, 4]),
                hw_access_key: Some(0x0123_4567_89AB_CDEF),
                config_area: Some((2, 1, None)),
                extra: vec![ExtraSection { kind: 4, len: 6 }, ExtraSection { kind: 77, len: 8 }],
                ..small()
            },
        ),
    ]
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn images(seeds: &mut Vec<Seed>) {
    for (name, recipe) in recipes() {
        let bytes = build(&recipe).unwrap();
        let halves: &[Half] =
            if recipe.chunk_log2.is_some() { &[Half::Even, Half::Odd] } else { &[Half::Even] };
        for half in halves {
            let flash = striped(&bytes, *half, 1 << 20).unwrap();
            seeds.push(("dump", format!("{name}-{half:?}").to_lowercase(), records_of(&flash)));
        }
        seeds.push(("image", name.to_owned(), bytes));
    }
    // Two valid halves.
    let recipe = Recipe { chunk_log2: Some(16), ..small() };
    let (a, b) = (build(&recipe).unwrap(), build(&Recipe { seed: 2, ..recipe }).unwrap());
    let mut both = records_of(&striped(&a, Half::Even, 1 << 20).unwrap());
    both.extend(records_of(&striped(&b, Half::Odd, 1 << 20).unwrap()));
    seeds.push(("dump", "both".into(), both));
    let mut longer = a.clone();
    longer.extend([0xFF; 64]);
    seeds.push(("image", "trailing".into(), longer));
    for (name, start) in
        [("zip", &b"PK\x03\x04"[..]), ("mfa", b"MFAR"), ("mfa2", b"MLNX.MFA2.XZ.00!")]
    {
        let mut bytes = start.to_vec();
        bytes.resize(64, 0);
        seeds.push(("image", name.into(), bytes));
    }
}

fn inis(seeds: &mut Vec<Seed>) {
    let image = Contents::from_file(&build(&small()).unwrap()).unwrap();
    let ini = image.image().ini.clone().unwrap();
    seeds.push(("ini", "built-zlib".into(), deflate(&ini.bytes)));
    seeds.push(("ini", "built".into(), ini.bytes));
    let settings = b"[HCA]\nsriov_en = true\ntotal_vfs = 8\nnum_pfs=1\nnum_of_ports = 2\n\
        log2_uar_bar_megabytes = 5\nport_type_p1 = 2\nexp_rom_en=0x1\n[ADAPTER]\nPSID = MT_1\n";
    seeds.push(("ini", "settings".into(), settings.to_vec()));
    let odd = b"a=b\n[x]\r\n=\n[]\nk==v ; comment\n[y\nkey\n;;\n[z]]\n1=0x\n\0after";
    seeds.push(("ini", "odd".into(), odd.to_vec()));
}

fn roms(seeds: &mut Vec<Seed>) {
    let block = |product, device| RomBlock::new(product, (3, 4, 5), device);
    let text = RomBlock { text: Some("4.5.6".into()), ..block(0xF, 0) };
    let recipes = [
        ("pxe", RomRecipe::pxe((3, 4, 752), 0x1003, 0x214)),
        (
            "blocks",
            RomRecipe {
                blocks: vec![text, block(0x10, 0x1003), block(0x11, 0x1007), block(0x12, 0)],
                images: 2,
                ..RomRecipe::pxe((1, 2, 3), 0x1003, 0x600)
            },
        ),
    ];
    for (name, recipe) in recipes {
        seeds.push(("rom", name.into(), recipe.build().unwrap()));
    }
}

fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    images(&mut seeds);
    inis(&mut seeds);
    roms(&mut seeds);
    seeds
}

#[test]
#[ignore = "writes fuzz/corpus"]
fn write() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, name, bytes) in all() {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("seed-{name}")), bytes).unwrap();
    }
}
