//! Jobs that only look.

use super::bench::*;
use crate::host::{BorrowOptions, Host, HostError};
use crate::image::{Contents, Half, Identity, Mac, SectionKind, build};
use crate::job::*;
use crate::plan::tests::bench::damaged;
use crate::sim::{CardSpec, Fault, SimCard};

#[test]
fn query_names_the_image_that_boots() {
    let a = own(&pro("2.36.5150"));
    let b = own(&pro("2.42.5000"));
    let card = card_of(pro_spec(), &[(&a, Half::Even), (&b, Half::Odd)]);
    let mut device = opened(&card);
    let query = query_card(&mut device).unwrap();
    assert_eq!(query.images.len(), 2);
    assert_eq!(query.active, Some(0));
    assert!(query.images[0].boots && !query.images[1].boots);
    assert_eq!(query.images[1].half, Some(Half::Odd));
    assert!(query.stale.is_empty());
    assert_eq!(query.images[0].valid, Some(true), "which of two boots depends on their CRCs");
    untouched(&card.counters());
    clean(&card);
}

#[test]
fn query_of_one_image_claims_nothing_of_its_sections() {
    let card = card_of(pro_spec(), &[(&own(&pro("2.36.5150")), Half::Even)]);
    let query = query_card(&mut opened(&card)).unwrap();
    assert_eq!((query.active, query.images[0].valid), (Some(0), None));
}

#[test]
fn query_of_an_empty_card_works() {
    let card = SimCard::new(CardSpec::default(), &[]);
    let mut device = opened(&card);
    let query = query_card(&mut device).unwrap();
    assert!(query.images.is_empty() && query.active.is_none());
    let report = query.card.unwrap();
    assert!(report.recovery && report.running.is_none());
}

#[test]
fn verify_reports_damage() {
    let bench = Bench::new();
    let contents = own(&cx3("2.35.5100"));
    let card = SimCard::new(CardSpec::default(), contents.bytes());
    let mut device = opened(&card);
    assert!(verify_card(&mut device, &mut ()).unwrap().ok);
    for section in &contents.image().sections {
        let mut bytes = contents.bytes().to_vec();
        bytes[section.body_at.0 as usize + 2] ^= 8;
        let card = SimCard::new(CardSpec::default(), &bytes);
        let mut device = opened(&card);
        let verify = verify_card(&mut device, &mut ()).unwrap();
        assert!(!verify.ok, "{:?}", section.kind);
        let file = read_image(&bench.file("bad", &bytes), &()).unwrap();
        assert!(!verify_image(&file).ok, "{:?}", section.kind);
    }
    // No image at all is not verified either.
    let empty = SimCard::new(CardSpec::default(), &[]);
    let mut device = opened(&empty);
    assert!(!verify_card(&mut device, &mut ()).unwrap().ok);
}

#[test]
fn identity_is_no_difference() {
    let bench = Bench::new();
    let card = owner_card();
    let mut device = opened(&card);
    let same = bench.image(&cx3("2.35.5100"));
    let answer = verify_against(&mut device, &same, &mut ()).unwrap().against.unwrap();
    assert!(answer.equal && !answer.identical);
    assert_eq!(answer.difference, None);
    assert_eq!(answer.card_sha256, answer.file_sha256);

    let other = bench.image(&cx3("2.42.5000"));
    let answer = verify_against(&mut device, &other, &mut ()).unwrap().against.unwrap();
    assert!(!answer.equal);
    assert!(answer.difference.unwrap().count > 1);

    // One byte of code, its CRC left wrong.
    let contents = own(&cx3("2.35.5100"));
    let ddr = contents.image().sections.iter().find(|s| s.kind == SectionKind::Ddr).unwrap();
    let mut bytes = contents.bytes().to_vec();
    let at = ddr.body_at.0 + 9;
    bytes[at as usize] ^= 1;
    let file = read_image(&bench.file("one", &bytes), &()).unwrap();
    let answer = verify_against(&mut device, &file, &mut ()).unwrap().against.unwrap();
    let difference = answer.difference.unwrap();
    assert_eq!((difference.at.0, difference.count), (at, 1));
}

