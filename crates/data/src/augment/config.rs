//! Lists of operations as users write them, in TOML or JSON, and as they are applied.
//!
//! ```toml
//! [[operations]]
//! name = "horizontal_flip"
//!
//! [[operations]]
//! name = "rotation"
//! probability = 0.5
//! strength = 0.3
//! ```

use serde::{Deserialize, Serialize};

use crate::DataError;

use super::operation::{MOST_STRENGTH, Operation};

/// Operations in the order in which samples go through them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// The list; if it is empty, samples stay unchanged.
    #[serde(default)]
    pub operations: Vec<OperationConfig>,
}

/// One operation of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationConfig {
    /// Its name in [`OPERATIONS`](super::OPERATIONS).
    pub name: String,
    /// The probability of applying it, 0 to 1; if absent, the operation's usual probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Its strength, 0 to 2; 1 is the usual range and the default.
    #[serde(default = "usual_strength")]
    pub strength: f64,
}

fn usual_strength() -> f64 {
    1.0
}

impl OperationConfig {
    /// An operation with its usual probability and strength.
    pub fn new(name: &str) -> OperationConfig {
        OperationConfig { name: name.into(), probability: None, strength: usual_strength() }
    }
}

/// An operation with checked numbers.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub operation: &'static Operation,
    pub probability: f64,
    pub strength: f64,
    /// The name of its random streams: the operation's name and how often it occurred earlier in the list, so that
    /// adding or removing other operations does not change what this one draws.
    pub purpose: String,
}

impl AugmentConfig {
    /// Checks that all names are known and all numbers are in range.
    ///
    /// # Errors
    /// [`DataError::Option`], which names the operation, its place in the list and what to give.
    pub fn check(&self) -> Result<(), DataError> {
        self.steps().map(|_| ())
    }

    pub(super) fn steps(&self) -> Result<Vec<Step>, DataError> {
        let step = |(place, config): (usize, &OperationConfig)| {
            let OperationConfig { name, strength, .. } = config;
            let named =
                |what: &str, value: String| format!("{what} {value} in operation {} ({name})", place + 1);
            let refuse = |value: String, remedy: &str| {
                Err(DataError::Option { option: "augmentation", value, remedy: remedy.into() })
            };
            let Ok(operation) = super::operation(name) else {
                return refuse(format!("\"{name}\" in operation {}", place + 1), &super::names());
            };
            let probability = config.probability.unwrap_or(operation.probability);
            if !(0.0..=1.0).contains(&probability) {
                return refuse(named("probability", probability.to_string()), "give a number from 0 to 1");
            }
            if !(0.0..=MOST_STRENGTH).contains(strength) {
                return refuse(named("strength", strength.to_string()), "give a number from 0 to 2");
            }
            let before = self.operations[..place].iter().filter(|other| other.name == *name).count();
            let purpose = format!("augment {name} {before}");
            Ok(Step { operation, probability, strength: *strength, purpose })
        };
        self.operations.iter().enumerate().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_same_in_toml_and_json_and_comes_back_from_either() {
        let config: AugmentConfig = toml::from_str(
            "[[operations]]\nname = \"horizontal_flip\"\n[[operations]]\nname = \"rotation\"\nprobability = 0.5\nstrength = 0.3",
        )
        .unwrap();
        let turned =
            OperationConfig { probability: Some(0.5), strength: 0.3, ..OperationConfig::new("rotation") };
        assert_eq!(config.operations, [OperationConfig::new("horizontal_flip"), turned]);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<AugmentConfig>(&json).unwrap(), config);
        assert_eq!(toml::from_str::<AugmentConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        let steps = config.steps().unwrap();
        assert_eq!((steps[0].probability, steps[1].probability), (0.5, 0.5));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(toml::from_str::<AugmentConfig>("[[operations]]\nname = \"gray\"\nstrenght = 0.3").is_err());
    }

    #[test]
    fn unknown_names_and_numbers_out_of_range_are_refused_with_their_place_and_the_remedy() {
        let message = |second: OperationConfig| {
            let config = AugmentConfig { operations: vec![OperationConfig::new("gray"), second] };
            let Err(error @ DataError::Option { .. }) = config.check() else { panic!("not refused") };
            error.to_string()
        };
        let unknown = message(OperationConfig::new("rotat"));
        assert!(unknown.contains("\"rotat\" in operation 2") && unknown.contains("rotation, "), "{unknown}");
        for strength in [-0.1, 2.1, f64::NAN, f64::INFINITY] {
            let told = message(OperationConfig { strength, ..OperationConfig::new("cutout") });
            assert!(told.contains(&format!("strength {strength} in operation 2 (cutout)")), "{told}");
        }
        for probability in [-0.1, 1.1, f64::NAN] {
            let probability = Some(probability);
            let told = message(OperationConfig { probability, ..OperationConfig::new("cutout") });
            assert!(told.contains("probability") && told.contains("0 to 1"), "{told}");
        }
    }
}
