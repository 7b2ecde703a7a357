//! Sizes that no memory can hold: every product and sum of extents is checked, so
//! that a shape with very large extents is refused instead of wrapping to a small
//! size.
//!
//! Tests are built with overflow checks, so a wrapped product panics by itself. A
//! panic counts here only if its message is one of this crate's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::concat::concat;
use crate::conv::{
    Conv2dSpec, Epilogue, Padding, PreparedConv2d, conv2d, depthwise, im2col, implicit, input_gradient,
    plain, weight_gradient, winograd,
};
use crate::pooling::{
    Pool2dSpec, global_avg_pool_backward, max_pool2d, max_pool2d_backward, max_pool2d_relu,
};
use crate::product::{dense, dense_input_gradient};
use crate::resize::{Interpolation, resize, resize_backward};
use crate::softmax::{logsumexp, softmax};
use crate::windows::{Sliding, Windows};
use crate::{Rectifier, Shape, Tensor};

/// Asserts that `call` panics with a message of this crate; returns the message.
#[track_caller]
fn refused<R>(call: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(call()))) else { panic!("it was accepted") };
    let message = panic
        .downcast::<String>()
        .map(|message| *message)
        .or_else(|panic| panic.downcast::<&str>().map(|message| message.to_string()))
        .expect("a panic with a message");
    assert!(
        !message.starts_with("attempt to") && !message.contains("capacity overflow"),
        "an unchecked computation: {message}"
    );
    message
}

const HUGE: [usize; 4] = [1 << 32, 1 << 62, usize::MAX / 2, usize::MAX];

fn x(shape: &[usize]) -> Tensor<f32> {
    Tensor::from_fn(shape, |i| i as f32)
}

#[test]
fn no_constructor_makes_a_shape_that_wraps_around() {
    for huge in HUGE {
        // The product is 0, or a small number, where it wraps around.
        for shape in [[huge, huge], [huge, usize::MAX / huge + 1], [usize::MAX / 3, 6]] {
            let told = refused(|| Shape::new(&shape));
            assert!(told.contains("more elements than memory can address"), "{told}");
            refused(|| Tensor::<f32>::zeros(&shape));
            refused(|| Tensor::<f64>::ones(&shape));
            refused(|| Tensor::full(1.0f32, &shape));
            refused(|| Tensor::<f32>::from_vec(Vec::new(), &shape));
            refused(|| Tensor::<f32>::from_vec(vec![1.0], &shape));
            refused(|| Tensor::<f32>::from_fn(&shape, |_| 0.0));
            refused(|| Tensor::<f32>::filled_by(&shape, |_| {}));
        }
        // Strides are products too, even if there is no element.
        refused(|| Tensor::<f32>::zeros(&[0, huge, huge]));
        refused(|| Tensor::<f32>::zeros(&[huge, huge, 0]));
        refused(|| Shape::new(&[huge]).with(0, huge).broadcast(&Shape::new(&[huge, 1])));
    }
    assert_eq!(Tensor::<f32>::zeros(&[0, 1 << 40]).len(), 0);
}

#[test]
fn no_view_reaches_outside_its_buffer() {
    let empty = x(&[0, 3]);
    for huge in HUGE {
        refused(|| empty.reshape(&[huge, huge]));
        refused(|| empty.reshape(&[0, huge, huge]));
        refused(|| x(&[1]).broadcast_to(&[huge, huge]));
        refused(|| x(&[4]).narrow(0, huge, 1));
        refused(|| x(&[4]).narrow(0, 1, huge));
        refused(|| x(&[4]).narrow(0, huge, usize::MAX - huge + 3));
        refused(|| x(&[4]).narrow(huge, 0, 1));
        refused(|| x(&[2, 2]).at(&[huge, 0]));
        refused(|| x(&[2, 2]).permute(&[huge, 0]));
        refused(|| x(&[2, 2]).sum(&[huge]));
        refused(|| &x(&[1, 2]).broadcast_to(&[1 << 31, 2]) + &x(&[1]).broadcast_to(&[huge, 1, 1]));
        refused(|| {
            let wide = x(&[1]).broadcast_to(&[crate::MAX_ELEMENTS]);
            concat(&[wide.clone(), wide], 0)
        });
    }
}

