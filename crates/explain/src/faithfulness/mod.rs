//! Whether an explanation is true: figures of how far a map says what the network does.
//!
//! No map can be compared with a true one, since nobody knows it. What can be measured:
//!
//! | figure | question | source |
//! |---|---|---|
//! | [deletion, insertion](crate::Explainer::curves) | does the answer fall when the pixels go that matter most, and come back with them? | Petsiuk, Das and Saenko, 2018 |
//! | [sensitivity-n](crate::Explainer::subset_drops) | do the shares of any set of pixels tell what is lost without them? | Ancona et al., 2018 |
//! | [maximal sensitivity](crate::Explainer::sensitivity_max) | does the map stay when the picture hardly changes? | Yeh et al., 2019 |
//! | [pointing game](points_inside), [energy](energy_inside) | does the map lie on the object? | Zhang et al., 2018; Wang et al., 2020 |
//! | [randomised layers](Randomised) | does the map change when the network has forgotten what it learned? | Adebayo et al., 2018 |
//! | [completeness](crate::Attribution::gap) | do the shares add up to the answer's difference to the baseline? | Sundararajan, Taly and Yan, 2017 |
//!
//! The first two and the last ask about the network, the pointing game and energy about the world as well: a network
//! that goes by the background has true explanations that miss the object. `docs/explain.md` has the formulas.

mod curves;
mod location;
mod randomised;
mod ranks;
mod sensitivity;
mod subsets;

pub use curves::{Curve, CurveOptions, Curves};
pub use location::{energy_inside, points_inside};
pub use randomised::Randomised;
pub use ranks::{pearson, spearman};
pub use sensitivity::SensitivityMax;
pub use subsets::{SubsetDrops, Subsets};
