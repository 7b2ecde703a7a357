//! The order in which a value's dimensions are stored.
//!
//! Here the channels come last, `[N, image.., C]`; ONNX's convolutions and pools
//! take them second, `[N, C, image..]`. In a graph a value of three or more
//! dimensions may have either layout. All other code speaks of a value's
//! *logical* dimensions, channels last; this file says where they lie.

/// An extent of a value in a graph whose batch may have any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The same for every batch.
    Fixed(usize),
    /// This many for each image of the batch.
    PerImage(usize),
}

impl Extent {
    /// The extent in a constant that describes a shape: -1, which stands for what is left, where it depends on the
    /// batch.
    pub fn in_shape(self) -> i64 {
        match self {
            Self::Fixed(extent) => extent as i64,
            Self::PerImage(_) => -1,
        }
    }
}

/// The order of a value's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[N, image.., C]`, or any other order that the network itself uses.
    Plain,
    /// `[N, C, image..]`, for values of three or more dimensions.
    ChannelsFirst,
}

use Layout::{ChannelsFirst, Plain};

impl Layout {
    /// The logical dimension that lies at each place.
    pub fn order(self, rank: usize) -> Vec<usize> {
        match self {
            Plain => (0..rank).collect(),
            ChannelsFirst => [0, rank - 1].into_iter().chain(1..rank - 1).collect(),
        }
    }

    /// The place at which a logical dimension lies.
    pub fn place(self, axis: usize, rank: usize) -> usize {
        self.order(rank).iter().position(|&at| at == axis).expect("a dimension of the value")
    }

    /// The extents in this order.
    pub fn stored<T: Copy>(self, extents: &[T]) -> Vec<T> {
        self.order(extents.len()).into_iter().map(|axis| extents[axis]).collect()
    }
}

/// Whether both layouts of a value of these extents hold its elements in the same order: it has one channel or one
/// position.
pub(crate) fn layouts_agree(extents: &[Extent]) -> bool {
    let one = |extents: &[Extent]| extents.iter().all(|&extent| extent == Extent::Fixed(1));
    let rank = extents.len();
    rank < 3 || one(&extents[rank - 1..]) || one(&extents[1..rank - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_first_moves_the_last_dimension_to_the_second_place() {
        assert_eq!(ChannelsFirst.stored(&["n", "h", "w", "c"]), ["n", "c", "h", "w"]);
        assert_eq!(ChannelsFirst.stored(&["n", "l", "c"]), ["n", "c", "l"]);
        assert_eq!(
            ChannelsFirst.order(4).into_iter().map(|axis| ChannelsFirst.place(axis, 4)).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn layouts_agree_where_there_is_one_channel_or_one_position() {
        use Extent::{Fixed, PerImage};
        assert!(layouts_agree(&[PerImage(1), Fixed(5), Fixed(6), Fixed(1)]));
        assert!(layouts_agree(&[PerImage(1), Fixed(1), Fixed(1), Fixed(7)]));
        assert!(!layouts_agree(&[PerImage(1), Fixed(1), Fixed(2), Fixed(7)]));
    }
}
