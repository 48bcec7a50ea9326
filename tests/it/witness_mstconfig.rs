//! mstconfig and `cx3flash config` on the same simulated card: each shows what the other stores.
//!
//! Debian's mstconfig 4.21 drives the card itself (`tests/mst`). Skipped where it is
//! missing, unless `CX3FLASH_REQUIRE_WITNESS=1`.

use crate::support::mst;
use cx3flash::card::nv::Parameter;
use cx3flash::image::{Half, Recipe, build, striped};
use cx3flash::job::{self, JobError, NvError};
use cx3flash::sim::{CardSpec, Fault, SimCard};
use mst::{Mst, MstRun};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

struct TwoTools {
    mst: &'static Mst,
    dir: tempfile::TempDir,
    file: PathBuf,
}

/// Name to (default, next boot); `None`: not reported.
type SettingValues = BTreeMap<String, (Option<u32>, Option<u32>)>;

impl TwoTools {
    fn new(board: &str, recipe: &Recipe) -> Option<Self> {
        let mst = mst()?;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.cx3");
        let spec = CardSpec::named(board).unwrap();
        let recipe = Recipe { supported_hw: vec![(spec.hw_id, spec.revision)], ..recipe.clone() };
        let flash = striped(&build(&recipe).unwrap(), Half::Even, spec.chip.size()).unwrap();
        drop(SimCard::create(&file, spec, &flash).unwrap());
        Some(Self { mst, dir, file })
    }

    fn run(&self, args: &[&str]) -> MstRun {
        self.mst.run(&self.file, self.dir.path(), "mstconfig", args, "")
    }

