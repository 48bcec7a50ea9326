//! The parameters a user sees, with their places (docs/hardware.md#settings-in-the-firmware; names and value names as
//! mstconfig 4.21 prints them).

use super::TlvId;

/// Bits of one dword of an answer or a TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitField {
    pub(super) word: usize,
    pub(super) shift: u32,
    pub(super) width: u32,
}

impl BitField {
    fn mask(self) -> u32 {
        1_u32.checked_shl(self.width).map_or(u32::MAX, |high| high - 1)
    }

    /// Their value; 0 when the dword is missing.
    pub(super) fn of(self, words: &[u32]) -> u32 {
        words.get(self.word).map_or(0, |word| word >> self.shift & self.mask())
    }

    /// Stores a value; does nothing when the dword is missing.
    pub(super) fn set(self, words: &mut [u32], value: u32) {
        if let Some(word) = words.get_mut(self.word) {
            *word = *word & !(self.mask() << self.shift) | (value & self.mask()) << self.shift;
        }
    }
}

/// How a card reports that it has the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Bit of the capability dword at 0xc0.
    Capability(u32),
    /// Bit of the capability dword for port 1; the next one is for port 2.
    PortCapability(u32),
    /// Bit in the card's defaults.
    Card(BitField),
    /// Bit in the port's defaults.
    Port(BitField),
    /// It answers for the port at all: firmware does not keep the bit for it (4.21's source).
    Answers,
}

/// Where its default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// In the card's defaults.
    Card(BitField),
    /// In the port's defaults.
    Port(BitField),
    /// In the port's defaults, where 0 means that there is none.
    PortNonZero(BitField),
    /// In the capabilities: the UAR bar, whose figure there counts half of it.
    Bar,
}

/// What bounds a value beside the field's own range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    None,
    /// The number of functions the firmware can have.
    Vfs,
    /// The largest BAR the firmware can have.
    Bar,
}

/// One kind of parameter, for the card or for each port.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Name without the port, `LINK_TYPE`.
    pub base: &'static str,
    /// One per port, with `_P1` or `_P2` behind the name.
    pub per_port: bool,
    /// What it does, for people.
    pub about: &'static str,
    pub min: u32,
    /// Largest value the field takes; the card may allow less.
    pub max: u32,
    pub names: &'static [(&'static str, u32)],
    pub(super) tlv: u16,
    pub(super) dwords: u16,
    pub(super) bits: BitField,
    pub(super) support: Support,
    pub(super) fallback: Fallback,
    pub(super) bound: Bound,
}

const BOOL: &[(&str, u32)] = &[("False", 0), ("True", 1)];
const LINK: &[(&str, u32)] = &[("IB", 1), ("ETH", 2), ("VPI", 3)];
const PHY: &[(&str, u32)] = &[("XAUI", 1), ("XFI", 2), ("SGMII", 3)];
const XFI: &[(&str, u32)] = &[("_10G", 0), ("_20G", 1), ("_40G", 2)];
const PROTOCOL: &[(&str, u32)] = &[("None", 0), ("PXE", 1), ("iSCSI", 2), ("Both", 3)];
const IP: &[(&str, u32)] = &[("IPv4", 0), ("IPv6", 1), ("IPv4_IPv6", 2), ("IPv6_IPv4", 3)];
const PHY_MODE: &[(&str, u32)] = &[("DEVICE_DEFAULT", 0), ("LEGACY", 1), ("ADVANCED", 2)];

const fn bits(word: usize, shift: u32, width: u32) -> BitField {
    BitField { word, shift, width }
}

const fn card(
    base: &'static str,
    (tlv, dwords): (u16, u16),
    place: (u32, u32),
    (max, names): (u32, &'static [(&'static str, u32)]),
    support: Support,
    fallback: Fallback,
    about: &'static str,
) -> Field {
    Field {
        base,
        per_port: false,
        about,
        min: 0,
        max,
        names,
        tlv,
        dwords,
        bits: bits(0, place.0, place.1),
        support,
        fallback,
        bound: Bound::None,
    }
}

const fn port(
    base: &'static str,
    tlv: (u16, u16),
    place: (u32, u32),
    values: (u32, &'static [(&'static str, u32)]),
    support: Support,
    fallback: Fallback,
    about: &'static str,
) -> Field {
    let mut field = card(base, tlv, place, values, support, fallback, about);
    field.per_port = true;
    field
}

const fn from(min: u32, bound: Bound, mut field: Field) -> Field {
    field.min = min;
    field.bound = bound;
    field
}

const WOL: (u16, u16) = (0x10, 2);
const SRIOV: (u16, u16) = (0x11, 1);
const VPI: (u16, u16) = (0x12, 1);
const BAR: (u16, u16) = (0x13, 1);
const GLOBAL: (u16, u16) = (0x14, 8);
const BOOT_EXT: (u16, u16) = (0x2001, 1);
const PREBOOT: (u16, u16) = (0x2021, 1);
const IB_BOOT: (u16, u16) = (0x2022, 1);

const FORCE: Support = Support::Port(bits(0, 17, 1));

