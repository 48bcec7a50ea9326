//! The seeds of the corpus, made by our own builder: `cargo test --lib fuzz::seeds -- --ignored`
//! writes `fuzz/corpus/TARGET/seed-NAME`. Findings lie beside them under other names.

use super::files::{FLASH, ROM, in_dir};
use super::records_of;
use crate::image::{
    Contents, ExtraSection, Guid, Half, Identity, Recipe, RomBlock, RomRecipe, build, striped,
};
use crate::sim::{CardSpec, Fault, SimCard, WrongRead};
use flate2::{Compression, GzBuilder, write::ZlibEncoder};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

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
        ("empty-rom", Recipe { rom: Some(Vec::new()), ..small() }),
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

/// Archives in each form and in each other.
fn archives(seeds: &mut Vec<Seed>) {
    let image = build(&small()).unwrap();
    let gzip = |name: &str, bytes: &[u8]| {
        let mut encoder = GzBuilder::new().filename(name).write(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let tar = |members: &[(&str, &[u8])]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let zip = |members: &[(&str, &[u8])]| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let tgz = gzip("fw.tar", &tar(&[("README", b"read me"), ("dir/fw.bin", &image)]));
    let archives = [
        ("gz", gzip("fw.bin", &image)),
        ("zip", zip(&[("README", b"read me"), ("fw.bin", &image)])),
        ("two", zip(&[("a.bin", &image), ("b.bin", &image)])),
        ("none", tar(&[("page.html", b"<html>"), ("fw.mfa", b"MFAR")])),
        ("nested", zip(&[("fw.tgz", &tgz)])),
        ("tgz", tgz),
    ];
    seeds.extend(archives.map(|(name, bytes)| ("archive", name.to_owned(), bytes)));
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
    let settings = b"[HCA]\nsriov_en = true\ntotal_vfs = 8\nnum_pfs=1\nnum_of_ports = Two_Ports\nDescription = a; b;c ; d\n\
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
    // A data structure of revision 3 with a device list, in an EFI image with a 16-bit length.
    let mut efi = vec![0; 0x200];
    for (at, bytes) in [
        (0, &[0x55, 0xAA, 1, 0, 0xF1, 0x0E][..]),
        (0x18, &[0x1C]),
        (0x1C, b"PCIR\xB3\x15\x07\x10\x20\0\x18\0\x03"),
        (0x2C, &[1, 0, 0, 0, 3, 0x80]),
        (0x3C, &[0x03, 0x10, 0x05, 0x10]),
    ] {
        efi[at..at + bytes.len()].copy_from_slice(bytes);
    }
    seeds.push(("rom", "efi-list".into(), efi.clone()));
    efi[0x31] = 0;
    let chain = [efi, RomRecipe::pxe((3, 4, 752), 0x1003, 0x214).build().unwrap()].concat();
    seeds.push(("rom", "chain".into(), chain));
}

fn card_files(seeds: &mut Vec<Seed>) {
    let spec = CardSpec { boot_ms: 900, ..CardSpec::default() };
    let faults = [Fault::Protected { status: 4 }, Fault::DelayedWrites { depth: 3 }];
    for (name, faults) in [("plain", &faults[..0]), ("faults", &faults)] {
        in_dir(|dir| {
            let path = dir.join("card");
            let card = SimCard::create(&path, spec.clone(), b"flash").unwrap();
            faults.iter().for_each(|fault| card.inject(fault.clone()));
            drop(card);
            let file = fs::read(&path).unwrap();
            let (mut raw, mut json) = (file[..28].to_vec(), file[..28].to_vec());
            for at in [4096, 34816] {
                let len = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as u16;
                let end = at + 16 + usize::from(len);
                raw.extend((16 + len).to_le_bytes());
                raw.extend(&file[at..end]);
                json.extend(len.to_le_bytes());
                json.extend(&file[at + 16..end]);
            }
            raw.push(0);
            json.push(3);
            seeds.push(("card_file", format!("{name}-raw"), raw));
            seeds.push(("card_file", format!("{name}-json"), json));
        });
    }
    seeds.push(("card_file", "cut".into(), b"CX3FLASH SIMCARD".to_vec()));
}

fn journals(seeds: &mut Vec<Seed>) {
    let text = r#"{"version":1,"record":{"bdf":"0000:05:00.0","device_id":4099,"subsystem":[5555,85],
"serial":17600000000000000000,"boot_id":"first","pid":1000,"found":{"driver":"mlx4_core",
"driver_override":null,"netdevs":[],"port_types":["eth","auto (ib)"],
"vfs":[{"bdf":"0000:05:00.1","driver":"vfio-pci","driver_override":"vfio-pci"}],
"siblings":[{"bdf":"0000:05:01.0","driver":"ahci"}],"internal_err_reset":"1"},"step":"borrowed",
"bridge":"0000:00:01.0","marks":{"semaphores_held":true,"flash_touched":true,"boots":false}},"sha256":""}"#;
    seeds.push(("journal", "borrowed".into(), text.into()));
    seeds.push(("journal", "foreign".into(), b"{\"version\":9}".to_vec()));
    seeds.push(("journal", "old".into(), b"CX3J\x01\0\0\0".to_vec()));
}

