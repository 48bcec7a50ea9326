//! What queries are answered with. Numbers are big-endian.

/// Bytes of most answers.
const LEN: usize = 0x100;
/// The error buffer: words of BAR0 that the driver reads every 5 s and that stay 0.
const ERROR_BUFFER: u64 = 0x7_e000;
const ERROR_WORDS: u32 = 0x10;
/// A write here clears an INTx; unused with MSI-X.
const CLEAR_INTERRUPT: u64 = 0xf_00d8;

/// An answer that is 0 but for these fields: offset and bytes.
fn filled(fields: &[(usize, &[u8])]) -> [u8; LEN] {
    let mut out = [0; LEN];
    for (at, bytes) in fields {
        out[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    out
}

/// u64 at byte `at`; 0 beyond the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    field.map_or(0, u64::from_be_bytes)
}

/// `QUERY_FW`; `version` as in 0x1f064: major, then minor and subminor.
pub(super) fn firmware([major, rest]: [u32; 2]) -> [u8; LEN] {
    filled(&[
        // Pages of firmware memory the driver has to lend.
        (0x00, &0x200_u16.to_be_bytes()),
        (0x02, &((major >> 16) as u16).to_be_bytes()),
        (0x04, &(rest as u16).to_be_bytes()),
        (0x06, &((rest >> 16) as u16).to_be_bytes()),
        // Interface revision, log2 of commands at a time.
        (0x0a, &3_u16.to_be_bytes()),
        (0x0f, &[4]),
        (0x20, &CLEAR_INTERRUPT.to_be_bytes()),
        (0x30, &ERROR_BUFFER.to_be_bytes()),
        (0x38, &ERROR_WORDS.to_be_bytes()),
    ])
}

/// `QUERY_DEV_CAP`. The limits (log2 by default, sizes in bytes) are in the range of what public logs
/// of such cards show, smaller where that costs the guest less memory; nothing but the driver's own
/// sums depends on them.
pub(super) fn capabilities(ports: u8) -> [u8; LEN] {
    filled(&[
        // Queue entries (2), queue pairs (reserved, most), shared receive queues (reserved, most).
        (0x10, &[14, 14, 6, 18, 0x60, 16]),
        // Completion queues: entries, reserved, most.
        (0x19, &[22, 7, 16]),
        // Memory regions, event queues (reserved, most), translations.
        (0x1d, &[19, 4, 9, 0x40]),
        (0x22, &[4]),
        // RDMA reads outstanding, large send.
        (0x29, &[4]),
        (0x2b, &[4]),
        // Spreading by XOR and Toeplitz over 128 entries.
        (0x2d, &[17, 0x37, 22]),
        (0x35, &[15]),
        // Width of a port's data path in lanes: 8, MTU code 4; number of ports.
        (0x36, &[0x48, 0x80 | ports, 31]),
        // UDP spreading, unicast and multicast steering by address tables (bits 40 to 42): without
        // the last two the driver takes an older mode, which fails on the second port.
        (0x42, &[0x07]),
        // Unicast loopback (bit 32): without it `ethtool -t` makes Linux 6.12's mlx4_en write five
        // results into an array of three, which was seen to crash a guest at the next unbind. No
        // packets here, so its loopback test fails.
        (0x43, &[0x01]),
        // RC, UC, UD, SRQ, checksums, counters of violations, mixed ports, large send, APM, atomics,
        // UD multicast.
        (0x45, &[0x26, 0x93, 0xc7]),
        // 8 reserved UAR pages; 8 MiB of them, all of BAR2; log2 of a page.
        (0x48, &[0x80, 3, 0, 12]),
        // Scatter entries and bytes of send and receive descriptors.
        (0x51, &[62]),
        (0x52, &1008_u16.to_be_bytes()),
        (0x55, &[32]),
        (0x56, &512_u16.to_be_bytes()),
        // Multicast: queue pairs a group, reserved, groups (plain log2).
        (0x61, &[8, 0, 13]),
        // Protection domains, XRC domains.
        (0x64, &[0x40, 15, 0, 16]),
        // Bytes of one context entry: RDMA reads, queue pairs, auxiliary, alternate path, event
        // queues, completion queues, shared receive queues, cMPT, MTT, dMPT.
        (0x80, &[0, 32, 1, 0, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 8, 0, 64]),
        // 2^40 bytes of context memory.
        (0xa2, &[1]),
    ])
}

/// `QUERY_PORT`: Ethernet only, link down. (Boards with ports of both kinds are shown as Ethernet
/// as well: the InfiniBand stack is not what is tested.)
pub(super) fn port(mac: u64) -> [u8; LEN] {
    filled(&[
        (0x00, &[0x02, 0x04]),
        (0x02, &9600_u16.to_be_bytes()),
        (0x06, &[0x01, 0x77]),
        // log2 of MACs and VLANs.
        (0x0a, &[0x77, 0x88]),
        (0x10, &mac.to_be_bytes()),
    ])
}

/// `QUERY_ADAPTER`: the PSID, bytes swapped within words.
pub(super) fn adapter(psid: &str) -> [u8; LEN] {
    let mut out = [0; LEN];
    for (i, byte) in psid.bytes().take(16).enumerate() {
        out[0xf0 + (i ^ 3)] = byte;
    }
    out
}

/// `MOD_STAT_CFG`, operation 2: the GUID of a port, in two halves.
pub(super) fn port_guid(guid: u64) -> [u8; LEN] {
    filled(&[(0x14, &((guid >> 32) as u32).to_be_bytes()), (0x1c, &(guid as u32).to_be_bytes())])
}
