//! The form that numbers have in messages.

use cerberus_tensor::Element;
use cerberus_tensor::parallel::for_each_piece;
use half::bf16;
use serde::{Deserialize, Serialize};

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
pub(crate) fn rounded<T: Element>(mut values: Vec<T>, message: Message) -> Vec<T> {
    if message == Message::Bf16 {
        for_each_piece(&mut values, |_, piece| {
            piece.iter_mut().for_each(|x| *x = T::from_f64(bf16::from_f32(x.as_f64() as f32).into()));
        });
    }
    values
}

/// Numbers that this form holds, as bytes.
pub(crate) fn encoded<T: Element>(values: &[T], message: Message) -> Vec<u8> {
    let each = |x: &T| x.as_f64();
    match message {
        Message::Bf16 => values.iter().flat_map(|x| bf16::from_f64(each(x)).to_le_bytes()).collect(),
        _ if size_of::<T>() == 4 => values.iter().flat_map(|x| (each(x) as f32).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| each(x).to_le_bytes()).collect(),
    }
}

/// The numbers in bytes of this form.
pub(crate) fn decoded<T: Element>(bytes: &[u8], message: Message) -> Vec<T> {
    match message {
        Message::Bf16 => {
            bytes.as_chunks::<2>().0.iter().map(|&x| T::from_f64(bf16::from_le_bytes(x).into())).collect()
        }
        _ if size_of::<T>() == 4 => {
            bytes.as_chunks::<4>().0.iter().map(|&x| T::from_f64(f32::from_le_bytes(x).into())).collect()
        }
        _ => bytes.as_chunks::<8>().0.iter().map(|&x| T::from_f64(f64::from_le_bytes(x))).collect(),
    }
}
