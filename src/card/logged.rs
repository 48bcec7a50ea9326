//! Register values in the log.
//!
//! Flash contents and mailboxes hold GUIDs, MACs and serial numbers, and logs are sent to others. So
//! a word of such data is logged as a digest: equal words have equal digests within one process. The
//! digest is keyed, because all 32-bit words can be tried against one without a key; the key is
//! random and is kept nowhere.

use super::Reg;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Logs data as read and written.
const AS_READ: &str = "CX3FLASH_LOG_DATA";

/// SipHash with a random key; `None` when data is wanted as read.
static KEY: LazyLock<Option<RandomState>> = LazyLock::new(|| {
    let as_read = std::env::var_os(AS_READ).is_some_and(|value| value == "1");
    (!as_read).then(RandomState::new)
});

/// The value of a register as the log shows it.
pub(super) fn logged(reg: Reg, value: u32) -> String {
    shown(reg, value, KEY.as_ref())
}

fn shown(reg: Reg, value: u32, key: Option<&RandomState>) -> String {
    match key {
        // 56 bits: never the length of a GUID or a MAC.
        Some(key) if reg.holds_data() => format!("digest:{:014x}", key.hash_one(value) >> 8),
        _ => format!("{value:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reg, shown};
    use std::hash::RandomState;

    const DATA: [Reg; 4] =
        [Reg::GatewayData(3), Reg::ToolsMailbox(9), Reg::ToolsHcr(0), Reg::ToolsHcr(4)];

    #[test]
    fn data_is_logged_as_a_digest() {
        let key = RandomState::new();
        for reg in DATA {
            let shown = shown(reg, 0xe41d_2ddd, Some(&key));
            assert!(shown.starts_with("digest:"), "{shown}");
            assert!(!shown.contains("e41d2ddd"), "{shown}");
        }
    }

    #[test]
    fn equal_words_have_equal_digests_in_one_process_only() {
        let (key, other) = (RandomState::new(), RandomState::new());
        let shown = |value, key| shown(Reg::GatewayData(0), value, Some(key));
        assert_eq!(shown(7, &key), shown(7, &key));
        assert_ne!(shown(7, &key), shown(8, &key));
        assert_ne!(shown(7, &key), shown(7, &other));
    }

    #[test]
    fn commands_addresses_and_state_are_logged_as_they_are() {
        let key = RandomState::new();
        for reg in [Reg::GatewayCommand, Reg::GatewayAddress, Reg::DeviceId, Reg::ToolsHcr(6)] {
            assert_eq!(shown(reg, 0x1f5, Some(&key)), "0x000001f5");
        }
    }

    #[test]
    fn data_is_logged_as_read_on_request() {
        for reg in DATA {
            assert_eq!(shown(reg, 0xe41d_2ddd, None), "0xe41d2ddd");
        }
    }
}
