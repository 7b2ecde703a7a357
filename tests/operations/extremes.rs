//! Values far from 1: if a gradient can be represented, nothing may overflow or
//! vanish while it is computed, as it does where a rule squares before it divides.

use cerberus_autograd::gradcheck::gradients;
use cerberus_tensor::Tensor;

use crate::{OpInfo, all_cases};

/// Factors for the inputs of samples. Their squares and cubes lie beyond the range of `f32`.
const FACTORS: [f64; 4] = [1e-25, 1e-14, 1e14, 1e25];

/// Results of these sizes are representable, and so are the intermediate values.
const REPRESENTABLE: std::ops::Range<f64> = 1e-30..1e30;

/// Operations whose result itself is of the order of a square or a product, or that
/// lose all digits in the first step: cos(1e14), differences of large numbers.
fn is_exempt(info: &OpInfo) -> bool {
    const CANCELS: [&str; 22] = [
        "sin",
        "cos",
        "linear",
        "matmul",
        "batched_matmul",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose2d",
        "conv_transpose3d",
        "conv2d_weight_gradient",
        "outer",
        "prod",
        "cumsum",
        "grid_sample",
        "var",
        "batch_norm",
        "layer_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "self_attention",
    ];
    CANCELS.contains(&info.facts.name) || info.facts.group == cerberus_autograd::Group::Loss
}

#[test]
fn gradients_in_single_precision_are_right_wherever_they_are_representable() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (info, case) in all_cases()
        .filter(|(info, case)| !case.special && !case.composed && !is_exempt(info))
        // Sums over broadcast dimensions cancel.
        .filter(|(_, case)| !case.name.contains("a scalar"))
        .filter(|(_, case)| !case.name.contains("broadcast"))
    {
        let Some(single) = &case.single else { continue };
        for factor in FACTORS {
            let inputs: Vec<Tensor<f64>> = case.inputs.iter().map(|x| x.clone().scale(factor)).collect();
            let rounded: Vec<Tensor<f32>> = inputs.iter().map(Tensor::cast).collect();
            let inputs: Vec<Tensor<f64>> = rounded.iter().map(Tensor::cast).collect();
            let y = (case.function)(inputs.iter().cloned().map(Into::into).collect());
            let c = Tensor::<f64>::ones(y.shape());
            let exact = gradients(&*case.function, &inputs, &c);
            let found = gradients(&**single, &rounded, &c.cast());
            for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
                // Contributions that are added up may cancel; probabilities are of order 1.
                let largest = exact
                    .to_vec()
                    .into_iter()
                    .filter(|v| v.is_finite())
                    .fold(0.0, |m: f64, v| m.max(v.abs()));
                let terms = if info.facts.name.contains("softmax") { 1.0 } else { largest };
                for (found, exact) in found.to_vec().into_iter().map(f64::from).zip(exact.to_vec()) {
                    let right = if REPRESENTABLE.contains(&exact.abs()) {
                        compared += 1;
                        (found - exact).abs() <= (1e-3 * exact.abs()).max(1e-6 * terms)
                    } else if exact.abs() < REPRESENTABLE.start {
                        found.abs() <= REPRESENTABLE.start.max(1e-6 * terms)
                    } else {
                        true
                    };
                    if !right {
                        wrong.push(format!(
                            "{} times {factor:e}: gradient {which} is {found:e}, exactly {exact:e}",
                            case.name
                        ));
                    }
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    wrong.dedup_by_key(|line| line.split(':').next().map(str::to_string));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
