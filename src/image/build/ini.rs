//! The FW Configuration: an ini text and its compressed form (docs/fs2.md#fw-configuration-and-hash-file).

use super::Recipe;
use flate2::{Compression, write::ZlibEncoder};
use std::fmt::Write as _;
use std::io::Write as _;

/// Ports of the board: one on the MCX311A, whose older image has no PRS name at all.
fn ports(recipe: &Recipe) -> u8 {
    match &recipe.prs_name {
        Some(name) if name.contains("MCX311") => 1,
        None => 1,
        Some(_) => 2,
    }
}

/// An ini text with the keys a burner looks at (docs/fs2.md#fw-configuration-and-hash-file) and enough board settings beside
/// them to be of real size. Values follow `recipe`; words are our own.
pub(super) fn text(recipe: &Recipe) -> String {
    let pro = recipe.device_id == 4103;
    let ports = ports(recipe);
    let mut ini = String::with_capacity(4096);
    // Writing to a String cannot fail.
    let _ = write_sections(&mut ini, recipe, pro, ports);
    ini
}

fn write_sections(ini: &mut String, r: &Recipe, pro: bool, ports: u8) -> std::fmt::Result {
    let chip = if pro { "ConnectX-3 Pro" } else { "ConnectX-3" };
    let part = if pro {
        "MCX312B-XCC_Ax"
    } else {
        "MCX311A-XCA_Ax"
    };
    writeln!(
        ini,
        ";; Board file of a built image. Not for sale, not for a card."
    )?;
    writeln!(ini, ";; Seed {:#x}\n", r.seed)?;
    writeln!(ini, "[PS_INFO]\nName = {part}")?;
    writeln!(
        ini,
        "Description = {chip} Ethernet adapter, {ports} port(s), SFP+, 10GbE"
    )?;
    if let Some(prs) = &r.prs_name {
        writeln!(ini, "PRS_name = {prs}")?;
    }
    writeln!(ini, "\n[ADAPTER]\nPSID = {}", r.psid)?;
    writeln!(ini, "adapter_dev_id = {:#x}", r.device_id)?;
    let revision = r.supported_hw.first().map_or(0, |hw| hw.1);
    writeln!(ini, "silicon_rev = {revision:#x}")?;
    if let Some((sectors, ..)) = r.config_area {
        writeln!(ini, "nv_cfg_en = true\nnv_config_sectors = {sectors}")?;
    }
    writeln!(
        ini,
        "gpio_mode1 = 0x0\ngpio_mode0 = 0x050e070f\ngpio_default_val = 0x0502010f"
    )?;
    writeln!(ini, "\n[HCA]\nhca_header_device_id = {:#x}", r.device_id)?;
    writeln!(
        ini,
        "hca_header_subsystem_id = {}",
        if pro { "0x0079" } else { "0x0055" }
    )?;
    writeln!(
        ini,
        "eth_xfi_en = true\nmdio_en_port1 = 0\nnum_pfs = 1\ntotal_vfs = 8\nsriov_en = true"
    )?;
    writeln!(
        ini,
        "\n[IB]\nnum_of_ports = {ports}\ngen_guids_from_mac = true"
    )?;
    for port in 1..=ports {
        writeln!(ini, "phy_type_port{port} = XFI")?;
        writeln!(ini, "read_cable_params_port{port}_en = true")?;
        writeln!(ini, "eth_tx_lane_polarity_port{port} = 0x0")?;
        writeln!(ini, "eth_rx_lane_polarity_port{port} = 0x{port:x}")?;
        writeln!(ini, "eth_tx_lane_reversal_port{port} = off")?;
        writeln!(ini, "eth_rx_lane_reversal_port{port} = off")?;
        // Equaliser tables make most of a real file's length.
        for entry in 0..96 / u64::from(ports) {
            let mut seed =
                super::filler::Filler::new(r.seed, 0x1000 + u64::from(port) * 64 + entry);
            writeln!(
                ini,
                "port{port}_eq_{entry:02}_tap = {:#010x}",
                seed.next() as u32
            )?;
        }
    }
    writeln!(
        ini,
        "\n[PLL]\nlbist_en = 0\nlbist_shift_freq = 3\npll_stabilize = 0x13"
    )?;
    writeln!(
        ini,
        "flash_div = 0x3\nlbist_array_bypass = 1\nlbist_pat_cnt_lsb = 0x2"
    )?;
    writeln!(ini, "core_f = 44\ncore_r = 27\nddr_6_db_preemp_pre = 0x3")?;
    writeln!(
        ini,
        "\n[FW]\n;; log2 of the flash size in bytes, log2 of KiB per sector"
    )?;
    let log_flash = if r.size > 0x10_0000 { 22 } else { 21 };
    writeln!(ini, "log_flashdev_size = {log_flash}")?;
    let sector = r.config_area.and_then(|area| area.2).unwrap_or(6);
    writeln!(ini, "log_flash_sector_size = {sector}")
}

/// The text as a zlib stream, padded with zeros to a dword.
pub(super) fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing to a Vec cannot fail, neither here nor in finish.
    let _ = encoder.write_all(text.as_bytes());
    let mut body = encoder.finish().unwrap_or_default();
    body.resize(body.len().next_multiple_of(4), 0);
    body
}
