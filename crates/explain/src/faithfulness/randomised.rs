//! The sanity check of randomised layers: a map that stays when the network has forgotten what it learned does not
//! explain what it learned (Adebayo et al., "Sanity Checks for Saliency Maps", 2018).

use cerberus_multitask::MultiTaskModel;
use cerberus_nn::Module;
use cerberus_tensor::{Element, Tensor};
use std::collections::BTreeMap;

/// Cascading randomisation (section 3.1 of the paper): a trained model whose weights are replaced by those of an
/// untrained one from the answers down, first the heads, then the parts of the trunk from the last to the first.
///
/// Give it an untrained model of the same shape; [`next`](Self::next) replaces one more part and lends the model.
/// Batch norms' statistics are replaced with their weights.
pub struct Randomised<T: Element = f32> {
    model: MultiTaskModel<T>,
    fresh: BTreeMap<String, Tensor<T>>,
    /// The last one comes next.
    parts: Vec<String>,
}

impl<T: Element> Randomised<T> {
    /// A trained model and an untrained one of the same configuration.
    pub fn new(model: MultiTaskModel<T>, fresh: &MultiTaskModel<T>) -> Self {
        let (mut parts, mut tensors) = (Vec::<String>::new(), BTreeMap::new());
        fresh.visit("", &mut |path, entry| {
            let part = part_of(&path);
            if !parts.iter().any(|other| other == part) {
                parts.push(part.to_string());
            }
            tensors.insert(path, entry.value().clone());
        });
        // Tensors are visited in the order of the forward pass; the heads come after the trunk.
        Self { model, fresh: tensors, parts }
    }

    /// The parts that are still trained, `heads` and parts of the trunk such as `trunk.stage3`; the last is replaced
    /// first.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Replaces the next part, and returns it with the model; `None` when nothing trained is left.
    #[expect(clippy::should_implement_trait, reason = "it lends the model, which an iterator cannot")]
    pub fn next(&mut self) -> Option<(String, &MultiTaskModel<T>)> {
        let part = self.parts.pop()?;
        let fresh = &self.fresh;
        self.model.visit_mut("", &mut |path, mut entry| {
            if part_of(&path) == part
                && let Some(value) = fresh.get(&path)
            {
                *entry.value_mut() = value.clone();
            }
        });
        Some((part, &self.model))
    }

    /// The model as it is now.
    pub fn into_model(self) -> MultiTaskModel<T> {
        self.model
    }
}

/// The part that a tensor belongs to: all heads together, the trunk by its first level.
fn part_of(path: &str) -> &str {
    match path.strip_prefix("trunk.").and_then(|rest| rest.find('.')) {
        Some(end) => &path[.."trunk.".len() + end],
        None => path.split('.').next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_one_part_and_a_trunk_is_cut_at_its_first_level() {
        assert_eq!(part_of("heads.classify.fc.weight"), "heads");
        assert_eq!(part_of("trunk.stage2.block1.weight"), "trunk.stage2");
        assert_eq!(part_of("trunk.scale"), "trunk");
    }
}
