//! Backups: complete, synced, unique, or absent.

use super::bench::*;
use crate::host::failing_at;
use crate::image::{Contents, FlashAddr, Half};
use crate::job::store::NewDir;
use crate::job::*;
use crate::sim::{CardSpec, SimCard};
use nix::errno::Errno;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn backup_holds_what_its_manifest_lists() {
    let bench = Bench::new();
    let card = pro_card(Half::Odd);
    let outcome = bench.backup(&card).unwrap();
    let read = |name: &str| fs::read(outcome.dir.join(name)).unwrap();
    assert!(read("flash.bin") == card.flash());
    let image = Contents::from_dump(&card.flash(), FlashAddr(0x1_0000)).unwrap();
    assert!(read("image.bin") == image.bytes());
    assert_eq!(read("config.ini"), image.image().ini.as_ref().unwrap().bytes);
    assert_eq!(read("rom.bin"), image.rom().unwrap());
    assert_eq!(read_identity(&outcome.dir.join("identity.json"), &()).unwrap(), identity());
    let manifest: Manifest = serde_json::from_slice(&read("manifest.json")).unwrap();
    assert_eq!(manifest, outcome.manifest);
    assert_eq!(manifest.schema, 1);
    assert_eq!((manifest.hw_id, manifest.revision), (0x1F7, 0));
    assert_eq!(manifest.jedec, "207115");
    assert_eq!(manifest.psid, Some("MT_1200111023".into()));
    assert_eq!(manifest.version, Some(version("2.36.5150")));
    assert_eq!(manifest.running, Some(version("2.36.5150")));
    assert_eq!(manifest.device, "sim:test");
    let mut names: Vec<_> = fs::read_dir(&outcome.dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["config.ini", "flash.bin", "identity.json", "image.bin", "manifest.json", "rom.bin"]
    );
    for file in &manifest.files {
        let bytes = read(&file.name);
        assert_eq!(bytes.len() as u64, file.len);
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(sum, file.sha256, "{}", file.name);
    }
    assert_eq!(manifest.files.len(), 5);
}

#[test]
fn image_of_a_backup_can_be_burned() {
    let bench = Bench::new();
    let card = pro_card(Half::Odd);
    let outcome = bench.backup(&card).unwrap();
    let image = read_image(&outcome.dir.join("image.bin"), &()).unwrap();
    let mut device = opened(&card);
    let done = bench.burn_asked(&mut device, &image, &mut |_| true, &mut ()).unwrap();
    assert!(done.nothing_to_do);
}

#[test]
fn backups_never_overwrite_each_other() {
    let bench = Bench::new();
    let card = owner_card();
    let dirs: Vec<_> = (0..4).map(|_| bench.backup(&card).unwrap().dir).collect();
    for (n, dir) in dirs.iter().enumerate() {
        assert!(dir.join("manifest.json").is_file());
        assert!(!dirs[..n].contains(dir));
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("MT_1170110023_e41d2ddd7850_20"), "{name}");
    }
    assert_eq!(bench.backup_names().len(), 4);
}

#[test]
fn empty_card_is_backed_up() {
    let bench = Bench::new();
    let card = SimCard::new(CardSpec::default(), &[]);
    let outcome = bench.backup(&card).unwrap();
    let names: Vec<_> = outcome.manifest.files.iter().map(|f| &f.name).collect();
    assert_eq!(names, ["flash.bin"]);
    assert_eq!(outcome.manifest.psid, None);
}

#[test]
fn directory_that_cannot_be_written_is_reported_before_the_question() {
    let bench = Bench::new();
    let card = owner_card();
    let file = bench.file("a file", b"");
    let mut device = opened(&card);
    let image = bench.image(&cx3("2.42.5000"));
    let options = Default::default();
    let mut asked = false;
    let error = write(
        &mut device,
        &WriteRequest::Burn(&image, &options),
        WriteOptions::later(&file.join("below")),
        &mut |_| {
            asked = true;
            true
        },
        &mut (),
    )
    .unwrap_err();
    assert!(matches!(error, JobError::WriteFile { .. }), "{error}");
    assert_eq!(error.outcome().exit, Exit::Failed);
    assert!(!asked, "reported after the question");
    untouched(&card.counters());
    clean(&card);
}

/// Run by [`full_disk_leaves_no_backup`] in a process that may write small files only.
#[test]
#[ignore = "needs a file size limit, which the other test sets"]
fn child_with_a_file_size_limit() {
    let dir = std::env::var_os("CX3FLASH_TEST_DIR").expect("set by the parent");
    let card = owner_card();
    let before = card.flash();
    let mut device = opened(&card);
    let dir = std::path::Path::new(&dir);
    let image = read_image(&dir.join("new.bin"), &()).unwrap();
    let options = Default::default();
    let burn = WriteRequest::Burn(&image, &options);
    let out = dir.join("not/yet/there");
    let error =
        write(&mut device, &burn, WriteOptions::later(&out), &mut |_| true, &mut ()).unwrap_err();
    assert!(matches!(error, JobError::WriteFile { .. }), "{error}");
    assert_eq!(error.outcome().exit, Exit::Failed);
    untouched(&card.counters());
    assert!(card.flash() == before);
    clean(&card);
    println!("the limit was met");
}

