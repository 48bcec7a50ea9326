//! The words flint has for what a version block says (docs/fs2.md#rom-content, docs/flint.md#rom-lines).

use super::{ExpRom, Rom};
use std::fmt::Write;

impl ExpRom {
    /// Name of a product id.
    #[must_use]
    pub fn name_of(product_id: u16) -> Option<&'static str> {
        Some(match product_id {
            1 => "CLP1",
            2 => "CLP2",
            3 => "CLP3",
            4 => "CLP4",
            0xF | 0x12 => "CLP",
            0x10 => "PXE",
            0x11 => "UEFI",
            0x13 => "NVMe",
            0x14 => "UEFI Virtio net",
            0x15 => "UEFI Virtio blk",
            0x16 => "PXE Virtio net",
            0x21 => "FCODE",
            _ => return None,
        })
    }

    /// Name of the protocol; `None` when it is not to be shown.
    #[must_use]
    pub fn protocol_name(&self) -> Option<&'static str> {
        if self.product_id < 0x10 || self.product_id == 0x12 {
            return None;
        }
        match self.protocol {
            0 => Some("IB"),
            1 => Some("ETH"),
            2 => Some("VPI"),
            0xFF => None,
            _ => Some("N/A"),
        }
    }

    /// Name of the CPU; `None` when not given.
    #[must_use]
    pub fn cpu_name(&self) -> Option<&'static str> {
        match self.cpu {
            0 => None,
            1 => Some("AMD64"),
            2 => Some("AARCH64"),
            3 => Some("AMD64,AARCH64"),
            4 => Some("IA32"),
            _ => Some("N/A"),
        }
    }

    /// flint's words for this block, such as `type=PXE version=3.4.752`. An unknown product id ends in
    /// a newline, product id 0xF in a blank, as there.
    #[must_use]
    pub fn flint_text(&self) -> String {
        if let Some(version) = &self.version_text {
            return format!("version_id={version} type=CLP ");
        }
        let Some(name) = &self.type_name else {
            return format!("{:#x} - Unknown ROM product ID\n", self.product_id);
        };
        let (a, b, c) = self.version;
        let mut text = format!("type={name} version={a}.{b}.{c}");
        // Writing to a String cannot fail.
        if self.port != 0 {
            let _ = write!(text, " port={}", self.port);
        }
        if let Some(protocol) = self.protocol_name() {
            let _ = write!(text, " proto={protocol}");
        }
        if let Some(cpu) = self.cpu_name() {
            let _ = write!(text, " cpu={cpu}");
        }
        text
    }
}

impl Rom {
    /// The whole entry as flint prints it behind `prefix` (`Rom Info:              ` in a query,
    /// `Rom Info: ` for a bare file), final newline included.
    #[must_use]
    pub fn flint_text(&self, prefix: &str) -> String {
        let Some((first, more)) = self.blocks.split_first() else {
            let error = self.error.as_ref();
            let error = error.map_or(String::new(), |e| format!(" (-E- {e})"));
            return format!("{prefix}N/A{error}\n");
        };
        let mut text = format!("{prefix}{}", first.flint_text());
        for block in more {
            text.push('\n');
            text.push_str(&" ".repeat(prefix.len()));
            text.push_str(&block.flint_text());
        }
        if let Some(warning) = &self.warning {
            let _ = write!(text, " (-W- {warning})");
        }
        text.push('\n');
        text
    }
}