#[test]
fn no_geometry_of_a_convolution_wraps_around() {
    let (image, weight, dy) = (x(&[1, 4, 4, 2]), x(&[3, 3, 2, 2]), x(&[1, 2, 2, 2]));
    let epilogue = Epilogue::default();
    for huge in HUGE {
        let paddings = [
            Padding::all(huge),
            Padding { top: huge, ..Padding::default() },
            Padding { left: usize::MAX - huge, right: huge, ..Padding::default() },
        ];
        let padded = paddings.map(|padding| Conv2dSpec { padding, ..Conv2dSpec::default() });
        let others = [
            Conv2dSpec { dilation: [huge, 1], ..Conv2dSpec::default() },
            Conv2dSpec { dilation: [1, huge], ..Conv2dSpec::default() },
            Conv2dSpec { groups: huge, ..Conv2dSpec::default() },
        ];
        for spec in padded.iter().chain(&others).filter(|spec| spec.padding.left != 0 || huge > 1 << 32) {
            refused(|| conv2d(&image, &weight, spec, &epilogue));
            refused(|| plain::conv2d(&image, &weight, spec, &epilogue));
            refused(|| im2col::conv2d(&image, &weight, spec, &epilogue));
            refused(|| implicit::conv2d(&image, &weight, spec, &epilogue));
            refused(|| winograd::conv2d(&image, &weight, spec, &epilogue));
            refused(|| depthwise::conv2d(&image, &weight, spec, &epilogue));
            refused(|| PreparedConv2d::new(&weight, *spec).forward(&image, &epilogue));
            refused(|| input_gradient(&dy, &weight, &[1, 4, 4, 2], spec));
            refused(|| weight_gradient(&image, &dy, &[3, 3, 2, 2], spec));
        }
        refused(|| input_gradient(&dy, &weight, &[1, huge, huge, 2], &Conv2dSpec::default()));
        refused(|| input_gradient(&dy, &weight, &[huge, 4, 4, 2], &Conv2dSpec::default()));
        refused(|| weight_gradient(&image, &dy, &[huge, huge, 2, 2], &Conv2dSpec::default()));
        refused(|| weight_gradient(&image, &dy, &[3, 3, 2, huge], &Conv2dSpec::default()));
        // The forward pass's padded image is small enough; that of the gradient is not.
        let reach = (1 << 29) - 1;
        let padding = Padding { top: reach, left: reach, ..Padding::default() };
        let wide = Conv2dSpec { padding, dilation: [reach; 2], ..Conv2dSpec::default() };
        refused(|| implicit::input_gradient(&x(&[1, 1, 1, 64]), &x(&[2, 2, 1, 64]), &[1, 1, 1, 1], &wide));
        // A stride of any length is legal: there is one output.
        let far = Conv2dSpec { stride: [huge; 2], ..Conv2dSpec::default() };
        assert_eq!(conv2d(&image, &weight, &far, &epilogue).shape(), [1, 1, 1, 2]);
    }
}

#[test]
fn no_product_of_empty_matrices_has_a_size_that_wraps_around() {
    for huge in [1 << 32, crate::MAX_ELEMENTS] {
        // Both are empty; their product would hold `huge * huge` zeros.
        let (tall, wide) = (x(&[huge, 0]), x(&[0, huge]));
        refused(|| tall.matmul(&wide));
        refused(|| dense(&tall, &wide, None));
        refused(|| dense_input_gradient(&x(&[huge, 0]), &x(&[huge, 0])));
        refused(|| x(&[2, huge, 0]).batched_matmul(&x(&[2, 0, huge])));
        assert_eq!(softmax(&x(&[0, huge])).shape(), [0, huge]);
        assert_eq!(logsumexp(&x(&[0, huge])).shape(), [0]);
    }
}

