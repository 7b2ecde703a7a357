//! Random numbers that depend on what they are for, not on the order of calls.
//!
//! Random numbers are drawn from a stream named by four values: the seed of the
//! run, the purpose ("scene", "shuffle", "dropout"), the epoch and an index.
//! The four are the key of a counter-based generator (ChaCha with eight rounds:
//! Bernstein, "ChaCha, a variant of Salsa20", 2008), so the same four values
//! give the same numbers on any thread, in any order, and after a run was
//! interrupted and continued.

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng as Stream;

/// The random stream for (`seed`, `purpose`, `epoch`, `index`).
///
/// Streams that differ in any of the four values are independent; no two
/// purposes share one by accident because the name itself is part of the key.
///
/// ```
/// use cerberus_tensor::random::stream;
/// use rand::RngExt;
/// let a: f32 = stream(7, "scene", 0, 12).random();
/// let b: f32 = stream(7, "scene", 0, 12).random();
/// let c: f32 = stream(7, "scene", 1, 12).random();
/// assert_eq!(a, b);
/// assert_ne!(a, c);
/// ```
pub fn stream(seed: u64, purpose: &str, epoch: u64, index: u64) -> Stream {
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, name_hash(purpose), epoch, index]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    Stream::from_seed(key)
}

/// FNV-1a (Fowler, Noll, Vo): short names to 64 bits.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