/// Every kind of parameter, in the order they are shown.
#[rustfmt::skip]
pub static FIELDS: [Field; 19] = [
    card("SRIOV_EN", SRIOV, (31, 1), (1, BOOL), Support::Capability(0),
        Fallback::Card(bits(1, 31, 1)), "single-root I/O virtualization"),
    from(0, Bound::Vfs, card("NUM_OF_VFS", SRIOV, (0, 16), (127, &[]), Support::Capability(0),
        Fallback::Card(bits(1, 0, 8)), "virtual functions when SRIOV_EN is on")),
    port("WOL_MAGIC_EN", WOL, (10, 1), (1, BOOL), Support::PortCapability(1),
        Fallback::Port(bits(1, 27, 1)), "wake up the host on a magic packet"),
    from(1, Bound::None, port("LINK_TYPE", VPI, (0, 2), (3, LINK), Support::PortCapability(3),
        Fallback::PortNonZero(bits(1, 25, 2)), "InfiniBand, Ethernet, or what is plugged in")),
    from(1, Bound::None, port("PHY_TYPE", VPI, (4, 2), (3, PHY), FORCE,
        Fallback::Port(bits(3, 12, 2)), "physical interface when FORCE_MODE is on")),
    port("XFI_MODE", VPI, (6, 2), (2, XFI), FORCE,
        Fallback::Port(bits(3, 10, 2)), "speed when FORCE_MODE is on"),
    port("FORCE_MODE", VPI, (8, 1), (1, BOOL), FORCE,
        Fallback::Port(bits(3, 9, 1)), "use PHY_TYPE and XFI_MODE as they are"),
    from(0, Bound::Bar, card("LOG_BAR_SIZE", BAR, (0, 32), (63, &[]), Support::Capability(5),
        Fallback::Bar, "log2 of the UAR BAR of one function in MiB")),
    port("BOOT_PKEY", IB_BOOT, (0, 16), (0xffff, &[]), Support::Port(bits(2, 28, 1)),
        Fallback::Port(bits(2, 0, 16)), "InfiniBand partition key for network boot, 0 = default"),
    port("BOOT_OPTION_ROM_EN", PREBOOT, (31, 1), (1, BOOL), Support::Answers,
        Fallback::Port(bits(1, 29, 1)), "show the boot ROM to the BIOS"),
    port("BOOT_VLAN_EN", PREBOOT, (30, 1), (1, BOOL), Support::Answers,
        Fallback::Port(bits(1, 28, 1)), "network boot inside of BOOT_VLAN"),
    port("BOOT_RETRY_CNT", PREBOOT, (24, 3), (7, &[]), Support::Answers,
        Fallback::Port(bits(1, 20, 4)), "tries of a network boot, 7 = for ever"),
    port("LEGACY_BOOT_PROTOCOL", PREBOOT, (16, 8), (3, PROTOCOL), Support::Answers,
        Fallback::Port(bits(1, 16, 4)), "what the boot ROM tries"),
    port("BOOT_VLAN", PREBOOT, (0, 12), (0xfff, &[]), Support::Answers,
        Fallback::Port(bits(1, 0, 12)), "VLAN of network boot"),
    port("IP_VER", BOOT_EXT, (8, 2), (3, IP), Support::Card(bits(1, 21, 1)),
        Fallback::Port(bits(2, 24, 2)), "IP version of network boot"),
    card("PHY_PARAMETER_MODE", GLOBAL, (28, 2), (2, PHY_MODE), Support::Card(bits(0, 15, 1)),
        Fallback::Card(bits(1, 22, 2)), "set of parameters of the ports"),
    card("INT_CLOCK_TO_USER", GLOBAL, (27, 1), (1, BOOL), Support::Card(bits(0, 14, 1)),
        Fallback::Card(bits(1, 27, 1)), "show the internal clock to programs"),
    card("CQ_TIMESTAMP", GLOBAL, (31, 1), (1, BOOL), Support::Card(bits(0, 17, 1)),
        Fallback::Card(bits(1, 29, 1)), "hardware time stamps (PTP)"),
    card("STEER_FORCE_VLAN", GLOBAL, (30, 1), (1, BOOL), Support::Card(bits(0, 16, 1)),
        Fallback::Card(bits(1, 28, 1)), "force VLAN steering"),
];

/// A field and the port it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub field: &'static Field,
    /// 1 or 2; 0 for the whole card.
    pub port: u8,
}

impl Parameter {
    /// Every parameter there is, those of port 2 behind those of port 1.
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().flat_map(|field| {
            let ports = if field.per_port { 1..=2 } else { 0..=0 };
            ports.map(move |port| Self { field, port })
        })
    }

    /// The parameter with this name, upper or lower case.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|p| p.name().eq_ignore_ascii_case(name))
    }

    /// `LINK_TYPE_P1`.
    pub fn name(self) -> String {
        match self.port {
            0 => self.field.base.to_owned(),
            port => format!("{}_P{port}", self.field.base),
        }
    }

    /// The TLV it is in.
    pub fn tlv(self) -> TlvId {
        TlvId { kind: self.field.tlv, port: self.port }
    }

    /// A value as it is typed: a name of the table, decimal, or hexadecimal with 0x.
    pub fn parse(self, text: &str) -> Option<u32> {
        let mut named = self.field.names.iter();
        if let Some((_, value)) = named.find(|n| n.0.eq_ignore_ascii_case(text)) {
            return Some(*value);
        }
        let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => text.parse().ok()?,
        };
        (self.field.min..=self.field.max).contains(&value).then_some(value)
    }

    /// `ETH(2)`, or the bare number where values have no names: mstconfig's form.
    pub fn show(self, value: u32) -> String {
        match self.field.names.iter().find(|n| n.1 == value) {
            Some((name, _)) => format!("{name}({value})"),
            None => value.to_string(),
        }
    }

    /// What may be typed: `False, True or 0..1`.
    pub fn range(self) -> String {
        let names: Vec<&str> = self.field.names.iter().map(|n| n.0).collect();
        let numbers = format!("{}..{}", self.field.min, self.field.max);
        match names.as_slice() {
            [] => numbers,
            names => format!("{} or {numbers}", names.join(", ")),
        }
    }
}