#[test]
fn full_disk_leaves_no_backup() {
    let bench = Bench::new();
    bench.file("new.bin", &crate::image::build(&cx3("2.42.5000")).unwrap());
    // 512 KiB; the flash has 2 MiB. The signal that comes with the limit is ignored, as on a full disk.
    let output = Command::new("sh")
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 1024; exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("job::tests::backups::child_with_a_file_size_limit")
        .env("CX3FLASH_TEST_DIR", bench.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("the limit was met"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let left: Vec<_> =
        fs::read_dir(bench.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["new.bin"], "something stays behind");
}

#[test]
fn psid_never_leads_out_of_the_directory() {
    let bench = Bench::new();
    let old = own(&crate::image::Recipe { psid: "../../../etc".into(), ..cx3("2.35.5100") });
    let card = SimCard::new(CardSpec::default(), old.bytes());
    let dir = bench.backup(&card).unwrap().dir;
    assert_eq!(dir.parent(), Some(bench.backups().as_path()));
}

const ERRNOS: [Errno; 4] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EMFILE];

#[test]
fn a_backup_that_fails_at_any_step_leaves_nothing_behind() {
    let bench = Bench::new();
    let card = quick_owner_card();
    let out = bench.path("not/yet/there");
    for at in 0.. {
        let mut device = opened(&card);
        let errno = ERRNOS[at % ERRNOS.len()];
        let (ended, reached) = failing_at(at, errno, || backup(&mut device, &out, &mut ()));
        if !reached {
            assert!(at > 30, "{at} steps: the sweep is blind");
            ended.unwrap();
            break;
        }
        let error = ended.expect_err("a step failed");
        let JobError::WriteFile { path, source } = &error else { panic!("step {at}: {error:?}") };
        assert_eq!(source.raw_os_error(), Some(errno as i32), "step {at}");
        assert!(path.starts_with(&out), "step {at}: {}", path.display());
        assert_eq!(error.outcome().exit, Exit::Failed, "step {at}");
        let left: Vec<_> = fs::read_dir(bench.dir.path()).unwrap().flatten().collect();
        assert!(left.is_empty(), "step {at}: {left:?}");
    }
    clean(&card);
}

#[test]
fn a_burn_whose_backup_fails_at_any_step_changes_nothing() {
    let bench = Bench::new();
    let card = quick_owner_card();
    let image = bench.image(&for_any_chip(cx3("2.42.5000")));
    let before = card.flash();
    for at in 0.. {
        let errno = ERRNOS[at % ERRNOS.len()];
        let (ended, reached) = failing_at(at, errno, || {
            bench.burn_asked(&mut opened(&card), &image, &mut |_| true, &mut ())
        });
        if !reached {
            ended.unwrap();
            break;
        }
        let error = ended.expect_err("a step failed");
        assert!(matches!(error, JobError::WriteFile { .. }), "step {at}: {error:?}");
        assert!(card.flash() == before && bench.backup_names().is_empty(), "step {at}");
    }
    assert!(card.flash() != before);
    clean(&card);
}

#[test]
fn every_error_at_every_step_of_a_backup_directory_leaves_nothing_behind() {
    let bench = Bench::new();
    let out = bench.path("a/b");
    let make = || {
        let mut new = NewDir::create(&out, "name")?;
        new.write("one", b"1")?;
        new.write("two", b"2")?;
        new.finish()
    };
    for errno in ERRNOS {
        for at in 0.. {
            let (ended, reached) = failing_at(at, errno, make);
            if !reached {
                assert_eq!(ended.unwrap(), out.join("name"));
                fs::remove_dir_all(bench.path("a")).unwrap();
                break;
            }
            assert!(ended.is_err(), "{errno}, step {at}");
            let left: Vec<_> = fs::read_dir(bench.dir.path()).unwrap().flatten().collect();
            assert!(left.is_empty(), "{errno}, step {at}: {left:?}");
        }
    }
}

#[test]
fn a_directory_exchanged_for_a_link_redirects_nothing() {
    let bench = Bench::new();
    let (out, moved, trap) = (bench.path("out"), bench.path("moved"), bench.path("trap"));
    fs::create_dir(&trap).unwrap();
    let mut new = NewDir::create(&out, "name").unwrap();
    new.write("one", b"1").unwrap();
    fs::rename(&out, &moved).unwrap();
    symlink(&trap, &out).unwrap();
    new.write("two", b"2").unwrap();
    new.finish().unwrap();
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 0, "written through the link");
    assert_eq!(fs::read(moved.join("name/one")).unwrap(), b"1");
    assert_eq!(fs::read(moved.join("name/two")).unwrap(), b"2");
    // And one file of it.
    let mut new = NewDir::create(&moved, "name").unwrap();
    symlink(trap.join("file"), moved.join("name-2.part/one")).unwrap();
    let error = new.write("one", b"1").unwrap_err();
    assert_eq!(error.outcome().code, Code::Exists);
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 0, "written through the link");
}

#[test]
fn a_file_of_the_user_is_created_and_no_link_is_followed() {
    let bench = Bench::new();
    symlink(bench.path("absent"), bench.path("link")).unwrap();
    let error = OutputFile::create(&bench.path("link")).unwrap_err();
    assert_eq!(error.outcome().code, Code::Exists);
    drop(OutputFile::create(&bench.path("file")).unwrap());
    let left: Vec<_> = fs::read_dir(bench.dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
