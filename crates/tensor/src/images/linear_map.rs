//! Sparse linear maps along one dimension, and their adjoints.
//!
//! Many operations that move or mix pixels have one form: every output position
//! is a weighted sum of a few input positions, and which ones depends on sizes
//! alone. Padding, flipping, tiling, average pooling, patches and bilinear
//! sampling are [`LinearMap`]s; the adjoint of each is the transposed map. The
//! map is a sparse matrix in compressed rows. Both directions gather, so an
//! output is written by one thread and summed in a fixed order.

use crate::parallel::for_each_rows;
use crate::{Element, Tensor};

/// `y[o] = sum of weight * x[i]` over the entries `(i, weight)` of row `o`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    inputs: usize,
    /// Row `o` is `entries[starts[o]..starts[o + 1]]`.
    starts: Vec<usize>,
    entries: Vec<(usize, f64)>,
}

impl LinearMap {
    /// The map from `inputs` positions whose output positions have these entries.
    ///
    /// # Panics
    /// If an entry reads a position that does not exist.
    #[track_caller]
    pub fn new(
        inputs: usize,
        rows: impl IntoIterator<Item = impl IntoIterator<Item = (usize, f64)>>,
    ) -> Self {
        let mut map = Self { inputs, starts: vec![0], entries: Vec::new() };
        for row in rows {
            map.entries.extend(row);
            map.starts.push(map.entries.len());
        }
        let inside = map.entries.iter().all(|&(input, _)| input < inputs);
        assert!(inside, "linear map: an entry reads a position outside the {inputs} there are");
        map
    }

    /// The map whose output `o` is input `sources[o]`, or 0 where there is none.
    #[track_caller]
    pub fn select(inputs: usize, sources: impl IntoIterator<Item = Option<usize>>) -> Self {
        Self::new(inputs, sources.into_iter().map(|source| source.map(|source| (source, 1.0))))
    }

    /// How many positions it reads.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many positions it writes.
    pub fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// What output `output` reads: input positions and their weights.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize) -> &[(usize, f64)] {
        &self.entries[self.starts[output]..self.starts[output + 1]]
    }

    /// The adjoint map, from the outputs to the inputs.
    pub fn adjoint(&self) -> Self {
        let mut starts = vec![0; self.inputs + 1];
        self.entries.iter().for_each(|&(input, _)| starts[input + 1] += 1);
        (0..self.inputs).for_each(|input| starts[input + 1] += starts[input]);
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for output in 0..self.outputs() {
            for &(input, weight) in self.row(output) {
                entries[next[input]] = (output, weight);
                next[input] += 1;
            }
        }
        Self { inputs: self.outputs(), starts, entries }
    }

    /// Applies the map to the middle dimension: `x [outer, inputs, inner]` to
    /// `[outer, outputs, inner]`.
    ///
    /// # Panics
    /// If `x` is not of that shape.
    #[track_caller]
    pub fn apply<T: Element>(&self, x: &Tensor<T>) -> Tensor<T> {
        let &[outer, inputs, inner] = x.shape() else {
            panic!("linear map: x {:?} must be [outer, inputs, inner]", x.shape())
        };
        assert!(inputs == self.inputs, "linear map: x {:?} must have {} inputs", x.shape(), self.inputs);
        let (source, outputs) = (x.contiguous(), self.outputs());
        let x = source.data();
        Tensor::filled_by(&[outer, outputs, inner], |y| {
            for_each_rows(y, inner, |first, rows| {
                for (index, y) in rows.chunks_exact_mut(inner).enumerate() {
                    let (block, output) = ((first + index) / outputs, (first + index) % outputs);
                    let x = |input: usize| &x[(block * inputs + input) * inner..][..inner];
                    let Some((&(input, weight), rest)) = self.row(output).split_first() else {
                        y.fill(T::ZERO);
                        continue;
                    };
                    let weight = T::from_f64(weight);
                    y.iter_mut().zip(x(input)).for_each(|(y, &x)| *y = weight * x);
                    for &(input, weight) in rest {
                        let weight = T::from_f64(weight);
                        y.iter_mut().zip(x(input)).for_each(|(y, &x)| *y += weight * x);
                    }
                }
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use proptest::prelude::*;

    /// Any map of up to six inputs and outputs.
    fn any_map() -> impl Strategy<Value = LinearMap> {
        (1usize..6).prop_flat_map(|inputs| {
            let row = prop::collection::vec((0..inputs, -2.0..2.0f64), 0..4);
            prop::collection::vec(row, 0..6).prop_map(move |rows| LinearMap::new(inputs, rows))
        })
    }

    /// The map as a matrix `[outputs, inputs]`.
    fn matrix(map: &LinearMap) -> Tensor<f64> {
        let mut values = vec![0.0; map.outputs() * map.inputs()];
        for output in 0..map.outputs() {
            map.row(output)
                .iter()
                .for_each(|&(input, weight)| values[output * map.inputs() + input] += weight);
        }
        Tensor::from_vec(values, &[map.outputs(), map.inputs()])
    }

    proptest! {
        #[test]
        fn applying_a_map_is_multiplying_by_its_matrix_and_the_adjoint_by_its_transpose(
            map in any_map(), outer in 0usize..3, inner in 0usize..4,
        ) {
            for (map, matrix) in [(map.clone(), matrix(&map)), (map.adjoint(), matrix(&map).t())] {
                let x = noise::<f64>(&[outer, map.inputs(), inner], 0.3);
                let (y, expected) = (map.apply(&x), matrix.batched_matmul(&x));
                prop_assert_eq!(y.shape(), expected.shape());
                let distance = y.to_vec().iter().zip(expected.to_vec()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                prop_assert!(distance < 1e-12);
            }
        }
    }

    #[test]
    #[should_panic(expected = "reads a position outside the 2 there are")]
    fn reading_outside_is_refused() {
        LinearMap::select(2, [Some(2)]);
    }
}
