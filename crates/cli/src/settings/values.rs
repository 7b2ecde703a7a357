//! Settings that are more than a number or a name, as the command line and TOML files write them.

use std::str::FromStr;

use cerberus::data::augment::OperationConfig;
use cerberus::data::photos::fit::parse_size;
use cerberus::train::TrainError;
use serde::{Deserialize, Deserializer, Serialize};

/// Rows and columns, written as the command line has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub [usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_size(text).map(Self)
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let [rows, columns] = self.0;
        to.serialize_str(&format!("{rows}x{columns}"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size is a number of pixels, or rows and columns such as \"96x160\"")]
        enum Either {
            Side(usize),
            Text(String),
        }
        match Either::deserialize(from)? {
            Either::Side(side) => Ok(Self([side, side])),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// How training samples are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "augment is a strength, a list of names, or tables [[augment]] with a name each"
)]
pub enum Augment {
    /// The default augmentation, with this strength.
    Strength(f64),
    /// As on the command line.
    Text(String),
    /// These operations, in order.
    List(Vec<OperationConfig>),
}

impl FromStr for Augment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(strength) = text.parse() {
            return Ok(Self::Strength(strength));
        }
        operations(text).map(Self::List)
    }
}

impl Augment {
    /// The operations of a list; `None` for a strength.
    pub(super) fn list(&self) -> Result<Option<Vec<OperationConfig>>, TrainError> {
        match self {
            Self::Strength(_) => Ok(None),
            Self::List(list) => Ok(Some(list.clone())),
            Self::Text(text) => operations(text).map(Some).map_err(TrainError::Option),
        }
    }
}

/// `NAME[:STRENGTH[:PROBABILITY]]`, separated by commas.
fn operations(text: &str) -> Result<Vec<OperationConfig>, String> {
    let operation = |text: &str| {
        let mut parts = text.split(':');
        let mut operation = OperationConfig::new(parts.next().unwrap_or_default().trim());
        cerberus::data::augment::operation(&operation.name).map_err(|error| error.to_string())?;
        let number = |part: &str| {
            part.trim()
                .parse::<f64>()
                .map_err(|_| format!("{part:?} in {text:?} is no number; write NAME:STRENGTH:PROBABILITY"))
        };
        if let Some(strength) = parts.next() {
            operation.strength = number(strength)?;
        }
        operation.probability = parts.next().map(number).transpose()?;
        match parts.next() {
            Some(rest) => {
                Err(format!("{rest:?} in {text:?} is one part too many; write NAME:STRENGTH:PROBABILITY"))
            }
            None => Ok(operation),
        }
    };
    text.split(',').map(operation).collect()
}
