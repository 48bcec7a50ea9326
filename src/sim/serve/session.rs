//! One connection: commands in, answers out (docs/lab.md#vfio-user-client-of-qemu).

use super::device::{BAR0_SIZE, BAR2_SIZE, ServedDevice};
use super::irq;
use super::layout;
use super::wire::{self, MAX_DATA, MAX_FDS, Message};
use crate::card::CrError;
use crate::sim::dma::{GuestMemory, MAX_RANGES};
use nix::libc;
use std::io;
use std::os::unix::fs::FileExt;
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_BAR0_REGION_INDEX as BAR0,
    VFIO_PCI_BAR2_REGION_INDEX as BAR2, VFIO_PCI_CONFIG_REGION_INDEX as CONFIG,
    VFIO_PCI_NUM_IRQS as IRQS, VFIO_PCI_NUM_REGIONS as REGIONS,
    VFIO_REGION_INFO_FLAG_MMAP as MAPPABLE, VFIO_REGION_INFO_FLAG_READ as READ,
    VFIO_REGION_INFO_FLAG_WRITE as WRITE,
};

const UNMAP_ALL: u32 = 1 << 1;

/// What `VERSION` is answered with; no key QEMU 11 does not know, no limit above its own.
fn capabilities() -> String {
    serde_json::json!({"capabilities": {
        "max_msg_fds": MAX_FDS,
        "max_data_xfer_size": MAX_DATA,
        "pgsizes": 4096,
        "max_dma_maps": MAX_RANGES,
        "write_multiple": false,
    }})
    .to_string()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// What is where and how large; 0 = not there.
fn region(index: u32) -> (u32, u64) {
    match index {
        BAR0 => (READ | WRITE, BAR0_SIZE),
        BAR2 => (READ | WRITE | MAPPABLE, BAR2_SIZE),
        CONFIG => (READ | WRITE, layout::SIZE as u64),
        _ => (0, 0),
    }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

fn failed(error: CrError) -> io::Error {
    match error {
        CrError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// Does one command; the body of its answer.
pub(super) fn command(device: &mut ServedDevice, m: &mut Message) -> io::Result<Vec<u8>> {
    if m.fds_lost {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    Ok(match m.command {
        wire::VERSION => {
            if m.body.get(..2) != Some(&[0, 0]) {
                return Err(invalid());
            }
            let mut body = vec![0; 4];
            body.extend_from_slice(capabilities().as_bytes());
            body.push(0);
            body
        }
        wire::DMA_MAP => {
            let (at, address, len) = (m.u64(8)?, m.u64(16)?, m.u64(24)?);
            // Ranges without a descriptor are ROM and other devices' BARs: no memory for us.
            if let Some(fd) = m.fds.pop() {
                device.memory.map(address, len, at, fd)?;
            }
            Vec::new()
        }
        wire::DMA_UNMAP => {
            let (flags, address, len) = (m.u32(4)?, m.u64(8)?, m.u64(16)?);
            if flags & UNMAP_ALL != 0 {
                device.memory = GuestMemory::default();
            } else {
                device.memory.unmap(address, len);
            }
            m.body.get(..24).ok_or_else(invalid)?.to_vec()
        }
        wire::GET_INFO => {
            let flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI;
            words(&[16, flags, REGIONS, IRQS])
        }
        wire::GET_REGION_INFO => {
            let index = m.u32(8)?;
            if index >= REGIONS {
                return Err(invalid());
            }
            let (flags, size) = region(index);
            let mut body = words(&[32, flags, index, 0]);
            body.extend_from_slice(&size.to_ne_bytes());
            body.extend_from_slice(&0_u64.to_ne_bytes());
            body
        }
        wire::GET_IRQ_INFO => {
            let index = m.u32(8)?;
            if index >= IRQS {
                return Err(invalid());
            }
            let (flags, count) = irq::info(index);
            words(&[16, flags, index, count])
        }
        wire::SET_IRQS => {
            let (flags, index) = (m.u32(4)?, m.u32(8)?);
            let span = (m.u32(12)?, m.u32(16)?);
            device.irqs.set((index, flags), span, std::mem::take(&mut m.fds))?;
            Vec::new()
        }
        wire::REGION_READ | wire::REGION_WRITE => access(device, m)?,
        wire::DEVICE_RESET => {
            device.pci_reset();
            Vec::new()
        }
        _ => return Err(io::Error::from_raw_os_error(libc::ENOTTY)),
    })
}

/// `REGION_READ` and `REGION_WRITE`.
fn access(device: &mut ServedDevice, m: &Message) -> io::Result<Vec<u8>> {
    let (at, index, count) = (m.u64(0)?, m.u32(8)?, m.u32(12)? as usize);
    let (_, size) = region(index);
    let inside = at.checked_add(count as u64).is_some_and(|end| end <= size);
    if !inside || count > MAX_DATA {
        return Err(invalid());
    }
    let mut body = m.body.get(..16).ok_or_else(invalid)?.to_vec();
    if m.command == wire::REGION_READ {
        body.resize(16 + count, 0);
        let bytes = &mut body[16..];
        match index {
            BAR0 => device.bar0_read(at, bytes).map_err(failed)?,
            BAR2 => device.bar2.read_exact_at(bytes, at)?,
            _ => device.config_read(at, bytes),
        }
    } else {
        let bytes = m.body.get(16..16 + count).ok_or_else(invalid)?;
        match index {
            BAR0 => device.bar0_write(at, bytes).map_err(failed)?,
            BAR2 => device.bar2.write_all_at(bytes, at)?,
            _ => device.config_write(at, bytes),
        }
    }
    Ok(body)
}
