//! What a network device's driver says of itself, as `ethtool -i` shows it.

use super::vfio::ethtool_driver_info;
use serde::Serialize;

/// Answer of `ETHTOOL_GDRVINFO`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverInfo {
    /// Driver: `mlx4_en`.
    pub driver: String,
    /// Its version; in-tree drivers answer the kernel's.
    pub version: String,
    /// Running firmware, `2.42.5000` (docs/linux.md#success-of-a-rebind).
    pub fw_version: String,
    /// PCI address.
    pub bus_info: String,
}

/// Asks the driver of a network device.
///
/// # Errors
/// ENODEV when there is no such device, EOPNOTSUPP when its driver does not say.
pub fn driver_info(netdev: &str) -> std::io::Result<DriverInfo> {
    let info = ethtool_driver_info(netdev)?;
    Ok(DriverInfo {
        driver: text(&info.driver),
        version: text(&info.version),
        fw_version: text(&info.fw_version),
        bus_info: text(&info.bus_info),
    })
}

/// Up to the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{driver_info, text};

    #[test]
    fn a_field_ends_at_its_first_zero() {
        assert_eq!(text(b"2.42.5000\0junk"), "2.42.5000");
        assert_eq!(text(b"full"), "full");
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        for name in ["", "no-such-dev0", "a-name-longer-than-fifteen", "a\0b"] {
            let error = driver_info(name).expect_err(name);
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV), "{name:?}");
        }
    }
}
