//! Chips the simulator can be. On purpose apart from `flash::parts`: two readings of the data.

use serde::{Deserialize, Serialize};

/// A flash chip model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimPart {
    /// 2 MiB, 4K and 64K.
    M25px16,
    /// 2 MiB, 4K and 64K.
    W25q16,
    /// 1 MiB, 4K and 64K.
    W25q80,
    /// 4 MiB, 4K and 64K.
    W25q32,
    /// 2 MiB, 4K and 64K.
    Mx25l1606,
    /// 2 MiB, byte program, powers up protected.
    Sst25vf016b,
    /// 4 MiB, Micron.
    N25q032,
    /// 2 MiB, 64K only.
    M25p16,
}