    /// What mstconfig shows.
    fn theirs(&self) -> SettingValues {
        let run = self.run(&["-d", "CARD", "-e", "query"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
        let value = |text: &str| {
            let number = match text.split_once('(') {
                Some((_, rest)) => rest.strip_suffix(')').unwrap(),
                None => text,
            };
            (number != "N/A").then(|| number.parse().unwrap())
        };
        let values: SettingValues = run
            .stdout
            .lines()
            .filter_map(|line| {
                let words: Vec<&str> = line.trim_start_matches('*').split_whitespace().collect();
                let [name, default, next] = words.as_slice() else {
                    return None;
                };
                Parameter::named(name)?;
                Some(((*name).to_owned(), (value(default), value(next))))
            })
            // A second port that is not there: shown without a value, which is no setting for us.
            .filter(|(_, values)| *values != (None, None))
            .collect();
        assert!(values.len() > 10, "{run:?}");
        values
    }

    fn card(&self) -> SimCard {
        SimCard::open(&self.file).unwrap()
    }

    /// What we show.
    fn ours(&self) -> SettingValues {
        let card = self.card();
        let mut device = job::open_sim(&card, "sim").unwrap();
        let outcome = job::nv_query(&mut device).unwrap();
        assert_eq!(card.misuse(), []);
        outcome.parameters.into_iter().map(|p| (p.name, (p.default, p.next_boot))).collect()
    }

    fn set(&self, wanted: &[(Parameter, u32)]) -> Result<job::NvSetOutcome, JobError> {
        let card = self.card();
        let mut device = job::open_sim(&card, "sim").unwrap();
        let done = job::nv_set(
            &mut device,
            wanted,
            self.dir.path(),
            &mut |_: &[job::NvChange], _: &Path| true,
            &mut (),
        );
        assert_eq!(card.misuse(), []);
        assert!(card.semaphores_held().is_empty());
        done
    }
}

/// Another value for each setting, one that both programs take beside the others.
fn others(values: &SettingValues) -> Vec<(Parameter, u32)> {
    values
        .iter()
        .map(|(name, (_, next))| {
            let parameter = Parameter::named(name).unwrap();
            let next = next.unwrap();
            let other = match parameter.field.base {
                "NUM_OF_VFS" => 5,
                "LOG_BAR_SIZE" => 4,
                "BOOT_PKEY" => 0x1234 + u32::from(parameter.port),
                "BOOT_VLAN" => 0xabc + u32::from(parameter.port),
                _ if next == parameter.field.max => parameter.field.min,
                _ => parameter.field.max,
            };
            assert_ne!(other, next, "{name}");
            (parameter, other)
        })
        .collect()
}

/// Both show the same; each stores everything anew, and the other shows that.
fn both_ways(board: &str, recipe: &Recipe, ports: usize) {
    let Some(bench) = TwoTools::new(board, recipe) else {
        return;
    };
    let fresh = bench.theirs();
    assert_eq!(fresh, bench.ours(), "a fresh {board}");
    assert!(fresh.keys().filter(|n| n.contains("BOOT_VLAN_P")).count() == ports, "{fresh:?}");

    let wanted = others(&fresh);
    let typed: Vec<String> =
        wanted.iter().map(|(p, value)| format!("{}={value}", p.name())).collect();
    let mut args = vec!["-d", "CARD", "-y", "set"];
    args.extend(typed.iter().map(String::as_str));
    let run = bench.run(&args);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let ours = bench.ours();
    for (parameter, value) in &wanted {
        let name = parameter.name();
        assert_eq!(ours[&name].1, Some(*value), "{name}, set by mstconfig");
    }
    assert_eq!(ours, bench.theirs(), "{board} set by mstconfig");

    let back: Vec<(Parameter, u32)> = fresh
        .iter()
        .map(|(name, (_, next))| (Parameter::named(name).unwrap(), next.unwrap()))
        .collect();
    let outcome = bench.set(&back).unwrap();
    assert_eq!(outcome.changes.len(), back.len());
    assert_eq!(bench.theirs(), fresh, "{board} set by us");

    // Their reset invalidates everything; ours sees no stored value any more.
    bench.set(&wanted).unwrap();
    let run = bench.run(&["-d", "CARD", "-y", "reset"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let card = bench.card();
    let mut device = job::open_sim(&card, "sim").unwrap();
    let after = job::nv_query(&mut device).unwrap();
    assert!(after.parameters.iter().all(|p| !p.stored), "{after:?}");
}

#[test]
fn mstconfig_and_ours_agree_about_a_one_port_ethernet_card() {
    both_ways("mcx311a", &Recipe::mcx311a_2_35_5100(), 1);
}

#[test]
fn mstconfig_and_ours_agree_about_a_two_port_vpi_card() {
    both_ways("mcx354a-pro", &Recipe::mcx312b_2_42_5000(), 2);
}

/// Old enough that the mailbox is not in CR-space: commands 0x70 and 0x71 carry everything.
#[test]
fn mstconfig_and_ours_agree_where_the_mailbox_is_not_mapped() {
    let recipe = Recipe { version: "2.32.5100".parse().unwrap(), ..Recipe::mcx311a_2_35_5100() };
    both_ways("mcx311a", &recipe, 1);
}

#[test]
fn mstconfig_and_ours_recognize_old_firmware() {
    let recipe = Recipe { version: "2.30.8000".parse().unwrap(), ..Recipe::mcx311a_2_35_5100() };
    let Some(bench) = TwoTools::new("mcx311a", &recipe) else {
        return;
    };
    let run = bench.run(&["-d", "CARD", "query"]);
    assert!(
        run.stdout.contains("Unsupported FW (version 2.31.5000 or above required for CX3/PRO)"),
        "{run:?}"
    );
    let card = bench.card();
    let mut device = job::open_sim(&card, "sim").unwrap();
    let error = job::nv_query(&mut device).unwrap_err();
    assert!(
        matches!(&error, JobError::Nv(NvError::OldFirmware { running }) if running == "2.30.8000"),
        "{error:?}"
    );
}

#[test]
fn a_corrupt_configuration_is_repaired_by_our_reset() {
    let Some(bench) = TwoTools::new("mcx311a", &Recipe::mcx311a_2_35_5100()) else {
        return;
    };
    let fresh = bench.ours();
    bench.card().inject(Fault::CorruptConfiguration);
    let run = bench.run(&["-d", "CARD", "query"]);
    assert!(run.stdout.contains("Failed to query device current configuration"), "{run:?}");
    {
        let card = bench.card();
        let mut device = job::open_sim(&card, "sim").unwrap();
        let error = job::nv_query(&mut device).unwrap_err();
        assert!(error.to_string().contains("stored configuration as corrupt"), "{error}");
        let (reset, dir) = (job::WriteRequest::ConfigReset, bench.dir.path());
        job::write(&mut device, &reset, job::WriteOptions::later(dir), &mut |_| true, &mut ())
            .unwrap();
    }
    assert_eq!(bench.ours(), fresh);
    assert_eq!(bench.theirs(), fresh);
}

#[test]
fn more_vfs_than_a_host_boots_with_are_refused_by_both() {
    let Some(bench) = TwoTools::new("mcx311a", &Recipe::mcx311a_2_35_5100()) else {
        return;
    };
    // 63 virtual functions and the physical one with 32 MiB each: 2 GiB.
    let run = bench.run(&["-d", "CARD", "-y", "set", "NUM_OF_VFS=64"]);
    assert!(run.stdout.contains("exceeds limit (63)"), "{run:?}");
    let vfs = Parameter::named("NUM_OF_VFS").unwrap();
    let bar = Parameter::named("LOG_BAR_SIZE").unwrap();
    let error = bench.set(&[(vfs, 64)]).unwrap_err();
    assert!(error.to_string().contains("at most 63"), "{error}");
    let error = bench.set(&[(vfs, 63), (bar, 5)]).unwrap_err();
    assert!(matches!(error, JobError::Nv(NvError::TooMuchBar { mib: 2048 })), "{error:?}");
    let run = bench.run(&["-d", "CARD", "-y", "set", "NUM_OF_VFS=63", "LOG_BAR_SIZE=5"]);
    assert_ne!(run.code, 0, "{run:?}");
}

#[test]
fn mstflint_and_mstconfig_reach_the_simulated_card() {
    let Some(mst) = mst() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("card.cx3");
    let flash = build(&Recipe::mcx311a_2_35_5100()).unwrap();
    drop(SimCard::create(&file, CardSpec::default(), &flash).unwrap());

    let run = mst.run(&file, dir.path(), "mstflint", &["-d", "CARD", "query"], "");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.contains("PSID:                  MT_1170110023"), "{run:?}");

    let run = mst.run(&file, dir.path(), "mstconfig", &["-d", "CARD", "query"], "");
    // It gets as far as asking the firmware.
    assert_eq!(run.stderr, "", "{run:?}");
    assert!(
        run.stdout.contains("Unsupported FW") || run.stdout.contains("Configurations:"),
        "{run:?}"
    );
}
