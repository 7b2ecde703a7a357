//! Views, copies and their errors.

use proptest::prelude::*;

use super::*;

fn counting(shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| i as f64)
}

#[test]
fn views_of_views_read_the_right_elements() {
    let x = counting(&[2, 3, 4]);
    let y = x.permute(&[2, 0, 1]).narrow(0, 1, 2).narrow(2, 2, 1);
    assert_eq!(y.shape(), [2, 2, 1]);
    assert_eq!(y.to_vec(), [9.0, 21.0, 10.0, 22.0]);
    assert_eq!(y.at(&[1, 1, 0]), 22.0);
    assert_eq!(y.reshape(&[4]).to_vec(), y.to_vec());
}

#[test]
fn a_broadcast_view_repeats_without_copying() {
    let x = counting(&[3, 1]);
    let y = x.broadcast_to(&[2, 3, 2]);
    assert_eq!(y.strides(), [0, 1, 0]);
    assert_eq!(y.to_vec(), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn writing_to_a_shared_tensor_leaves_the_other_owner_alone() {
    let x = counting(&[4]);
    let mut y = x.clone();
    assert!(y.unique_data_mut().is_none());
    y.data_mut()[0] = 7.0;
    assert_eq!(x.at(&[0]), 0.0);
    assert_eq!(y.at(&[0]), 7.0);
}

#[test]
fn empty_and_scalar_tensors_are_ordinary() {
    let empty = counting(&[0, 3]);
    assert_eq!(empty.permute(&[1, 0]).to_vec(), [0.0; 0]);
    assert_eq!(empty.narrow(0, 0, 0).shape(), [0, 3]);
    assert_eq!(empty.narrow(1, 2, 1).to_vec(), [0.0; 0]);
    assert_eq!(Tensor::scalar(3.0).reshape(&[1, 1]).item(), 3.0);
}

#[test]
#[should_panic(expected = "reshape: [2, 3] does not have the elements of [4]")]
fn reshaping_to_another_count_names_both_shapes() {
    counting(&[2, 3]).reshape(&[4]);
}

#[test]
fn debug_shows_the_type_the_shape_and_the_first_values() {
    let x = Tensor::from_fn(&[2, 2], |i| i as f32 * 0.5);
    assert_eq!(format!("{:?}", x.permute(&[1, 0])), "Tensor<f32>[2, 2] [0.0, 1.0, 0.5, 1.5]");
    let shown = format!("{:?}", Tensor::<f64>::zeros(&[3, 7]));
    assert!(shown.starts_with("Tensor<f64>[3, 7] [0.0, ") && shown.ends_with("0.0] and 5 more"), "{shown}");
}

#[test]
fn a_second_handle_on_the_buffer_is_noticed() {
    let x: Tensor = Tensor::zeros(&[4]);
    assert!(x.is_unique());
    let view = x.narrow(0, 1, 2);
    assert!(!x.is_unique() && !view.is_unique());
    drop(x);
    assert!(view.is_unique());
}

/// Views of tensors: any shape with up to two dimensions swapped, one narrowed and one repeated.
fn view() -> impl Strategy<Value = Tensor<f64>> {
    let shape = prop::collection::vec(0..5_usize, 1..5);
    (shape, any::<[prop::sample::Index; 6]>(), any::<bool>()).prop_map(|(shape, places, repeats)| {
        let rank = shape.len();
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(places[0].index(rank), places[1].index(rank));
        let x = counting(&shape).permute(&axes);
        let axis = places[2].index(rank);
        let start = places[3].index(x.shape()[axis] + 1);
        let x = x.narrow(axis, start, places[4].index(x.shape()[axis] - start + 1));
        if !repeats || rank == MAX_RANK {
            return x;
        }
        let mut shape = x.shape().to_vec();
        shape.insert(0, 3);
        x.broadcast_to(&shape)
    })
}

proptest! {
    #[test]
    fn a_copied_view_holds_the_elements_in_order(x in view()) {
        let y = x.copied();
        prop_assert!(y.is_contiguous());
        prop_assert_eq!(y.shape(), x.shape());
        for (place, value) in y.to_vec().into_iter().enumerate() {
            let mut rest = place;
            let mut index = vec![0; x.rank()];
            for axis in (0..x.rank()).rev() {
                index[axis] = rest % x.shape()[axis];
                rest /= x.shape()[axis];
            }
            prop_assert_eq!(value, x.buffer[x.offset + index.iter().zip(&x.strides[..]).map(|(i, s)| i * s).sum::<usize>()]);
        }
    }
}
