//! All settings of a card, and what must be stored to change some of them.

use super::fields::{Bound, Fallback, Support};
use super::{Parameter, TlvId};
use crate::card::tools::{ToolsError, ToolsInterface};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Offsets in `QUERY_DEV_CAP`'s output. Each is the first of two dwords, and the figures are in it
/// (at bytes 0x38 and 0xc0, in the low bits of the dwords).
const MAX_VFS: u16 = 0x38;
const DEFAULT_BAR: u16 = 0x48;
const CAPABILITIES: u16 = 0xc0;
const MAX_BAR: u16 = 0xc8;

/// MiB of UAR BARs of all functions that mstconfig allows: above, "the node might not boot".
const MOST_BAR_MIB: u64 = 512;

/// Limits that the card reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct Limits {
    pub max_vfs: u32,
    /// log2 of the UAR BAR in MiB.
    pub max_log_bar: u32,
}

/// One parameter of this card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvSetting {
    pub parameter: Parameter,
    /// What the firmware takes at its next start; `None` = not stored, and no default is known.
    pub next_boot: Option<u32>,
    /// What it takes when nothing is stored.
    pub default: Option<u32>,
    /// [`NvSetting::next_boot`] is stored.
    pub stored: bool,
}

/// Every setting the card has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvSettings {
    /// In the order of [`super::FIELDS`].
    pub settings: Vec<NvSetting>,
    /// What bounds them.
    pub limits: Limits,
    /// Stored TLVs, as they are.
    pub(super) stored: BTreeMap<TlvId, Vec<u32>>,
}

/// TLVs to store, with their data.
pub type TlvWrites = BTreeMap<TlvId, Vec<u32>>;

/// Statuses that mean "not supported here": an answer, not a failure.
fn if_known<T>(answer: Result<T, ToolsError>) -> Result<Option<T>, ToolsError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(
            error @ (ToolsError::UnknownOp { .. }
            | ToolsError::UnknownTlv { .. }
            | ToolsError::BadResource { .. }
            | ToolsError::Other { .. }),
        ) => {
            tracing::debug!(%error, "no defaults");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Abilities that the firmware reports, before any TLV is read.
struct Abilities {
    capabilities: u32,
    card: Option<[u32; 8]>,
    ports: [Option<[u32; 8]>; 2],
    default_bar: u32,
}

impl Abilities {
    fn port(&self, port: u8) -> Option<&[u32; 8]> {
        let index = usize::from(port).checked_sub(1)?;
        self.ports.get(index)?.as_ref()
    }

    fn has(&self, parameter: Parameter) -> bool {
        let bit = |n: u32| self.capabilities >> n & 1 == 1;
        let port = self.port(parameter.port);
        match parameter.field.support {
            Support::Capability(n) => bit(n),
            Support::PortCapability(n) => bit(n + u32::from(parameter.port) - 1),
            // mstconfig shows IP_VER_P2 of a one-port card, without a value; here it is no setting.
            Support::Card(_) if parameter.port != 0 && port.is_none() => false,
            Support::Card(bits) => self.card.is_some_and(|words| bits.of(&words) == 1),
            Support::Port(bits) => port.is_some_and(|words| bits.of(words) == 1),
            Support::Answers => port.is_some(),
        }
    }

    fn default_of(&self, parameter: Parameter) -> Option<u32> {
        let port = self.port(parameter.port);
        match parameter.field.fallback {
            Fallback::Card(bits) => self.card.map(|words| bits.of(&words)),
            Fallback::Port(bits) => port.map(|words| bits.of(words)),
            Fallback::PortNonZero(bits) => port.map(|words| bits.of(words)).filter(|v| *v != 0),
            Fallback::Bar => Some(self.default_bar),
        }
    }
}

impl ToolsInterface<'_> {
    /// Reads every setting. Firmware before 2.31.5000 fails at the first command.
    pub fn settings(&mut self) -> Result<NvSettings, ToolsError> {
        let [capabilities, _] = self.capabilities(CAPABILITIES)?;
        let [max_vfs, _] = self.capabilities(MAX_VFS)?;
        let [max_bar, _] = self.capabilities(MAX_BAR)?;
        let [default_bar, _] = self.capabilities(DEFAULT_BAR)?;
        let abilities = Abilities {
            capabilities,
            card: if_known(self.defaults(0))?,
            ports: [if_known(self.defaults(1))?, if_known(self.defaults(2))?],
            // Without the blue-flame half.
            default_bar: (default_bar >> 16 & 0x3f) + 1,
        };
        let limits = Limits {
            // 0 means all 128 functions; one of them is the physical one.
            max_vfs: match max_vfs & 0xff {
                0 => 127,
                functions => functions - 1,
            },
            max_log_bar: max_bar >> 3 & 0x3f,
        };
        let mut known: BTreeMap<TlvId, Option<Vec<u32>>> = BTreeMap::new();
        let mut settings = Vec::new();
        for parameter in Parameter::all().filter(|p| abilities.has(*p)) {
            let id = parameter.tlv();
            let stored = match known.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.read_tlv(id, parameter.field.dwords)?),
            };
            let default = abilities.default_of(parameter);
            settings.push(NvSetting {
                parameter,
                next_boot: stored.as_ref().map(|words| parameter.field.bits.of(words)).or(default),
                default,
                stored: stored.is_some(),
            });
        }
        Ok(NvSettings {
            settings,
            limits,
            stored: known.into_iter().filter_map(|(id, data)| Some((id, data?))).collect(),
        })
    }
}

