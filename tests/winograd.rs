//! The switch that chooses the implicit convolution instead of Winograd's algorithm.
//! A program of its own, because the switch applies to the whole process.

use cerberus::tensor::Tensor;
use cerberus::tensor::conv::{
    Algorithm, Conv2dSpec, Epilogue, Geometry, PreparedConv2d, conv2d, input_gradient, set_winograd,
};

const CHANNELS: usize = 32;

/// Pixels `[H, W]` of which some channel is not finite.
fn spoiled(y: &Tensor) -> Vec<(usize, usize)> {
    let [_, h, w, _] = y.extents();
    let pixel = |y_row: usize, x: usize| y.narrow(1, y_row, 1).narrow(2, x, 1).all_finite();
    (0..h).flat_map(|row| (0..w).map(move |x| (row, x))).filter(|&(row, x)| !pixel(row, x)).collect()
}

#[test]
fn switched_off_an_infinity_reaches_only_the_outputs_that_read_it() {
    let spec = Conv2dSpec::same(3);
    let weight = Tensor::from_fn(&[3, 3, CHANNELS, CHANNELS], |i| ((i * 7 % 23) as f32 - 11.0) / 50.0);
    let image = Tensor::from_fn(&[1, 16, 16, CHANNELS], |i| {
        if i == (5 * 16 + 6) * CHANNELS + 3 { f32::INFINITY } else { (i as f32 * 0.7).sin() }
    });
    let readers: Vec<(usize, usize)> = (4..7).flat_map(|row| (5..8).map(move |x| (row, x))).collect();
    let g = Geometry::new("conv2d", image.shape(), weight.shape(), &spec);

    set_winograd(true);
    assert_eq!(Algorithm::of_forward(&g), Algorithm::Winograd);
    assert!(spoiled(&conv2d(&image, &weight, &spec, &Epilogue::default())).len() > readers.len());

    set_winograd(false);
    assert_eq!(Algorithm::of_forward(&g), Algorithm::Implicit);
    assert_eq!(Algorithm::of_input_gradient(&g), Algorithm::Implicit);
    assert_eq!(spoiled(&conv2d(&image, &weight, &spec, &Epilogue::default())), readers);
    let prepared = PreparedConv2d::new(&weight, spec).forward(&image, &Epilogue::default());
    assert_eq!(spoiled(&prepared), readers);
    assert_eq!(spoiled(&input_gradient(&image, &weight, image.shape(), &spec)), readers);
}
