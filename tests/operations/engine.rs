//! The engine in miniature; `docs/engine.md` explains it a part at a time.

use std::cell::RefCell;
use std::rc::Rc;

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Matrix {
    fn new(rows: usize, columns: usize, data: Vec<f64>) -> Self {
        assert_eq!(data.len(), rows * columns);
        Self { rows, columns, data }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Matrix {
        Matrix::new(self.rows, self.columns, self.data.iter().map(|&x| f(x)).collect())
    }

    fn zip(&self, other: &Matrix, f: impl Fn(f64, f64) -> f64) -> Matrix {
        assert_eq!((self.rows, self.columns), (other.rows, other.columns));
        let pairs = self.data.iter().zip(&other.data);
        Matrix::new(self.rows, self.columns, pairs.map(|(&a, &b)| f(a, b)).collect())
    }

    fn matmul(&self, other: &Matrix) -> Matrix {
        assert_eq!(self.columns, other.rows);
        let entry = |i: usize| -> f64 {
            let (row, column) = (i / other.columns, i % other.columns);
            (0..self.columns)
                .map(|k| self.data[row * self.columns + k] * other.data[k * other.columns + column])
                .sum()
        };
        Matrix::new(self.rows, other.columns, (0..self.rows * other.columns).map(entry).collect())
    }

    fn transpose(&self) -> Matrix {
        let entry = |i: usize| self.data[i % self.rows * self.columns + i / self.rows];
        Matrix::new(self.columns, self.rows, (0..self.data.len()).map(entry).collect())
    }
}

/// From the gradient of a node's output, the gradients of its inputs.
type Rule = Box<dyn Fn(&Matrix) -> Vec<Matrix>>;

/// One operation that was done: where its inputs came from, and its rule.
struct Node {
    inputs: Vec<usize>,
    rule: Rule,
}

/// Everything that was done, in order.
#[derive(Clone, Default)]
struct Tape {
    nodes: Rc<RefCell<Vec<Node>>>,
}

/// A value and its place on the tape.
#[derive(Clone)]
struct Var {
    value: Matrix,
    tape: Tape,
    node: usize,
}

impl Tape {
    /// A value from outside: a node without inputs.
    fn leaf(&self, value: Matrix) -> Var {
        self.record(value, vec![], Box::new(|_| vec![]))
    }

    fn record(&self, value: Matrix, inputs: Vec<usize>, rule: Rule) -> Var {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { inputs, rule });
        Var { value, tape: self.clone(), node: nodes.len() - 1 }
    }
}

impl Var {
    /// y = a + b; da = dy, db = dy.
    fn add(self, other: Var) -> Var {
        let y = self.value.zip(&other.value, |a, b| a + b);
        self.tape.record(y, vec![self.node, other.node], Box::new(|dy| vec![dy.clone(), dy.clone()]))
    }

    /// y = a * b, element by element; da = dy * b, db = dy * a.
    fn mul(self, other: Var) -> Var {
        let (a, b) = (self.value, other.value);
        let y = a.zip(&b, |a, b| a * b);
        let rule = move |dy: &Matrix| vec![dy.zip(&b, |dy, b| dy * b), dy.zip(&a, |dy, a| dy * a)];
        self.tape.record(y, vec![self.node, other.node], Box::new(rule))
    }

    /// y = a b, the matrix product; da = dy bᵀ, db = aᵀ dy.
    fn matmul(self, other: Var) -> Var {
        let (a, b) = (self.value, other.value);
        let y = a.matmul(&b);
        let rule = move |dy: &Matrix| vec![dy.matmul(&b.transpose()), a.transpose().matmul(dy)];
        self.tape.record(y, vec![self.node, other.node], Box::new(rule))
    }

    /// y = tanh x; dx = dy (1 - y²): the rule needs the output, not the input.
    fn tanh(self) -> Var {
        let y = self.value.map(f64::tanh);
        let kept = y.clone();
        let rule = move |dy: &Matrix| vec![dy.zip(&kept, |dy, y| dy * (1.0 - y * y))];
        self.tape.record(y, vec![self.node], Box::new(rule))
    }

