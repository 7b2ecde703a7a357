//! The memory that a training step keeps, and the memory it requests from the
//! system: the activations of a deep network after the forward pass, fewer and
//! fewer of them during the backward pass, and no large block after the first
//! steps.
//!
//! The counters count the whole process, so the tests run one at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cerberus::autograd::{Gradient, GradientSink, Leaf, backward_into};
use cerberus::nn::losses::{Focal, cross_entropy, dice, focal, smooth_l1};
use cerberus::nn::optim::{Adam, AdamOptions, Optimizer};
use cerberus::nn::{commit, module};
use cerberus::prelude::*;
use cerberus::tensor::Element;
use cerberus::tensor::pool::{live_bytes, take_peak_bytes};
use cerberus::tensor::resize::Interpolation;

static TURN: Mutex<()> = Mutex::new(());

const LAYERS: usize = 20;

/// A request for this much is large: half of what the system's allocator hands
/// out as fresh pages.
const LARGE: usize = 64 * 1024;

/// The system's allocator, counting large requests while [`COUNTING`].
struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// The size of the last large request, for the message.
static LAST: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    if size >= LARGE && COUNTING.load(Ordering::Relaxed) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        LAST.store(size, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records the live bytes each time a gradient arrives, and drops the gradient.
struct Witness(Vec<usize>);

impl GradientSink<f32> for Witness {
    fn accept(&mut self, _: Leaf, gradient: Gradient<f32>) {
        drop(gradient);
        self.0.push(live_bytes());
    }
}

#[test]
fn activations_live_once_after_the_forward_pass_and_die_as_the_backward_pass_consumes_them() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut init = Init::new(1);
    let spec = Conv2dSpec { padding: Padding::all(1), ..Conv2dSpec::default() };
    let net = (0..LAYERS).fold(Sequential::new(), |net, layer| {
        net.add(&format!("conv{layer}"), Conv2d::with_spec(16, 16, 3, spec, &mut init).with_relu())
    });
    let before = live_bytes();
    let images = Tensor::from_fn(&[8, 32, 32, 16], |i| (i as f32 * 0.3).sin());
    let activation = images.len() * size_of::<f32>();

    let mut context = Context::training(1, 0);
    let loss = net.forward(Var::constant(images), &mut context).mean_all();
    context.discard();
    let after_forward = live_bytes() - before;
    // Each layer keeps its input and its output, but one's output is the next
    // one's input: the images and one activation per layer.
    let kept = after_forward as f64 / activation as f64;
    assert!(
        kept > LAYERS as f64 + 0.5 && kept < LAYERS as f64 + 1.5,
        "{kept} activations kept after forward"
    );

    take_peak_bytes();
    let mut witness = Witness(Vec::new());
    backward_into(loss, &mut witness);
    let peak = (take_peak_bytes() - before) as f64 / activation as f64;
    // On top of what the forward pass kept: a gradient coming in, a gradient
    // going out, and a little for packed weights and padded blocks.
    assert!(peak < kept + 3.0, "{peak} activations alive at the peak of backward");
    let alive: Vec<f64> =
        witness.0.iter().map(|&bytes| (bytes - before) as f64 / activation as f64).collect();
    assert_eq!(alive.len(), 2 * LAYERS);
    assert!(alive.windows(2).all(|pair| pair[1] <= pair[0]), "memory grew again: {alive:?}");
    assert!(alive[2 * LAYERS - 1] < 3.0, "{alive:?}");
}

/// A small network with everything a multi-task step uses: batch norm, a
/// residual, pooling, and heads for a class, for places and for pixels.
struct Small<T: Element> {
    stem: Conv2d<T>,
    norm: BatchNorm2d<T>,
    body: Conv2d<T>,
    class: Linear<T>,
    places: Conv2d<T>,
    pixels: Conv2d<T>,
}

module!(Small { stem, norm, body, class, places, pixels });

const IMAGES: usize = 16;
const SIZE: usize = 32;
const CLASSES: usize = 11;

impl Small<f32> {
    fn new() -> Self {
        let mut init = Init::new(1);
        let (same, one) = (Conv2dSpec::same(3), Conv2dSpec::default());
        Self {
            stem: Conv2d::with_spec(3, 32, 3, same, &mut init).without_bias(),
            norm: BatchNorm2d::new(32).with_relu(),
            body: Conv2d::with_spec(32, 32, 3, same, &mut init),
            class: Linear::new(32, CLASSES, &mut init),
            places: Conv2d::with_spec(32, CLASSES, 1, one, &mut init),
            pixels: Conv2d::with_spec(32, CLASSES, 1, one, &mut init),
        }
    }

