//! The reader finds in a built image what its recipe has.

use super::*;
use crate::image::{Contents, CrcVerdict, Image, Layout, SectionKind, Severity, WalkEnd};

fn read_back(recipe: &Recipe) -> Image {
    Contents::from_file(&build(recipe).unwrap()).unwrap().image().clone()
}

fn same(recipe: &Recipe, image: &Image) {
    let layout = match recipe.chunk_log2 {
        Some(chunk_log2) => Layout::Failsafe { chunk_log2 },
        None => Layout::NonFailsafe,
    };
    assert_eq!(image.layout, layout);
    let good = |crc: &CrcVerdict| matches!(crc, CrcVerdict::Ok | CrcVerdict::Blank);
    assert!(image.sections.iter().all(|s| good(&s.crc)));
    let boot2 = image.sections.iter().filter(|s| s.kind == SectionKind::Boot2);
    assert_eq!(boot2.count(), usize::from(recipe.boot2_blocks));
    let info = image.info.as_ref().unwrap();
    assert_eq!(info.fw_version, Some(recipe.version));
    let date = info.release_date.unwrap();
    let (year, month, day) = recipe.date;
    assert_eq!(format!("{date}"), format!("{year:04}-{month:02}-{day:02}"));
    assert_eq!(info.device_id, Some(recipe.device_id));
    assert_eq!(info.psid, Some(recipe.psid.as_str().into()));
    assert_eq!(info.vsd, recipe.vsd.clone().map(Into::into));
    assert_eq!(info.product_version, recipe.product_version.clone().map(Into::into));
    assert_eq!(info.vsd_vendor_id, recipe.vsd_vendor_id);
    assert_eq!(info.mic_version, recipe.mic_version);
    assert_eq!(info.min_fit_version, recipe.min_fit_version);
    assert_eq!(info.hw_access_key, recipe.hw_access_key.map(|key| key != 0));
    assert_eq!(info.prs_name, recipe.prs_name.clone().map(Into::into));
    assert_eq!(info.config_sectors, recipe.config_area.map(|a| a.0));
    assert_eq!(info.config_pad, recipe.config_area.map(|a| a.1));
    let sector = recipe.config_area.and_then(|a| a.2).map(|v| 1024 << v);
    assert_eq!(info.sector_size, sector);
    let hw = (!recipe.supported_hw.is_empty()).then(|| recipe.supported_hw.clone());
    assert_eq!(info.supported_hw, hw);
    let guids = image.guids.as_ref().unwrap();
    assert_eq!(guids.entries, u32::from(recipe.guid_entries));
    assert_eq!(guids.blank, recipe.guids.is_none());
    if let Some(want) = recipe.guids {
        assert_eq!(guids.guids, want);
        if recipe.guid_entries == 6 {
            assert_eq!(guids.macs, recipe.macs);
        }
    }
    assert_eq!(image.walk_end, WalkEnd::Complete);
    assert_eq!((image.guid_fault, image.info_fault), (None, None));
    assert_eq!(image.rom.is_some(), recipe.rom.is_some());
    let ini = image.ini.as_ref().map(|ini| ini.bytes.as_slice());
    assert_eq!(ini, recipe.ini.as_deref().map(str::as_bytes));
}

#[test]
fn models_read_back_without_a_finding() {
    let models = [
        Recipe::default(),
        Recipe::mcx311a_2_42_5000(),
        Recipe::mcx311a_2_35_5100(),
        Recipe::mcx312b_2_42_5000(),
        Recipe::mcx312b_2_36_5150(),
    ];
    for recipe in models {
        let image = read_back(&recipe);
        same(&recipe, &image);
        assert_eq!(image.findings, []);
        let rom = image.rom.unwrap();
        assert_eq!(rom.blocks[0].device_id, recipe.device_id);
        assert_eq!(rom.blocks[0].version.1, 4);
        let ini = image.ini.unwrap();
        assert_eq!(ini.get("ADAPTER", "PSID"), Some(recipe.psid));
        assert_eq!(ini.get("FW", "log_flashdev_size").as_deref(), Some("21"));
        assert!((1500..8000).contains(&ini.bytes.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_recipe_reads_back_with_its_values(recipe in recipes()) {
        let image = read_back(&recipe);
        same(&recipe, &image);
        let wrong = image.findings.iter().filter(|f| f.severity == Severity::Error);
        // An empty PSID is an error of the recipe, nothing else may be.
        prop_assert_eq!(wrong.count(), usize::from(recipe.psid.is_empty()));
    }
}