#[test]
fn settings_are_the_ones_of_the_image() {
    let bench = Bench::new();
    let card = owner_card();
    let mut device = opened(&card);
    let shown = config_show(&mut device).unwrap();
    let ini = shown.ini.unwrap();
    assert!(ini.contains("[PS_INFO]"), "{ini}");
    let image = config_show_image(&bench.image(&cx3("2.35.5100"))).unwrap();
    assert_eq!(image.bytes, shown.bytes);
    let bare = bench.image(&crate::image::Recipe { ini: None, ..cx3("2.35.5100") });
    assert!(matches!(config_show_image(&bare), Err(JobError::NoPart(_))));
}

#[test]
fn raw_read_stays_inside_the_chip() {
    let bench = Bench::new();
    let card = owner_card();
    let mut device = opened(&card);
    let out = bench.path("raw");
    let file =
        flash_read(&mut device, 0x1003, Some(0x2_0005), OutputFile::create(&out).unwrap(), &mut ())
            .unwrap();
    assert_eq!(file.output.len, 0x2_0005);
    assert!(std::fs::read(&out).unwrap() == card.flash()[0x1003..0x2_1008]);
    for (from, len) in [(0x20_0000, None), (0x1F_FFFF, Some(2)), (5, Some(u32::MAX)), (0, Some(0))]
    {
        let error = flash_read(
            &mut device,
            from,
            len,
            OutputFile::create(&bench.path("no")).unwrap(),
            &mut (),
        )
        .unwrap_err();
        assert_eq!(error.outcome().exit, Exit::Failed);
        assert!(!bench.path("no").exists());
    }
    let tail = flash_read(
        &mut device,
        0x1F_FFF0,
        None,
        OutputFile::create(&bench.path("tail")).unwrap(),
        &mut (),
    )
    .unwrap();
    assert_eq!(tail.output.len, 16);
}

/// A host without any PCI function.
fn bare_host(bench: &Bench) -> Host {
    let root = bench.path("host");
    std::fs::create_dir_all(root.join("sys/bus/pci/devices")).unwrap();
    Host::at(root)
}

/// A simulated card without a file.
fn absent() -> CardSelector {
    CardSelector::Sim("/nowhere/card".into())
}

#[test]
fn a_card_that_does_not_exist_is_exit_3() {
    let bench = Bench::new();
    let (host, options) = (bare_host(&bench), BorrowOptions::default());
    for selector in ["0000:01:00.0", "enp1s0", "mlx4_0", ""] {
        let error = open(&selector.parse().unwrap(), &host, &options).err().unwrap();
        assert!(matches!(error, JobError::Host(HostError::Discover(_))), "{error}");
        assert_eq!(error.outcome().exit, Exit::NoCard);
    }
    let error = open(&absent(), &host, &options).err().unwrap();
    assert_eq!(error.outcome().exit, Exit::NoCard);
}

#[test]
fn a_card_with_a_problem_is_listed() {
    let bench = Bench::new();
    let path = bench.path("card.cx3");
    let flash = build(&cx3("2.35.5100")).unwrap();
    drop(SimCard::create(&path, CardSpec::default(), &flash).unwrap());
    let cards = list(
        None,
        &[path.clone(), "/nowhere".into()],
        &bare_host(&bench),
        &BorrowOptions::default(),
    )
    .unwrap()
    .cards;
    assert!(cards[0].ready);
    assert_eq!(cards[0].device, CardSelector::Sim(path));
    assert_eq!(cards[0].board.as_deref(), Some("MCX311A-XCAT"));
    assert_eq!(cards[0].chip_name.as_deref(), Some("ConnectX-3 A1"));
    assert_eq!(cards[0].running, Some(version("2.35.5100")));
    assert!(!cards[1].ready && cards[1].problem.is_some());
}

#[test]
fn stale_semaphore_is_freed_and_a_live_one_stays() {
    let held = |owner_alive| {
        let card = owner_card();
        for number in [40, 63] {
            card.inject(Fault::SemaphoreHeld { number, reads: None, owner_alive });
        }
        card
    };
    let card = held(false);
    let mut device = opened(&card);
    let mut proof = Vec::new();
    let declined = unlock(
        &mut device,
        &mut |p| {
            proof = p.to_vec();
            false
        },
        &mut (),
    );
    assert!(matches!(declined, Err(JobError::Declined)));
    assert_eq!(proof.len(), 2);
    assert_eq!(card.semaphores_held(), [40, 63]);
    let done = unlock(&mut device, &mut |_| true, &mut ()).unwrap();
    assert!(!done.nothing_to_do);
    assert!(done.semaphores.iter().all(|s| s.before != s.after));
    assert!(card.semaphores_held().is_empty());
    let again = unlock(&mut device, &mut |_| panic!("nothing to ask"), &mut ()).unwrap();
    assert!(again.nothing_to_do);

    let card = held(true);
    let mut device = opened(&card);
    let error = unlock(&mut device, &mut |_| true, &mut ()).unwrap_err();
    assert_eq!(error.outcome().exit, Exit::NotReady, "{error}");
}

