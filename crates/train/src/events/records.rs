//! The framing of event files, TFRecord: the length in 8 bytes, its checksum in 4, the data, and their checksum in 4, all
//! little-endian.
//!
//! A checksum is the CRC-32C of the bytes, rotated right by 15 bits and moved by a constant, because a plain checksum
//! is unsafe for data that contain checksums (TensorFlow, `lib/hash/crc32c.h`).

use crc::{CRC_32_ISCSI, Crc, NoTable};

/// Without a table: a run writes little, and computing bit by bit gives the smallest program.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);
/// `kMaskDelta` of the reference.
const MASK: u32 = 0xa282_ead8;

/// A record of these data.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// The masked checksum.
pub(super) fn masked(data: &[u8]) -> [u8; 4] {
    CRC.checksum(data).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}
