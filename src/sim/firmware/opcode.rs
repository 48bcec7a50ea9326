//! Commands by number (public header of the Linux driver, `include/linux/mlx4/cmd.h`).

pub(super) const QUERY_DEV_CAP: u16 = 0x003;
pub(super) const QUERY_FW: u16 = 0x004;
pub(super) const QUERY_ADAPTER: u16 = 0x006;
pub(super) const INIT_HCA: u16 = 0x007;
pub(super) const CLOSE_HCA: u16 = 0x008;
pub(super) const QUERY_HCA: u16 = 0x00b;
pub(super) const MAP_EQ: u16 = 0x012;
pub(super) const SW2HW_EQ: u16 = 0x013;
pub(super) const HW2SW_EQ: u16 = 0x014;
pub(super) const READ_MCG: u16 = 0x025;
pub(super) const WRITE_MCG: u16 = 0x026;
pub(super) const MGID_HASH: u16 = 0x027;
pub(super) const MOD_STAT_CFG: u16 = 0x034;
pub(super) const QUERY_PORT: u16 = 0x043;
pub(super) const UNMAP_ICM: u16 = 0xff9;
pub(super) const MAP_ICM: u16 = 0xffa;
pub(super) const SET_ICM_SIZE: u16 = 0xffd;

/// Commands whose success is all the driver checks.
pub(super) fn gives_nothing(opcode: u16) -> bool {
    matches!(
        opcode,
        // Ports up and down, SET_PORT.
        0x009 | 0x00a | 0x00c
        // SW2HW_MPT, WRITE_MTT, SYNC_TPT.
        | 0x00d | 0x011 | 0x02f
        // SW2HW_CQ, MODIFY_CQ.
        | 0x016 | 0x02c
        // Queue pairs from state to state.
        | 0x019
            ..=0x021 | 0x02d | 0x038 | 0x061
        // CONF_SPECIAL_QP, NOP.
        | 0x023 | 0x031
        // MOD_STAT_CFG, shared receive queues.
        | 0x034 | 0x035 | 0x040
        // VLAN and multicast filters.
        | 0x047 | 0x048
        // SENSE_PORT (0: nothing sensed), HW_HEALTH_CHECK, SET_IF_STAT, SET_NODE.
        | 0x04d | 0x050 | 0x055 | 0x05a
        // RUN_FW; firmware and auxiliary pages, which are never touched.
        | 0xff6 | 0xffb | 0xffc | 0xffe | 0xfff
    )
}

/// Commands that fill a mailbox, here with zeroes: its bytes.
pub(super) fn gives_zeroes(opcode: u16) -> Option<usize> {
    Some(match opcode {
        // HW2SW_MPT, QUERY_MPT, QUERY_EQ, HW2SW_CQ, QUERY_CQ, HW2SW_SRQ, QUERY_SRQ.
        0x00e | 0x00f | 0x015 | 0x017 | 0x018 | 0x036 | 0x037 => 0x40,
        // QUERY_QP, MAD_IFC, DIAG_RPRT.
        0x022 | 0x024 | 0x030 => 0x100,
        // DUMP_ETH_STATS, QUERY_IF_STAT.
        0x049 | 0x054 => 0x400,
        _ => return None,
    })
}
