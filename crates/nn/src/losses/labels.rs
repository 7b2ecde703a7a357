//! Class ids as targets: of any width, counted and checked before the fused pass.

use std::fmt::Debug;

use cerberus_tensor::pool::Buffer;

/// A class id as losses take it: any of Rust's integers, or `Option<usize>`.
///
/// Elements whose id means "unknown" do not count in the loss: `None`, a negative
/// number (PyTorch's `ignore_index` is -100), and the largest value of an
/// unsigned type, such as 255 in the 8-bit masks of Pascal VOC and Cityscapes.
pub trait ClassId: Copy + Debug {
    /// The class, or `None` where it is unknown.
    fn class(self) -> Option<usize>;
}

macro_rules! class_ids {
    ($($unsigned:ty),*; $($signed:ty),*) => {
        $(impl ClassId for $unsigned {
            #[inline]
            fn class(self) -> Option<usize> {
                (self != <$unsigned>::MAX).then(|| usize::try_from(self).unwrap_or(usize::MAX))
            }
        })*
        $(impl ClassId for $signed {
            #[inline]
            fn class(self) -> Option<usize> {
                (self >= 0).then(|| usize::try_from(self).unwrap_or(usize::MAX))
            }
        })*
    };
}

class_ids!(u8, u16, u32, u64, usize; i8, i16, i32, i64, isize);

impl ClassId for Option<usize> {
    fn class(self) -> Option<usize> {
        self
    }
}

/// The id of elements that do not count, in [`Targets::ids`].
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Checked class ids, and how many elements have each.
pub(crate) struct Targets {
    /// One for each row: below the number of classes, or [`UNKNOWN`].
    pub ids: Buffer<u32>,
    /// Elements of each class.
    pub counts: Vec<usize>,
}

impl Targets {
    /// Checks `target`, one id for each of the rows of `shape [.., C]`.
    ///
    /// # Panics
    /// If the number of ids is not the number of rows, or an id is neither below `C` nor unknown.
    #[track_caller]
    pub fn new<I: ClassId>(loss: &str, shape: &[usize], target: &[I]) -> Self {
        let Some((&classes, outer)) = shape.split_last() else {
            panic!("{loss}: the predictions have rank 0; the last dimension must hold the classes");
        };
        Self::of(loss, shape, classes, outer.iter().product(), target)
    }

    /// Checks `target`, one id below `classes` for each of the `rows` of predictions of `shape`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn of<I: ClassId>(loss: &str, shape: &[usize], classes: usize, rows: usize, target: &[I]) -> Self {
        assert!(
            target.len() == rows,
            "{loss}: predictions of shape {shape:?} need one class id for each of {rows} rows, found {}",
            target.len()
        );
        let mut ids = Buffer::filled(rows, UNKNOWN);
        let mut counts = vec![0; classes];
        for (row, (id, &target)) in ids.iter_mut().zip(target).enumerate() {
            *id = match target.class() {
                None => UNKNOWN,
                Some(class) if class < classes => {
                    counts[class] += 1;
                    class as u32
                }
                Some(_) => panic!(
                    "{loss}: class id {target:?} at row {row} is outside the {classes} classes of shape {shape:?}; \
                     write None, a negative number or the type's largest value where the class is unknown"
                ),
            };
        }
        Self { ids, counts }
    }
}

/// # Panics
/// If there is not one finite, non-negative weight for each class of `shape [.., C]`.
#[track_caller]
pub(crate) fn assert_class_weights(loss: &str, shape: &[usize], weights: Option<&[f64]>) {
    let classes = shape.last().copied().unwrap_or(0);
    if let Some(weights) = weights {
        assert!(
            weights.len() == classes && weights.iter().all(|w| w.is_finite() && *w >= 0.0),
            "{loss}: predictions of shape {shape:?} need {classes} finite, non-negative class weights, found {weights:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_id_says_unknown_in_its_own_way() {
        assert_eq!((3u8.class(), u8::MAX.class()), (Some(3), None));
        assert_eq!((255u16.class(), u16::MAX.class()), (Some(255), None));
        assert_eq!((1000i64.class(), (-100i64).class()), (Some(1000), None));
        assert_eq!((Some(7).class(), None::<usize>.class()), (Some(7), None));
    }

    #[test]
    fn ids_beyond_a_byte_are_counted() {
        let targets = Targets::new("loss", &[4, 1000], &[999usize, 255, 256, usize::MAX]);
        assert_eq!(&targets.ids[..], [999, 255, 256, UNKNOWN]);
        assert_eq!((targets.counts[255], targets.counts[256], targets.counts[999]), (1, 1, 1));
    }

    #[test]
    #[should_panic(expected = "loss: class id 3 at row 1 is outside the 3 classes of shape [2, 3]")]
    fn an_id_outside_the_classes_is_named_with_its_row() {
        Targets::new("loss", &[2, 3], &[0, 3]);
    }
}