    /// y = the sum of all elements; dx = dy everywhere.
    fn sum(self) -> Var {
        let (rows, columns) = (self.value.rows, self.value.columns);
        let y = Matrix::new(1, 1, vec![self.value.data.iter().sum()]);
        let rule = move |dy: &Matrix| vec![Matrix::new(rows, columns, vec![dy.data[0]; rows * columns])];
        self.tape.record(y, vec![self.node], Box::new(rule))
    }
}

/// The gradient of a single number with respect to every node before it.
fn backward(loss: &Var) -> Vec<Option<Matrix>> {
    let nodes = loss.tape.nodes.borrow();
    let mut gradients: Vec<Option<Matrix>> = vec![None; nodes.len()];
    gradients[loss.node] = Some(Matrix::new(1, 1, vec![1.0]));
    for index in (0..=loss.node).rev() {
        let Some(dy) = gradients[index].clone() else { continue };
        for (&input, dx) in nodes[index].inputs.iter().zip((nodes[index].rule)(&dy)) {
            gradients[input] = Some(match gradients[input].take() {
                None => dx,
                Some(sum) => sum.zip(&dx, |a, b| a + b),
            });
        }
    }
    gradients
}

#[test]
fn a_gradient_is_what_a_nudge_says() {
    let function = |x: &Matrix| {
        let tape = Tape::default();
        let x = tape.leaf(x.clone());
        // x is used twice: its gradient is the sum of both uses.
        let y = x.clone().mul(x.clone().tanh()).add(x.clone()).sum();
        (y.value.data[0], backward(&y)[x.node].clone().expect("y depends on x"))
    };
    let x = Matrix::new(1, 3, vec![0.5, -1.0, 2.0]);
    let (_, gradient) = function(&x);
    for i in 0..3 {
        let nudged = |h: f64| {
            let mut x = x.clone();
            x.data[i] += h;
            function(&x).0
        };
        let numeric = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
        assert!((gradient.data[i] - numeric).abs() < 1e-8);
    }
}

#[test]
fn a_small_network_learns_exclusive_or() {
    // A column of ones stands in for a bias.
    let inputs = Matrix::new(4, 3, vec![0., 0., 1., 0., 1., 1., 1., 0., 1., 1., 1., 1.]);
    let targets = [-1.0, 1.0, 1.0, -1.0];
    let mut first = Matrix::new(3, 4, (0..12).map(|i| (i as f64 * 2.3).sin()).collect());
    let mut second = Matrix::new(4, 1, (0..4).map(|i| (i as f64 * 1.7 + 1.0).cos()).collect());
    let mut loss = f64::INFINITY;
    for _ in 0..500 {
        let tape = Tape::default();
        let (w1, w2) = (tape.leaf(first.clone()), tape.leaf(second.clone()));
        let hidden = tape.leaf(inputs.clone()).matmul(w1.clone()).tanh();
        let minus = tape.leaf(Matrix::new(4, 1, targets.iter().map(|t| -t).collect()));
        let error = hidden.matmul(w2.clone()).tanh().add(minus);
        let squares = error.clone().mul(error).sum();
        loss = squares.value.data[0];
        let gradients = backward(&squares);
        let step = |weight: &Matrix, leaf: &Var| {
            let gradient = gradients[leaf.node].as_ref().expect("every weight matters");
            weight.zip(gradient, |w, g| w - 0.1 * g)
        };
        (first, second) = (step(&first, &w1), step(&second, &w2));
    }
    assert!(loss < 0.05, "{loss}");
}

#[test]
fn the_chapter_shows_all_of_this_file_but_this_test() {
    let (file, chapter) = (include_str!("engine.rs"), include_str!("../../docs/engine.md"));
    let blocks: Vec<&str> =
        chapter.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let shown = blocks.join("\n");
    let told = file.split("#[test]\nfn the_chapter_shows").next().expect("this very line");
    assert_eq!(told.trim_end(), shown.trim_end(), "docs/engine.md does not quote tests/operations/engine.rs");
}
