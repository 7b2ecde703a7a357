//! Heads for the tests of models.

use cerberus_multitask::HeadConfig;

/// A head that has its kind's name and two classes.
pub fn head(kind: &str) -> HeadConfig {
    HeadConfig {
        name: kind.into(),
        kind: kind.into(),
        label: kind.into(),
        classes: vec!["cat".into(), "dog".into()],
        weight: 1.0,
        options: Default::default(),
    }
}