    fn loss(&self, images: &Tensor, context: &mut Context) -> Var {
        let pool = MaxPool2d::new(2, 2);
        let x = self.stem.forward(Var::constant(images.clone()), context);
        let x = pool.forward(self.norm.forward(x, context), context);
        let x = self.body.forward(x.clone(), context).add_relu(x);
        let ids = |count: usize| (0..count).map(|i| (i % CLASSES) as u8).collect::<Vec<u8>>();
        let class = self.class.forward(x.clone().global_avg_pool(), context);
        let class = cross_entropy(class, &ids(IMAGES));
        let places = self.places.forward(x.clone(), context);
        let target = Tensor::zeros(places.shape());
        let found = focal(places.clone(), target.clone(), &Focal::default(), 10.0);
        let boxes = smooth_l1(places, target, 1.0, None, 10.0);
        let pixels = self.pixels.forward(x, context).resize([SIZE; 2], Interpolation::Bilinear);
        let target = ids(IMAGES * SIZE * SIZE);
        let overlap = dice(pixels.clone().softmax(3), &target);
        class + found + boxes + overlap + cross_entropy(pixels, &target)
    }
}

#[test]
fn after_the_first_steps_a_step_asks_the_system_for_no_large_block() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // On one thread: with several, the number of threads that need work buffers
    // at the same moment is random, and the pool may grow once more.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one.install(|| {
        let mut model = Small::new();
        let mut optimizer = Adam::new(AdamOptions::default());
        let images = Tensor::from_fn(&[IMAGES, SIZE, SIZE, 3], |i| (i as f32 * 0.3).sin());
        // A pooling's winners are large too.
        const { assert!(IMAGES * (SIZE / 2) * (SIZE / 2) * 32 >= LARGE) };
        for step in 0..5 {
            COUNTING.store(step >= 2, Ordering::Relaxed);
            let mut context = Context::training(1, step);
            let loss = model.loss(&images, &mut context);
            let updates = context.finish();
            let mut gradients = backward(loss);
            gradients.clip_global_norm(1.0);
            optimizer.set_learning_rate(1e-3);
            optimizer.step(&mut model, &gradients);
            commit(&mut model, updates);
        }
        COUNTING.store(false, Ordering::Relaxed);
    });
    let (requests, last) = (REQUESTS.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed));
    assert_eq!(requests, 0, "the last one was for {last} bytes");
}

/// Residual blocks that are marked as segments.
struct Tower {
    blocks: Vec<Sequential>,
}

impl Module for Tower {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, cerberus::nn::ModuleTensor<'a, f32>)) {
        self.blocks.visit(path, f);
    }

    fn visit_mut<'a>(
        &'a mut self,
        path: &str,
        f: &mut dyn FnMut(String, cerberus::nn::ModuleTensorMut<'a, f32>),
    ) {
        self.blocks.visit_mut(path, f);
    }
}

impl Layer for Tower {
    fn forward(&self, x: Var, context: &mut Context) -> Var {
        let block = |x: Var, block: &Sequential, context: &mut Context| x.clone() + block.forward(x, context);
        self.blocks.iter().fold(x, |x, b| context.segment(|context| block(x, b, context)))
    }
}

/// Eight blocks of four normalised and activated convolutions: a block keeps many values, between blocks is one.
#[test]
fn recomputing_halves_the_peak_of_a_step_and_changes_no_bit() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let run = |recompute: bool| {
        let mut init = Init::new(1);
        let mut block = || {
            (0..4).fold(Sequential::new(), |layers, i| {
                layers
                    .add(&format!("conv{i}"), Conv2d::new(8, 8, 3, &mut init).same())
                    .add(&format!("norm{i}"), BatchNorm2d::new(8))
                    .add(&format!("act{i}"), Silu::default())
            })
        };
        let mut model = Tower { blocks: (0..8).map(|_| block()).collect() };
        let images = Tensor::from_fn(&[4, 32, 32, 8], |i| (i as f32 * 0.3).sin());
        let mut optimizer = Sgd::new(SgdOptions { learning_rate: 0.1, ..SgdOptions::default() });
        let options = StepOptions { recompute, ..StepOptions::default() };
        let mut peak = 0;
        for _ in 0..2 {
            take_peak_bytes();
            let before = live_bytes();
            step_with(&mut model, &mut optimizer, options, |model, context| {
                model.forward((&images).into(), context).square().mean_all()
            });
            peak = take_peak_bytes() - before;
        }
        let values: Vec<f32> = model.tensors().iter().flat_map(|(_, tensor)| tensor.to_vec()).collect();
        (peak, values)
    };
    let ((kept, expected), (recomputed, found)) = (run(false), run(true));
    assert_eq!(found, expected);
    assert!(2 * recomputed < kept, "{recomputed} of {kept} bytes");
}
