//! Which pairs of positions [attention](crate::MultiHeadSelfAttention) takes into account.

use cerberus_tensor::{Element, Tensor};

/// Which positions of a sequence take part in attention, `true` for those that do. PyTorch's `MultiheadAttention`
/// marks those that do not, its `scaled_dot_product_attention` those that do.
#[derive(Clone, Copy, Debug)]
pub enum AttentionMask<'a> {
    /// `[N, L]`, row after row: the positions of each sample to which all others may attend. `false` for padding.
    Keys(&'a [bool]),
    /// `[L, L]`, row after row: whether the position of the row may attend to that of the column, in every sample and
    /// head. A lower triangle of `true` is causal attention.
    Pairs(&'a [bool]),
}

impl AttentionMask<'_> {
    /// The mask as ones and zeros, `[N heads, 1, L]` or `[1, L, L]`, and whether a position may attend to none.
    ///
    /// # Panics
    /// If it does not have a value for every key or every pair.
    #[track_caller]
    pub(crate) fn spread<T: Element>(self, [n, len, heads]: [usize; 3]) -> (Tensor<T>, bool) {
        let (values, extents, shape) = match self {
            Self::Keys(values) => (values, [n, len], [n * heads, 1, len]),
            Self::Pairs(values) => (values, [len, len], [1, len, len]),
        };
        assert!(
            values.len() == extents[0] * extents[1],
            "MultiHeadSelfAttention: a mask of {} values for x of [{n}, {len}, C]: it must be {extents:?}",
            values.len()
        );
        let repeats = shape[0] * shape[1] / extents[0].max(1);
        let rows = values.chunks(len.max(1));
        let spread = rows.clone().flat_map(|row| std::iter::repeat_n(row, repeats)).flatten();
        let ones = spread.map(|&attends| if attends { T::ONE } else { T::ZERO }).collect();
        (Tensor::from_vec(ones, &shape), rows.into_iter().any(|row| !row.contains(&true)))
    }
}
