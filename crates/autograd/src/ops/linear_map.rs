//! Sparse linear maps along neighbouring dimensions: the basis of most
//! operations that move or mix positions.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::windows::Windows;
use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[o] = Σ weight x[i]` along a run of dimensions, for the entries of a
/// [`LinearMap`]; `dx` is the adjoint map of `dy`. Both directions are the same
/// operation, so any order of gradient is offered.
pub struct Mapped {
    name: &'static str,
    map: Arc<Both>,
    adjoint: bool,
    /// The dimensions of the input that are mapped, and of the output.
    from: Vec<usize>,
    to: Vec<usize>,
    /// Where they begin.
    start: usize,
    origin: Origin,
}

/// How the entries of a [`Mapped`] operation's map were chosen.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Not by the values of the operation's input.
    Given,
    /// They are the places of the largest values of these windows of images `[N, image.., C]`.
    Largest(Windows),
    /// They are the places of the extreme values of rows `[M, K]`, the largest or the smallest by the operation's
    /// name, `max` or `min`.
    Extreme,
}

/// A map and its adjoint, each made when first needed.
struct Both {
    forward: LinearMap,
    adjoint: OnceLock<LinearMap>,
}

impl Mapped {
    /// Applies `map` to the dimensions `axes` of a tensor of shape `x`; its outputs become the dimensions `to`.
    ///
    /// # Panics
    /// If the dimensions do not have as many positions as the map reads or
    /// writes.
    #[track_caller]
    pub(super) fn new(
        name: &'static str,
        map: LinearMap,
        x: &[usize],
        axes: Range<usize>,
        to: &[usize],
    ) -> Self {
        let fits = axes.end <= x.len()
            && x[axes.clone()].iter().product::<usize>() == map.inputs()
            && to.iter().product::<usize>() == map.outputs();
        assert!(
            fits,
            "{name}: dimensions {axes:?} of {x:?} are not the {} positions the map reads, or {to:?} not the {} it writes",
            map.inputs(),
            map.outputs()
        );
        let (from, start) = (x[axes.clone()].to_vec(), axes.start);
        let map = Arc::new(Both { forward: map, adjoint: OnceLock::new() });
        Self { name, map, adjoint: false, from, to: to.to_vec(), start, origin: Origin::Given }
    }

    pub(super) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// How the map's entries were chosen.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The map.
    pub fn map(&self) -> &LinearMap {
        if self.adjoint {
            self.map.adjoint.get_or_init(|| self.map.forward.adjoint())
        } else {
            &self.map.forward
        }
    }

    /// The first of the dimensions that are mapped.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The extents of the dimensions that are mapped, and those they become.
    pub fn extents(&self) -> [&[usize]; 2] {
        [&self.from, &self.to]
    }

    fn apply<T: Element>(&self, x: &Tensor<T>, adjoint: bool, to: &[usize]) -> Tensor<T> {
        let from = if adjoint == self.adjoint { &self.from } else { &self.to };
        let map = if adjoint {
            self.map.adjoint.get_or_init(|| self.map.forward.adjoint())
        } else {
            &self.map.forward
        };
        let (before, rest) = x.shape().split_at(self.start);
        let after = &rest[from.len()..];
        let size = |extents: &[usize]| extents.iter().product::<usize>();
        let y = map.apply(&x.reshape(&[size(before), size(from), size(after)]));
        y.reshape(&[before, to, after].concat())
    }
}

impl<T: Element> Operation<T> for Mapped {
    fn name(&self) -> &'static str {
        self.name
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.apply(&x, self.adjoint, &self.to)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(self.apply(&dy, !self.adjoint, &self.from))
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (from, to) = (self.to.clone(), self.from.clone());
        let back = Mapped {
            name: self.name,
            map: Arc::clone(&self.map),
            adjoint: !self.adjoint,
            from,
            to,
            start: self.start,
            origin: Origin::Given,
        };
        one_var(Var::record(back, vec![dy]))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Mapped {
    fn facts() -> Facts {
        Facts::new(
            "linear_map",
            Group::Shape,
            "y[o] = Σ weight x[i] over the entries of row o",
            "dx[i] = Σ weight dy[o] over the same entries",
        )
        .shapes("any; a run of its dimensions becomes others")
        .torch("torch.einsum('oi,nic->noc', matrix, a)")
        .linear(&[0])
        .nan("an output that reads nothing is 0")
    }

    fn cases() -> Vec<Case> {
        let map = || {
            LinearMap::new(3, [vec![(0, 1.0), (2, -0.5)], vec![], vec![(1, 2.0)], vec![(2, 0.25), (0, 1.5)]])
        };
        let matrix =
            "torch.tensor([[1.0, 0, -0.5], [0, 0, 0], [0, 2, 0], [1.5, 0, 0.25]], dtype=torch.float64)";
        let torch = format!("torch.einsum('oi,nic->noc', {matrix}, a)");
        vec![
            case!("linear_map", torch.clone(), [sample(1, &[2, 3, 2])], |x| x.linear_map(
                "linear_map",
                map(),
                1..2,
                &[4]
            )),
            case!("linear_map: empty batch", torch, [sample(1, &[0, 3, 2])], |x| {
                x.linear_map("linear_map", map(), 1..2, &[4])
            }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("linear_map: dimensions 1..2 of [2, 4] are not the 3 positions", || {
            let _ = super::zeros::<f64>(&[2, 4]).linear_map(
                "linear_map",
                LinearMap::select(3, [Some(0)]),
                1..2,
                &[1],
            );
        })]
    }

    fn large_cases() -> Vec<Case> {
        let map = || LinearMap::select(101, (0..101).rev().map(Some));
        vec![case!("linear_map", "a.flip(1)", [sample(1, &[30, 101, 8])], |x| x.linear_map(
            "linear_map",
            map(),
            1..2,
            &[101]
        ))]
    }
}

impl<T: Element> Var<T> {
    /// Applies `map` to the dimensions `axes`, taken as one; its outputs become
    /// the dimensions `to`. See [`Mapped`]. Messages call the operation `name`.
    ///
    /// # Panics
    /// If the dimensions do not have as many positions as the map reads or
    /// writes.
    #[track_caller]
    pub fn linear_map(self, name: &'static str, map: LinearMap, axes: Range<usize>, to: &[usize]) -> Var<T> {
        let mapped = Mapped::new(name, map, self.shape(), axes, to);
        Var::record(mapped, vec![self])
    }

    /// Positions along one dimension from chosen sources, 0 where there is none.
    #[track_caller]
    pub(super) fn select_along(
        self,
        name: &'static str,
        axis: usize,
        sources: impl IntoIterator<Item = Option<usize>>,
    ) -> Var<T> {
        super::assert_axes(name, &[axis], self.shape());
        let map = LinearMap::select(self.shape()[axis], sources);
        let extent = map.outputs();
        self.linear_map(name, map, axis..axis + 1, &[extent])
    }
}