#[test]
fn doctor_reports_what_is_wrong_with_a_card() {
    let bench = Bench::new();
    let (host, options) = (bare_host(&bench), BorrowOptions::default());
    let make = |name: &str, flash: &[u8]| {
        let path = bench.path(name);
        let card = SimCard::create(&path, CardSpec::default(), flash).unwrap();
        (card, CardSelector::Sim(path))
    };
    let (card, well) = make("well", own(&cx3("2.35.5100")).bytes());
    drop(card);
    let answer = doctor(Some(&well), &bench.backups(), &host, &options).unwrap();
    assert!(answer.ok, "{:#?}", answer.checks);
    let ids: Vec<_> = answer.checks.iter().map(|c| c.id).collect();
    assert_eq!(
        ids,
        [
            "card",
            "chip",
            "firmware",
            "semaphores",
            "flash",
            "protection",
            "chained_reads",
            "images",
            "identity",
            "backup_space"
        ]
    );

    let (card, empty) = make("empty", &[]);
    drop(card);
    let answer = doctor(Some(&empty), &bench.backups(), &host, &options).unwrap();
    assert!(!answer.ok);
    let bad: Vec<_> = answer.checks.iter().filter(|c| c.is_fault()).collect();
    assert!(bad.iter().all(|c| c.fix.is_some()));
    let names: Vec<_> = bad.iter().map(|c| c.id).collect();
    assert_eq!(names, ["firmware", "images"]);
    let skipped = answer.checks.iter().filter(|c| c.skipped).map(|c| c.id);
    assert_eq!(skipped.collect::<Vec<_>>(), ["identity"], "there is no image it could be in");

    let answer = doctor(Some(&absent()), &bench.backups(), &host, &options).unwrap();
    assert_eq!(answer.checks.len(), 10);
    assert!(!answer.checks[0].ok && answer.checks[9].ok);
    let real = CardSelector::Host("0000:01:00.0".into());
    assert!(doctor(Some(&real), &bench.backups(), &host, &options).is_err());
    let file = bench.file("file", b"");
    let answer = doctor(Some(&well), &file.join("x"), &host, &options).unwrap();
    assert_eq!(answer.checks.last().map(|c| c.ok), Some(true), "an ancestor is a directory");
}

#[test]
fn default_directory_is_absolute() {
    let dir = default_backup_dir();
    assert!(dir.is_absolute() && dir.ends_with("cx3flash/backups"), "{dir:?}");
}

#[test]
fn what_doctor_advises_for_an_image_that_is_not_relied_on_changes_no_mac() {
    let bench = Bench::new();
    let (host, options) = (bare_host(&bench), BorrowOptions::default());
    let fix = |name: &str, bytes: &[u8]| {
        let path = bench.path(name);
        drop(SimCard::create(&path, CardSpec::default(), bytes).unwrap());
        let card = CardSelector::Sim(path);
        let answer = doctor(Some(&card), &bench.backups(), &host, &options).unwrap();
        let images = answer.checks.into_iter().find(|c| c.id == "images").unwrap();
        images.fix.unwrap()
    };
    let wrong_crc = |contents: &Contents| {
        let mut bytes = contents.bytes().to_vec();
        bytes[0x23] ^= 1;
        bytes
    };
    let image = own(&cx3("2.35.5100"));
    let macs = Identity::from_image(image.image()).unwrap().macs;
    assert!(fix("next", &wrong_crc(&image)).contains(&format!("identity set --mac {}", macs[0])));
    let apart = image.with_macs(&[macs[0], Mac(macs[0].0 + 5)]).unwrap();
    let fix_apart = fix("apart", &wrong_crc(&apart));
    assert!(!fix_apart.contains("--mac"), "{fix_apart}");
    assert!(fix_apart.contains("identity set --identity BACKUP/identity.json"), "{fix_apart}");
    // `identity set` is refused with a damaged ROM.
    let fix_rom = fix("rom", &damaged(&image, SectionKind::Rom));
    assert!(fix_rom.contains("burn IMAGE") && !fix_rom.contains("identity set"), "{fix_rom}");
}