#[test]
fn no_window_and_no_size_wraps_around() {
    let image = x(&[1, 4, 4, 2]);
    for huge in HUGE {
        let specs = [
            Pool2dSpec { kernel: [huge, huge], ..Pool2dSpec::square(2) },
            Pool2dSpec { kernel: [huge, usize::MAX / huge + 1], ..Pool2dSpec::square(2) },
            Pool2dSpec { padding: Padding::all(huge), ..Pool2dSpec::square(2) },
        ];
        for spec in &specs {
            refused(|| max_pool2d(&image, spec));
            refused(|| max_pool2d_relu(&image, spec));
            refused(|| {
                let (_, winners) = max_pool2d(&image, &Pool2dSpec::square(2));
                max_pool2d_backward(&x(&[1, 2, 2, 2]), &winners, &[1, 4, 4, 2], spec)
            });
        }
        refused(|| global_avg_pool_backward(&x(&[1, 2]), &[1, huge, huge, 2]));
        for ceil_mode in [false, true] {
            let sliding = |kernel, stride, padding| Sliding {
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [padding; 2],
                ceil_mode,
            };
            refused(|| Windows::sliding("pool", &[4, 4], &sliding(huge, 1, huge - 1)));
            refused(|| Windows::sliding("pool", &[4, 4], &sliding(huge, 1, 0)));
            refused(|| Windows::sliding("pool", &[4, 4], &sliding(huge, huge, 0)));
        }
        refused(|| Windows::adaptive("pool", &[4, 4], &[huge, huge]));
        let bicubic = Interpolation::Bicubic { corners: false };
        for mode in [Interpolation::Nearest, Interpolation::Bilinear, bicubic] {
            refused(|| resize(&image, [huge, huge], mode));
            refused(|| resize_backward(&image, [huge, huge], mode));
        }
    }
    refused(|| Pool2dSpec { stride: [usize::MAX, 1], ..Pool2dSpec::square(2) }.ceil_mode([4, 4]));
}

#[test]
fn convolutions_of_no_channels_are_sums_over_nothing() {
    let spec = Conv2dSpec::same(3);
    let bias = Epilogue { bias: Some(Tensor::from_vec(vec![1.0, -2.0], &[2])), activation: Rectifier::Relu };
    let y = conv2d(&x(&[1, 2, 3, 0]), &x(&[3, 3, 0, 2]), &spec, &bias);
    assert_eq!((y.shape(), y.to_vec()), (&[1, 2, 3, 2][..], [1.0, 0.0].repeat(6)));
    let plain = conv2d(&x(&[1, 2, 3, 0]), &x(&[3, 3, 0, 2]), &spec, &Epilogue::default());
    assert_eq!(plain.to_vec(), [0.0; 12]);
    let prepared = PreparedConv2d::new(&x(&[3, 3, 0, 2]), spec).forward(&x(&[1, 2, 3, 0]), &bias);
    assert_eq!(prepared.to_vec(), y.to_vec());
    assert_eq!(input_gradient(&y, &x(&[3, 3, 0, 2]), &[1, 2, 3, 0], &spec).shape(), [1, 2, 3, 0]);
    assert_eq!(weight_gradient(&x(&[1, 2, 3, 0]), &y, &[3, 3, 0, 2], &spec).shape(), [3, 3, 0, 2]);
    let none = conv2d(&x(&[1, 2, 3, 2]), &x(&[3, 3, 2, 0]), &spec, &Epilogue::default());
    assert_eq!(none.shape(), [1, 2, 3, 0]);
    assert_eq!(input_gradient(&none, &x(&[3, 3, 2, 0]), &[1, 2, 3, 2], &spec).to_vec(), [0.0; 12]);
    assert_eq!(weight_gradient(&x(&[1, 2, 3, 2]), &none, &[3, 3, 2, 0], &spec).shape(), [3, 3, 2, 0]);
}
