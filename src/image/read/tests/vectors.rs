//! The dumps of the real image, docs/fs2.md#test-vectors, verbatim.

use crate::image::tests::fixture::bytes;
use crate::image::{
    BuildDate, CrcVerdict, Depth, FlashAddr, Form, Guid, ImageOffset, Layout, Mac, Version,
    WalkEnd, crc16, read,
};

const HEADER: [u32; 14] = [
    0x4D544657, 0x8CDFD000, 0xDEAD9270, 0x4154BEEF, 0x80343811, 0x80C00000, 0xBDC80807, 0x00000002,
    0x000036F2, 0x00000004, 0xF500000B, 0x8E01D1A0, 0x000C405C, 0x0001D15C,
];

const GUIDS: [u32; 17] = [
    0x00000006, 0x0000000C, 0x00000000, 0x0001D190, 0x0002C900, 0x0100D050, 0x0002C900, 0x0100D051,
    0x0002C900, 0x0100D052, 0x0002C900, 0x0100D050, 0x00000002, 0xC9000001, 0x00000002, 0xC9000002,
    0x0000024D,
];

fn info() -> Vec<u8> {
    let mut dump = bytes(&[
        0x0000000A, 0x0000005D, 0x00000000, 0x0001D318, 0x00000004, 0x00000001, 0x01000008,
        0x00020000, 0x002A1388, 0x02000008, 0x00140336, 0x20170905, 0x03000004, 0x00001007,
        0x0A000008, 0x000001F7, 0x00000000, 0x08000004, 0x000015B3, 0x04000010, 0x4D545F31,
        0x32303031, 0x31313032, 0x33000000, 0x050000D0, 0x6E2F6100,
    ]);
    dump.extend([0; 51 * 4]);
    dump.extend(bytes(&[
        0x07000010, 0x30322E34, 0x322E3530, 0x2E303000, 0x00000000, 0x0B000008, 0x00020000,
        0x00000000, 0x1300000C, 0x00000002, 0x00000000, 0x00000002, 0x14000018, 0x63783370,
        0x726F5F4D, 0x43583331, 0x32425F32, 0x6D622E70, 0x72730000, 0xFF000000, 0x00009154,
    ]));
    dump
}

/// The known pieces at their places; nothing of the rest is known here.
fn pieces() -> Vec<u8> {
    let mut file = vec![0; 0xC405C];
    let mut put = |at: usize, piece: &[u8]| file[at..at + piece.len()].copy_from_slice(piece);
    put(0, &bytes(&HEADER));
    put(0x1D14C, &bytes(&GUIDS));
    put(0x1D190, &info());
    file
}

#[test]
fn section_crcs_of_the_real_image_hold() {
    let guids = bytes(&GUIDS);
    assert_eq!(crc16(&guids[..guids.len() - 4]), 0x024D);
    let info = info();
    assert_eq!(info.len(), 16 + 0x5D * 4 + 4);
    assert_eq!(crc16(&info[..info.len() - 4]), 0x9154);
}

#[test]
fn header_guids_and_info_of_the_real_image_are_read() {
    let file = pieces();
    let image = read(&mut file.as_slice(), FlashAddr(0), Form::Contiguous, Depth::Full).unwrap();

    let header = &image.header;
    assert_eq!(image.layout, Layout::Failsafe { chunk_log2: 19 });
    assert_eq!(header.info_body, ImageOffset(0x1D1A0));
    assert_eq!(header.guid_body, ImageOffset(0x1D15C));
    assert_eq!(header.declared_size, 0xC405C);
    assert_eq!(header.stored_full_crc, 0x36F2);
    assert_eq!((header.raw[0x20], header.raw[0x24]), (0, 0));

    let guids = image.guids.as_ref().unwrap();
    let node = Guid(0x0002_C900_0100_D050);
    assert_eq!(guids.guids[0], node);
    assert_eq!(guids.guids[3], node);
    assert_eq!(guids.macs, [Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)]);
    assert!(guids.crc_ok && guids.type_ok && !guids.blank);

    let info = image.info.as_ref().unwrap();
    assert!(image.info_crc_ok);
    let version = |major, minor, subminor| Version { major, minor, subminor };
    assert_eq!(info.fw_version, Some(version(2, 42, 5000)));
    let date = BuildDate { year_bcd: 0x2017, month_bcd: 9, day_bcd: 5 };
    assert_eq!(info.release_date, Some(date));
    assert_eq!(info.device_id, Some(4103));
    assert_eq!(info.psid, Some("MT_1200111023".into()));
    assert_eq!(info.vsd, Some("n/a".into()));
    assert_eq!(info.vsd_raw.as_ref().unwrap().len(), 208);
    assert_eq!(info.product_version, Some("02.42.50.00".into()));
    assert_eq!(info.vsd_vendor_id, Some(0x15B3));
    assert_eq!(info.supported_hw, Some(vec![(503, 0)]));
    assert_eq!(info.mic_version, Some(version(2, 0, 0)));
    assert_eq!((info.config_sectors, info.config_pad), (Some(2), Some(0)));
    assert_eq!(info.sector_size, Some(4096));
    assert_eq!(info.prs_name, Some("cx3pro_MCX312B_2mb.prs".into()));
    let order: Vec<_> = info.tags.iter().map(|t| t.0).collect();
    assert_eq!(order, [0, 1, 2, 3, 10, 8, 4, 5, 7, 11, 19, 20]);
    assert_eq!((info.is_ga, info.hw_access_key, info.min_fit_version), (None, None, None));

    // BOOT2 is not among the known pieces: it reads as a block without code.
    assert_eq!(image.sections.len(), 1);
    assert_eq!(image.sections[0].crc, CrcVerdict::UnexpectedSize { size: 0 });
    assert_eq!(image.walk_end, WalkEnd::Block);
}
