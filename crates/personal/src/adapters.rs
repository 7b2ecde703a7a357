//! Small changes of a frozen base, tuned on a person's labelled pictures.
//!
//! Two kinds act on the trunk's maps, which are computed once and kept: FiLM, a scale and a shift for every channel (Perez
//! et al., "FiLM: Visual reasoning with a general conditioning layer", 2018, equation 2), and residual adapters, a
//! bottleneck beside every map, `x + relu(x down) up` with `up` 0 at first (Rebuffi, Bilen and Vedaldi, "Learning multiple
//! visual domains with residual adapters", 2017, section 3; Houlsby et al., 2019, for the bottleneck). Heads stay as they
//! are, so only they are run and differentiated.
//!
//! Two act in the trunk: the scale and shift of its batch norms, and LoRA, a product of two thin matrices added to every
//! kernel, `W + A B` with `B` 0 at first (Hu et al., "LoRA: Low-rank adaptation of large language models", 2022, equation
//! 3; a kernel `[KH, KW, Cin, Cout]` is a matrix of `KH KW Cin` rows). The gradient of the factors follows from that of the
//! kernel: `dA = dW Bᵀ`, `dB = Aᵀ dW`.
//!
//! All are pulled to where the base is (L2-SP), since a person has few pictures.

use cerberus_autograd::Var;
use cerberus_multitask::{Features, MapInfo};
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut, Parameter, join};
use cerberus_tensor::{Element, Tensor};

/// What acts on one map.
enum OnMap<T: Element> {
    /// `x (1 + scale) + shift`, both `[C]`.
    Film { scale: Parameter<T>, shift: Parameter<T> },
    /// `x + relu(x down) up`, `[C, R]` and `[R, C]`.
    Residual { down: Parameter<T>, up: Parameter<T> },
}

/// A kind of adapter on maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapAdapter {
    /// A scale and a shift for every channel.
    Film,
    /// A bottleneck of this width beside every map.
    Residual(usize),
}

/// Adapters on all maps of a trunk. Fresh ones change nothing.
pub struct MapAdapters<T: Element = f32> {
    /// By the maps' names, in the order of stages and neck.
    maps: Vec<(String, OnMap<T>)>,
}

impl<T: Element> MapAdapters<T> {
    /// Fresh adapters for a trunk's stages and neck.
    pub fn new(kind: MapAdapter, stages: &[MapInfo], neck: Option<&MapInfo>, seed: u64) -> Self {
        let mut init = Init::new(seed);
        let zeros = |shape: &[usize]| Parameter::new(Tensor::zeros(shape));
        let mut on = |channels: usize| match kind {
            MapAdapter::Film => OnMap::Film { scale: zeros(&[channels]), shift: zeros(&[channels]) },
            MapAdapter::Residual(width) => OnMap::Residual {
                down: Parameter::new(init.glorot(&[channels, width], channels, width)),
                up: zeros(&[width, channels]),
            },
        };
        let maps = stages.iter().chain(neck).map(|map| (map.name.clone(), on(map.channels))).collect();
        Self { maps }
    }

    /// The trunk's features as the heads are to see them.
    ///
    /// # Panics
    /// If they are not of the trunk that the adapters were made for.
    #[track_caller]
    pub fn apply(&self, features: Features<T>, context: &mut Context<T>) -> Features<T> {
        let maps = features.stages.len() + usize::from(features.neck.is_some());
        assert!(self.maps.len() == maps, "MapAdapters: made for {} maps, given {maps}", self.maps.len());
        let mut own = self.maps.iter().map(|(_, on)| on);
        let mut next = |map: Var<T>| own.next().map_or(map.clone(), |on| on.apply(map, context));
        let stages = features.stages.into_iter().map(&mut next).collect();
        Features::new(stages, features.neck.map(next))
    }
}

impl<T: Element> OnMap<T> {
    fn apply(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        match self {
            OnMap::Film { scale, shift } => {
                let (scale, shift) = (context.parameter(scale), context.parameter(shift));
                x.clone() + x * scale + shift
            }
            OnMap::Residual { down, up } => {
                let (down, up) = (context.parameter(down), context.parameter(up));
                let shape = x.shape().to_vec();
                let rows = x.clone().reshape(&[shape[0] * shape[1] * shape[2], shape[3]]);
                x + rows.matmul(down).relu().matmul(up).reshape(&shape)
            }
        }
    }
}

/// Paths read `stage1.scale`, `merged.up`.
impl<T: Element> Module<T> for MapAdapters<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for (name, on) in &self.maps {
            let path = join(path, name);
            let ((a, first), (b, second)) = match on {
                OnMap::Film { scale, shift } => (("scale", scale), ("shift", shift)),
                OnMap::Residual { down, up } => (("down", down), ("up", up)),
            };
            f(join(&path, a), ModuleTensor::Parameter(first));
            f(join(&path, b), ModuleTensor::Parameter(second));
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for (name, on) in &mut self.maps {
            let path = join(path, name);
            let ((a, first), (b, second)) = match on {
                OnMap::Film { scale, shift } => (("scale", scale), ("shift", shift)),
                OnMap::Residual { down, up } => (("down", down), ("up", up)),
            };
            f(join(&path, a), ModuleTensorMut::Parameter(first));
            f(join(&path, b), ModuleTensorMut::Parameter(second));
        }
    }
}

/// `A B` for one kernel, with the paths of LoRA's factors.
pub struct LowRank<T: Element = f32> {
    /// `[rows, R]`.
    pub a: Parameter<T>,
    /// `[R, Cout]`.
    pub b: Parameter<T>,
}

cerberus_nn::module!(LowRank { a, b });

impl<T: Element> LowRank<T> {
    /// A fresh product of zero for a kernel of this shape.
    pub fn new(shape: &[usize], rank: usize, init: &mut Init) -> Self {
        let [rows, columns] = as_matrix(shape);
        let a = Parameter::new(init.glorot(&[rows, rank], rows, rank));
        Self { a, b: Parameter::new(Tensor::zeros(&[rank, columns])) }
    }

    /// `A B` in the kernel's shape.
    pub fn product(&self, shape: &[usize]) -> Tensor<T> {
        self.a.value.matmul(&self.b.value).reshape(shape)
    }

    /// The factors' gradients from the kernel's.
    pub fn gradients(&self, kernel: &Tensor<T>) -> [Tensor<T>; 2] {
        let dw = kernel.contiguous().reshape(&as_matrix(kernel.shape()));
        [dw.matmul(&self.b.value.t()), self.a.value.t().matmul(&dw)]
    }
}

/// Rows and columns of a kernel `[.., Cout]` as a matrix.
fn as_matrix(shape: &[usize]) -> [usize; 2] {
    let columns = *shape.last().expect("kernels have a rank");
    [shape[..shape.len() - 1].iter().product(), columns]
}