impl NvSettings {
    /// The setting of a parameter; `None` when the card has none.
    pub fn of(&self, parameter: Parameter) -> Option<&NvSetting> {
        self.settings.iter().find(|s| s.parameter == parameter)
    }

    /// What a parameter can be at most on this card.
    pub fn max(&self, parameter: Parameter) -> u32 {
        let field = parameter.field;
        match field.bound {
            Bound::None => field.max,
            Bound::Vfs => field.max.min(self.limits.max_vfs),
            Bound::Bar => field.max.min(self.limits.max_log_bar),
        }
    }

    /// The TLVs to store so that the parameters become `wanted`: what else they hold stays. Nothing
    /// for a TLV that holds it all already.
    ///
    /// # Errors
    /// A parameter that a new TLV holds too, and that has no value yet.
    pub fn writes(&self, wanted: &[(Parameter, u32)]) -> Result<TlvWrites, Parameter> {
        let mut writes: TlvWrites = BTreeMap::new();
        for (parameter, value) in wanted {
            let differs = self.of(*parameter).and_then(|s| s.next_boot) != Some(*value);
            if differs && !writes.contains_key(&parameter.tlv()) {
                writes.insert(parameter.tlv(), self.base(*parameter, wanted)?);
            }
        }
        for (parameter, value) in wanted {
            if let Some(data) = writes.get_mut(&parameter.tlv()) {
                parameter.field.bits.set(data, *value);
            }
        }
        Ok(writes)
    }

    /// What a TLV is written over: the stored one, or the defaults of all it holds.
    fn base(
        &self,
        parameter: Parameter,
        wanted: &[(Parameter, u32)],
    ) -> Result<Vec<u32>, Parameter> {
        let id = parameter.tlv();
        if let Some(stored) = self.stored.get(&id) {
            return Ok(stored.clone());
        }
        let mut data = vec![0; usize::from(parameter.field.dwords)];
        for setting in self.settings.iter().filter(|s| s.parameter.tlv() == id) {
            match setting.next_boot {
                Some(value) => setting.parameter.field.bits.set(&mut data, value),
                None if wanted.iter().any(|(p, _)| *p == setting.parameter) => {}
                None => return Err(setting.parameter),
            }
        }
        Ok(data)
    }

    /// MiB that the UAR BARs of all functions take once `wanted` is stored, when that is more than
    /// a host is sure to boot with (mstconfig refuses it too).
    pub fn too_much_bar(&self, wanted: &[(Parameter, u32)]) -> Option<u64> {
        let value = |name: &str| {
            let parameter = Parameter::named(name)?;
            let asked = wanted.iter().find(|(p, _)| *p == parameter);
            asked.map(|(_, value)| *value).or_else(|| self.of(parameter)?.next_boot)
        };
        let concerned = wanted
            .iter()
            .any(|(p, _)| matches!(p.field.base, "SRIOV_EN" | "NUM_OF_VFS" | "LOG_BAR_SIZE"));
        if !concerned || value("SRIOV_EN") != Some(1) {
            return None;
        }
        let functions = u64::from(value("NUM_OF_VFS")?) + 1;
        let mib = 1_u64.checked_shl(value("LOG_BAR_SIZE")?)?;
        let all = functions.saturating_mul(mib);
        (all > MOST_BAR_MIB).then_some(all)
    }
}
