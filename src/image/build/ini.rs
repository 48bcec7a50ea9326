//! The FW Configuration: an ini text and its compressed form
//! (docs/fs2.md#fw-configuration-and-hash-file).

use super::Recipe;
use super::filler::Filler;
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write as _;

impl Recipe {
    /// The same with an ini text that agrees with the other fields.
    pub fn matching_ini(mut self) -> Self {
        self.ini = Some(text(&self));
        self
    }

    /// Ports of the board: one on the MCX311A, whose older image has no PRS name at all.
    fn ports(&self) -> u8 {
        match &self.prs_name {
            Some(name) if !name.contains("MCX311") => 2,
            _ => 1,
        }
    }
}

/// An ini text with the keys a burner reads and enough board settings besides to be of real size.
/// Values follow the recipe; the words are our own.
fn text(recipe: &Recipe) -> String {
    let pro = recipe.device_id == 4103;
    let (chip, board, subsystem) = if pro {
        ("ConnectX-3 Pro", "MCX312B-XCC_Ax", "0x0079")
    } else {
        ("ConnectX-3", "MCX311A-XCA_Ax", "0x0055")
    };
    let ports = recipe.ports();
    // The words of a real ini; its descriptions hold semicolons.
    let (number, dual) = if ports == 1 { ("One_Port", "single") } else { ("Two_Ports", "dual") };
    let (psid, device_id, seed) = (&recipe.psid, recipe.device_id, recipe.seed);
    let prs = recipe.prs_name.as_ref();
    let prs = prs.map_or(String::new(), |prs| format!("PRS_name = {prs}\n"));
    let revision = recipe.supported_hw.first().map_or(0, |hw| hw.1);
    let nv = recipe.config_area.map_or(String::new(), |(sectors, ..)| {
        format!("nv_cfg_en = true\nnv_config_sectors = {sectors}\n")
    });
    let of_ports: String = (1..=ports).map(|port| port_text(seed, port, ports)).collect();
    let log_flash = if recipe.size > 0x10_0000 { 22 } else { 21 };
    let sector = recipe.config_area.and_then(|area| area.2).unwrap_or(6);
    format!(
        "\
;; Board file of a built image. Not for sale, not for a card.
;; Seed {seed:#x}

[PS_INFO]
Name = {board}
Description = {chip} Ethernet adapter; {dual}-port SFP+; 10GbE ; not for sale
{prs}
[ADAPTER]
PSID = {psid}
adapter_dev_id = {device_id:#x}
silicon_rev = {revision:#x}
{nv}gpio_mode1 = 0x0
gpio_mode0 = 0x050e070f
gpio_default_val = 0x0502010f

[HCA]
hca_header_device_id = {device_id:#x}
hca_header_subsystem_id = {subsystem}
eth_xfi_en = true
mdio_en_port1 = 0
num_pfs = 1
total_vfs = 8
sriov_en = true

[IB]
num_of_ports = {number}
gen_guids_from_mac = true
{of_ports}
[PLL]
lbist_en = 0
lbist_shift_freq = 3
pll_stabilize = 0x13
flash_div = 0x3
lbist_array_bypass = 1
lbist_pat_cnt_lsb = 0x2
core_f = 44
core_r = 27
ddr_6_db_preemp_pre = 0x3

[FW]
;; log2 of the flash size in bytes, log2 of KiB per sector
log_flashdev_size = {log_flash}
log_flash_sector_size = {sector}
"
    )
}

fn port_text(seed: u64, port: u8, ports: u8) -> String {
    // Equaliser tables make most of a real file's length.
    let taps: String = (0..96 / u64::from(ports))
        .map(|entry| {
            let mut filler = Filler::new(seed, 0x1000 + u64::from(port) * 64 + entry);
            let tap = filler.next() as u32;
            format!("port{port}_eq_{entry:02}_tap = {tap:#010x}\n")
        })
        .collect();
    format!(
        "\
phy_type_port{port} = XFI
read_cable_params_port{port}_en = true
eth_tx_lane_polarity_port{port} = 0x0
eth_rx_lane_polarity_port{port} = 0x{port:x}
eth_tx_lane_reversal_port{port} = off
eth_rx_lane_reversal_port{port} = off
{taps}"
    )
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
