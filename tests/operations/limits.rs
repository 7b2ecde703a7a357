//! Sizes that no memory can hold, given to every operation that takes a size: each is
//! refused with the operation's name, and none wraps around to a small one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cerberus_autograd::Var;
use cerberus_autograd::ops::{Conv1dSpec, Conv3dSpec, PadMode, Region};
use cerberus_tensor::Tensor;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::resize::Interpolation;
use cerberus_tensor::windows::Sliding;

const HUGE: [usize; 3] = [1 << 62, usize::MAX / 2, usize::MAX];

fn x(shape: &[usize]) -> Var<f64> {
    Var::constant(Tensor::zeros(shape))
}

/// Asserts that `call` panics, and not because of an unchecked overflow.
#[track_caller]
fn refused(call: impl FnOnce() -> Var<f64>) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(call()))) else { panic!("it was accepted") };
    let message = panic.downcast::<String>().expect("a message made for the case");
    let unseen = message.starts_with("attempt to") || message.contains("capacity overflow");
    assert!(!unseen, "an unchecked computation: {message}");
}

#[test]
fn no_operation_takes_a_size_that_wraps_around() {
    let (image, line, volume) = (x(&[1, 4, 4, 4]), x(&[1, 4, 2]), x(&[1, 2, 2, 2, 1]));
    let spec = |padding, dilation| Conv2dSpec { padding, dilation, ..Conv2dSpec::default() };
    for huge in HUGE {
        refused(|| x(&[0, 2]).reshape(&[huge, huge]));
        refused(|| x(&[1]).expand(&[huge, huge]));
        refused(|| x(&[4]).narrow(0, huge, 1));
        refused(|| x(&[4]).narrow(0, 2, huge));
        refused(|| x(&[4]).slice(0, 0..huge, huge));
        refused(|| x(&[4]).tile(&[huge]));
        refused(|| x(&[2, 2]).tile(&[huge / 2 + 1, huge / 2 + 1]));
        for mode in [PadMode::Constant(0.0), PadMode::Reflect, PadMode::Replicate] {
            refused(|| x(&[4]).pad(&[(huge, huge)], mode));
            refused(|| x(&[4]).pad(&[(0, usize::MAX)], mode));
        }
        refused(|| Var::<f64>::one_hot(&[0, 0, 0, 0, 0, 0, 0, 0], huge));
        refused(|| image.clone().pixel_shuffle(huge));
        refused(|| image.clone().pixel_shuffle(1 << 32));
        refused(|| image.clone().resize([huge, huge], Interpolation::Bilinear));
        refused(|| image.clone().resize([huge, huge], Interpolation::Bicubic { corners: true }));
        refused(|| image.clone().resize_corners([huge, huge]));
        refused(|| image.clone().unfold([huge, huge], Conv2dSpec::default()));
        refused(|| image.clone().unfold([1, 1], spec(Padding::all(huge), [1, 1])));
        refused(|| image.clone().fold([huge, huge], [1, 1], Conv2dSpec::default()));
        refused(|| image.clone().fold([4, 4], [huge, huge], Conv2dSpec::default()));
        refused(|| image.clone().avg_pool(Sliding::<2>::square(huge)));
        refused(|| {
            image.clone().avg_pool(Sliding {
                kernel: [huge; 2],
                stride: [1; 2],
                padding: [huge - 1; 2],
                ceil_mode: false,
            })
        });
        refused(|| image.clone().max_pool(Sliding::<2>::square(huge)));
        refused(|| image.clone().adaptive_avg_pool(&[huge, huge]));
        refused(|| image.clone().adaptive_max_pool(&[huge, huge]));
        refused(|| image.clone().roi_align(&[Region { image: 0, corners: [0.0; 4] }], [huge, huge], huge));
        let weight = x(&[3, 3, 4, 4]);
        refused(|| image.clone().conv2d(weight.clone(), None, spec(Padding::all(huge), [1, 1])));
        refused(|| image.clone().conv2d(weight.clone(), None, spec(Padding::all(1), [huge, 1])));
        let far = Conv2dSpec { stride: [huge; 2], ..Conv2dSpec::default() };
        refused(|| image.clone().conv_transpose2d(weight.clone(), far, [0, 0]));
        refused(|| image.clone().conv_transpose2d(weight.clone(), spec(Padding::all(huge), [1, 1]), [0, 0]));
        refused(|| image.clone().conv_transpose2d(weight.clone(), spec(Padding::all(0), [huge; 2]), [0, 0]));
        let wide = Conv1dSpec { padding: huge, ..Conv1dSpec::default() };
        refused(|| line.clone().conv1d(x(&[2, 2, 2]), None, wide));
        let spread = Conv1dSpec { dilation: huge, ..Conv1dSpec::default() };
        refused(|| line.clone().conv1d(x(&[2, 2, 2]), None, spread));
        let deep = Conv3dSpec { padding: [huge, 0, 0], ..Conv3dSpec::default() };
        refused(|| volume.clone().conv3d(x(&[2, 2, 2, 1, 1]), None, deep));
        let apart = Conv3dSpec { dilation: [huge, 1, 1], ..Conv3dSpec::default() };
        refused(|| volume.clone().conv3d(x(&[3, 2, 2, 1, 1]), None, apart));
        refused(|| volume.clone().conv_transpose3d(x(&[2, 2, 2, 1, 1]), deep, [0; 3]));
        refused(|| volume.clone().conv_transpose3d(x(&[3, 2, 2, 1, 1]), apart, [0; 3]));
        let far = Conv3dSpec { stride: [huge, 1, 1], ..Conv3dSpec::default() };
        refused(|| volume.clone().conv_transpose3d(x(&[3, 2, 2, 1, 1]), far, [0; 3]));
        refused(|| x(&[2, 2]).gather(0, &[], &[huge, huge]));
    }
    // Any shift is legal: it goes around.
    for shift in [isize::MIN, isize::MAX, -1] {
        let rolled = Var::constant(Tensor::from_vec(vec![1.0, 2.0, 3.0], &[3])).roll(shift, 0);
        let first = (0i128 - shift as i128).rem_euclid(3) as usize;
        assert_eq!(rolled.value().to_vec()[0], [1.0, 2.0, 3.0][first]);
    }
}
