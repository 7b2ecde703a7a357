//! The form that numbers have in messages.

use cerberus_tensor::Element;
use cerberus_tensor::parallel::for_each_piece;
use cerberus_tensor::pool::Buffer;
use half::bf16;
use serde::{Deserialize, Serialize};

/// Numbers that are exchanged at a time: few enough to be on the way while the next ones are computed, and enough for
/// the time of a message to be that of its bytes.
pub(crate) const BUCKET: usize = 1 << 19;
/// Buckets that are on the way before the first of them is waited for.
pub(crate) const AHEAD: usize = 32;

/// The form of numbers in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// As they are.
    #[default]
    Exact,
    /// Every leaf, and every sum in the tree, is rounded to 16 bits of which 8 are the exponent: half the bytes, and
    /// still the same bits for any number of processes.
    Bf16,
}

impl std::str::FromStr for Message {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "exact" => Ok(Self::Exact),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("messages cannot be {name:?}; choose exact or bf16")),
        }
    }
}

/// The numbers as this form holds them.
pub(crate) fn rounded<T: Element>(mut values: Buffer<T>, message: Message) -> Buffer<T> {
    if message == Message::Bf16 {
        for_each_piece(&mut values, |_, piece| {
            piece.iter_mut().for_each(|x| *x = rounded_one(*x, message));
        });
    }
    values
}

/// The number as this form holds it.
#[inline(always)]
pub(crate) fn rounded_one<T: Element>(x: T, message: Message) -> T {
    match message {
        Message::Exact => x,
        Message::Bf16 => T::from_f64(bf16::from_f32(x.as_f64() as f32).into()),
    }
}

/// A message of numbers that this form holds, from one slice after another.
pub(crate) fn encoded<'a, T: Element>(
    slices: impl Iterator<Item = &'a [T]> + Clone,
    message: Message,
) -> Buffer<u8> {
    let each = if message == Message::Bf16 { 2 } else { size_of::<T>() };
    let numbers: usize = slices.clone().map(<[T]>::len).sum();
    Buffer::filled_by(numbers * each, |mut bytes| {
        for values in slices {
            let (own, rest) = bytes.split_at_mut(values.len() * each);
            match message {
                Message::Bf16 => put(values, own, |x| bf16::from_f64(x.as_f64()).to_le_bytes()),
                _ if size_of::<T>() == 4 => put(values, own, |x| (x.as_f64() as f32).to_le_bytes()),
                _ => put(values, own, |x| x.as_f64().to_le_bytes()),
            }
            bytes = rest;
        }
    })
}

/// The numbers in bytes of this form.
pub(crate) fn decoded<T: Element>(bytes: &[u8], message: Message) -> Buffer<T> {
    match message {
        Message::Bf16 => numbers_in(bytes, |x| bf16::from_le_bytes(x).into()),
        _ if size_of::<T>() == 4 => numbers_in(bytes, |x| f32::from_le_bytes(x).into()),
        _ => numbers_in(bytes, f64::from_le_bytes),
    }
}

/// The compiler turns this into copies of many at once; bytes that are pushed one after another take ten times as long.
fn put<T: Element, const N: usize>(values: &[T], bytes: &mut [u8], bytes_of_one: impl Fn(T) -> [u8; N]) {
    let places = bytes.as_chunks_mut::<N>().0;
    places.iter_mut().zip(values).for_each(|(place, &x)| *place = bytes_of_one(x));
}

fn numbers_in<T: Element, const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Buffer<T> {
    let each = bytes.as_chunks::<N>().0;
    Buffer::filled_by(each.len(), |values| {
        values.iter_mut().zip(each).for_each(|(value, &bytes)| *value = T::from_f64(number(bytes)));
    })
}