fn manifests(seeds: &mut Vec<Seed>) {
    let file = |name: &str, bytes: &[u8]| {
        format!(
            r#"{{"name":"{name}","len":{},"sha256":"{}"}}"#,
            bytes.len(),
            crate::job::digest(bytes)
        )
    };
    let (flash, rom) = (file("flash.bin", FLASH), file("rom.bin", ROM));
    let outside = file("../flash.bin", b"another flash");
    for (name, files) in [
        ("complete", format!("{flash},{rom}")),
        ("outside", outside),
        ("twice", format!("{flash},{flash}")),
        ("none", String::new()),
    ] {
        let text = format!(
            r#"{{"schema":1,"time":"2026-01-02T03:04:05Z","made_by":"cx3flash 0.1.0","device":"sim:c",
"bdf":"0000:01:00.0","hw_id":501,"revision":1,"jedec":"207115","flash_size":2097152,
"psid":"MT_1170110023","version":"2.42.5000","running":null,"files":[{files}]}}"#
        );
        seeds.push(("manifest", name.into(), text.into()));
    }
}

fn arguments(seeds: &mut Vec<Seed>) {
    let mut add = |name: &str, json: String| {
        seeds.push(("arguments_json", name.to_owned(), json.into_bytes()));
    };
    let json = |value: serde_json::Result<String>| value.unwrap();
    let image = Contents::from_file(&build(&small()).unwrap()).unwrap();
    let identity = Identity::from_image(image.image()).unwrap();
    add("identity", json(serde_json::to_string(&identity)));
    add("identity-hex", json(serde_json::to_string(&Identity { vsd: vec![0xFF; 4], ..identity })));
    add("card", json(serde_json::to_string(&CardSpec::default())));
    add("recipe", r#"{"psid":"X","rom":"55aa0100","size":0}"#.into());
    for (name, recipe) in recipes().into_iter().filter(|(n, _)| ["tags", "old"].contains(n)) {
        add(&format!("recipe-{name}"), json(serde_json::to_string(&recipe)));
    }
    add("version", "\"2.42.5000\"".into());
    for (n, fault) in [
        Fault::PowerCut { op: 0, seed: 1 },
        Fault::WrongRead { after: 3, kind: WrongRead::Flipped { bit: 9 }, at: Some(0x100) },
        Fault::SemaphoreHeld { number: 63, reads: Some(2), owner_alive: true },
        Fault::Protected { status: 0x1C },
        Fault::Away { after: 0, ms: u64::MAX },
        Fault::CorruptConfiguration,
    ]
    .iter()
    .enumerate()
    {
        add(&format!("fault-{n}"), json(serde_json::to_string(fault)));
    }
}

fn flint_lines(seeds: &mut Vec<Seed>) {
    for (n, line) in [
        "-h",
        "-v",
        "-i i q full",
        "-d sim:c q",
        "-d sim:c -qq q",
        "-i i v showitoc",
        "-d sim:c verify",
        "-i i checksum",
        "-d sim:c ri out",
        "-i i dc",
        "-i i dc out",
        "-i i dh out",
        "-i i -y rrom r",
        "-i i qrom",
        "-i i -y brom r",
        "-i i -y drom",
        "-i i -guid 0x0002c90300123456 -mac 0x0002c9123456 -y sg",
        "-i i -guids 1 2 3 4 -macs 5 6 sg nocrc",
        "-i i -vsd text sv",
        "-d sim:c hw query",
        "-i i rb 0 64",
        "-d sim:c rb 0x100 0x40 out",
        "-i i rw 0x24",
        "-i i -d sim:c bc",
        "-i i ts query",
        "-i i ts set 2020-01-01T00:00:00Z",
        "-d sim:c -clear_semaphore",
        "-i i -striped_image q",
        "-d sim:c -i i -log out b",
        "-d /dev/mst/mt4099_pci_cr0 q",
        "--image=i --qq query",
        "-activate_delay_sec 2 -i i b",
        "-banks -1 -flash_params a,1,2 -i i q",
        "fi",
        "nonsense",
    ]
    .iter()
    .enumerate()
    {
        let bytes = line.replace(' ', "\n").into_bytes();
        seeds.push(("flint_line", format!("{n:02}"), bytes));
    }
}

/// A message in a piece of its own, with so many descriptors of a kind.
fn piece(head: u8, command: u16, body: &[u8]) -> Vec<u8> {
    let size = 16 + body.len() as u32;
    let mut piece = vec![head];
    piece.extend((size as u16).to_le_bytes());
    piece.extend([1_u16.to_ne_bytes(), command.to_ne_bytes()].concat());
    piece.extend([size, 0, 0].map(u32::to_ne_bytes).concat());
    piece.extend(body);
    piece
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn dma_map(offset: u64, address: u64, len: u64) -> Vec<u8> {
    let mut body = words(&[32, 3]);
    body.extend([offset, address, len].map(u64::to_ne_bytes).concat());
    piece(1, 2, &body)
}

/// A region access; without data a read of `count` bytes.
fn access(region: u32, at: u64, count: u32, data: &[u8]) -> Vec<u8> {
    let mut body = at.to_ne_bytes().to_vec();
    body.extend(words(&[region, count]));
    body.extend(data);
    piece(0, if data.is_empty() { 9 } else { 10 }, &body)
}

fn register(at: u64, value: u32) -> Vec<u8> {
    access(0, at, 4, &value.to_be_bytes())
}

/// A command of the firmware with mailboxes in guest memory.
fn firmware(opcode: u32, modifier: u32) -> Vec<u8> {
    let parameters = [0, 0x4000_1000, modifier, 0, 0x4000_2000, 0x1234_0000, 1 << 23 | opcode];
    let words = parameters.iter().zip(0..);
    words.flat_map(|(word, n)| register(0x8_0680 + 4 * n, *word)).collect()
}

fn fault_piece(fault: &Fault) -> Vec<u8> {
    let json = serde_json::to_vec(fault).unwrap();
    let mut piece = vec![0x80];
    piece.extend((json.len() as u16).to_le_bytes());
    piece.extend(json);
    piece
}

fn sessions(seeds: &mut Vec<Seed>) {
    let version = piece(0, 1, b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}\0");
    // Memory decode and bus mastering.
    let command = access(7, 4, 2, &[6, 0]);
    let mut begin = version.clone();
    begin.extend(dma_map(0, 0x4000_0000, 0x8000));
    begin.extend(piece(0, 4, &words(&[16, 0, 0, 0])));
    (0..9).for_each(|n| begin.extend(piece(0, 5, &words(&[32, 0, n, 0, 0, 0, 0, 0]))));
    (0..5).for_each(|n| begin.extend(piece(0, 7, &words(&[16, 0, n, 0]))));
    begin.extend(access(7, 0, 4096, &[]));
    begin.extend(piece(0x11, 8, &words(&[20, 0x24, 2, 0, 1])));
    begin.extend(piece(0x23, 8, &words(&[20, 0x24, 2, 1, 3])));
    begin.extend(piece(0, 8, &words(&[20, 0x21, 2, 0, 4])));
    begin.extend(piece(0, 8, &words(&[20, 0x21, 2, 0, 0])));
    begin.extend(piece(0, 13, &[]));
    begin.extend(piece(0, 3, &words(&[24, 2, 0, 0, 0, 0])));
    seeds.push(("vfio_user", "begin".into(), begin));
    let mut flash = command.clone();
    flash.extend(access(0, 0xF_03FC, 4, &[]));
    for (address, word) in [
        (0, 0x409F_A104),
        (0, 0x4006_2004),
        (0x1_0000, 0x40D8_200C),
        (0, 0x4005_2014),
        (0, 0x4003_241D),
    ] {
        flash.extend(register(0xF_0404, address));
        flash.extend(register(0xF_0400, word));
        flash.extend(access(0, 0xF_0400, 4, &[]));
        flash.extend(access(0, 0xF_0410, 8, &[]));
    }
    flash.extend(access(0, 0, 64, &[]));
    flash.extend(access(2, 0, 64, &[1; 64]));
    seeds.push(("vfio_user", "flash".into(), flash.clone()));
    let mut driver = command.clone();
    driver.extend(dma_map(0, 0x4000_0000, 0x8000));
    for (opcode, modifier) in [
        (4, 0),
        (3, 0),
        (0xffa, 1),
        (7, 0),
        (0x13, 1),
        (0x12, 1),
        (0x43, 1),
        (0x26, 5),
        (0x25, 5),
        (8, 0),
    ] {
        driver.extend(firmware(opcode, modifier));
    }
    seeds.push(("vfio_user", "firmware".into(), driver));
    let mut config = command.clone();
    for (at, value) in
        [(0x48, 0x8000_u32), (0xC4, 2), (0xD0, 0xF_0014), (0xD4, 1), (0x58, 0xF_0014)]
    {
        config.extend(access(7, at, 4, &value.to_le_bytes()));
    }
    config.extend(access(7, 0x5C, 4, &[]));
    config.extend(access(7, 0x68, 2, &[0x10, 0x80]));
    seeds.push(("vfio_user", "config".into(), config));
    // Arithmetic on values of a guest, and of an order: both overflowed.
    let mut offset = command.clone();
    offset.extend(dma_map(u64::MAX - 0xFFF, 0x4000_0000, 0x8000));
    offset.extend(dma_map(0, u64::MAX - 0xFFF, 0x8000));
    offset.extend(firmware(0xffa, 1));
    seeds.push(("vfio_user", "dma-overflow".into(), offset));
    let mut time = fault_piece(&Fault::Away { after: 0, ms: u64::MAX });
    time.extend(flash);
    seeds.push(("vfio_user", "time-overflow".into(), time));
    let mut odd = piece(15, 1, b"\0\0\0\0{}\0");
    odd.extend(piece(0, 77, &[0; 24]));
    odd.extend([0, 20, 0]);
    odd.extend(&version[3..13]);
    seeds.push(("vfio_user", "odd".into(), odd));
}

fn jobs(seeds: &mut Vec<Seed>) {
    let none = [0, 0];
    for (name, input) in [
        ("burn", vec![0, 1, 0, 0, 0, 0]),
        ("burn-pro", vec![1, 1, 0, 0, 0, 0]),
        ("burn-pro-odd", vec![1, 2, 0, 0, 0, 0]),
        ("recover", vec![0, 0, 2, 0, 0, 0]),
        ("identity", vec![1, 1, 3, 0, 0, 0]),
        ("rom", vec![0, 1, 4, 0, 0, 0]),
        ("no-rom", vec![1, 2, 5, 0, 0, 0]),
        ("damaged", vec![0, 1, 0, 1, 0x40, 0x02, 0xFF, 0, 0]),
        ("cut", vec![1, 1, 0, 0, 1, 0, 9, 0, 7, 0]),
        ("lying", vec![0, 1, 0, 0, 1, 2, 12, 0, 0, 0]),
        ("stuck", vec![1, 2, 0, 0, 1, 7, 20, 0, 0, 0]),
        ("removed", vec![1, 1, 0, 0, 1, 10, 0, 0xF0, 0, 0]),
        ("wrong-read", vec![0, 1, 2, 0, 1, 4, 0, 0x80, 3, 1, 12, 0, 1, 9]),
    ] {
        seeds.push(("job", name.into(), input));
    }
    // Another image in the other half.
    let recipe = Recipe { chunk_log2: Some(16), supported_hw: vec![(0x1F7, 0)], ..small() };
    let flash = striped(&build(&recipe).unwrap(), Half::Odd, 1 << 20).unwrap();
    let mut both = vec![1, 1, 0, 0];
    both.extend(none);
    both.extend(records_of(&flash));
    seeds.push(("job", "both".into(), both));
}

fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    images(&mut seeds);
    archives(&mut seeds);
    inis(&mut seeds);
    roms(&mut seeds);
    card_files(&mut seeds);
    journals(&mut seeds);
    manifests(&mut seeds);
    arguments(&mut seeds);
    flint_lines(&mut seeds);
    sessions(&mut seeds);
    jobs(&mut seeds);
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
