//! The fixed binary tree along which shards are summed.
//!
//! Its leaves are the shards `0..n`. A node of level `l` holds the leaves from `k 2^l` to `(k + 1) 2^l`, as far as there
//! are so many, and is the sum of its two halves; without a right half, it is its left half. Where a process has a run
//! of leaves, the largest nodes inside the run are all that others need of it.

/// A sum along the tree that takes its leaves in order.
///
/// Two complete neighbours that are the halves of a node are added as soon as they are there, so that at most one value
/// is held per level:
///
/// ```
/// use cerberus_distributed::TreeSum;
///
/// let join = |a: String, b: String| format!("({a}+{b})");
/// let mut sum = TreeSum::from(0);
/// for leaf in ["a", "b", "c", "d", "e", "f", "g"] {
///     sum.push(leaf.to_string(), join);
/// }
/// assert_eq!(sum.finish(join).unwrap(), "(((a+b)+(c+d))+((e+f)+g))");
/// ```
#[derive(Clone, Debug)]
pub struct TreeSum<V> {
    /// The leaf after the last one.
    next: usize,
    /// Complete nodes, side by side.
    nodes: Vec<Node<V>>,
}

#[derive(Clone, Debug)]
struct Node<V> {
    first: usize,
    level: u32,
    value: V,
}

impl<V> TreeSum<V> {
    /// The sum over leaves from this one on.
    pub fn from(leaf: usize) -> Self {
        Self { next: leaf, nodes: Vec::new() }
    }

    /// Adds the next leaf.
    pub fn push(&mut self, value: V, add: impl Fn(V, V) -> V) {
        self.push_node(0, value, add);
    }

    /// Adds the next node of this level, which begins at the next leaf.
    fn push_node(&mut self, level: u32, value: V, add: impl Fn(V, V) -> V) {
        let mut node = Node { first: self.next, level, value };
        self.next += 1 << level;
        // The left half of a node begins where the node does.
        while let Some(left) = self
            .nodes
            .pop_if(|left| left.level == node.level && left.first.is_multiple_of(1 << (left.level + 1)))
        {
            node = Node { first: left.first, level: left.level + 1, value: add(left.value, node.value) };
        }
        self.nodes.push(node);
    }

    /// The values of the largest nodes so far, from left to right: what others need of these leaves.
    pub fn nodes(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().map(|node| &node.value)
    }

    /// The sum over all leaves so far, the last of which is the last of the tree; `None` if there are none.
    pub fn finish(mut self, add: impl Fn(V, V) -> V) -> Option<V> {
        let mut sum = self.nodes.pop()?.value;
        while let Some(left) = self.nodes.pop() {
            sum = add(left.value, sum);
        }
        Some(sum)
    }
}

/// The levels of the largest nodes in a run of leaves, from left to right.
fn levels(leaves: std::ops::Range<usize>) -> Vec<u32> {
    let mut sum = TreeSum::from(leaves.start);
    leaves.for_each(|_| sum.push((), |(), ()| ()));
    sum.nodes.iter().map(|node| node.level).collect()
}

/// The sum over all leaves, from the [nodes](TreeSum::nodes) of runs of leaves that follow each other from 0 on.
///
/// # Panics
/// Unless there is a value for each node.
pub(crate) fn sum_of_runs<V>(
    runs: impl IntoIterator<Item = std::ops::Range<usize>>,
    mut values: impl Iterator<Item = V>,
    add: impl Fn(V, V) -> V,
) -> Option<V> {
    let mut sum = TreeSum::from(0);
    for level in runs.into_iter().flat_map(levels) {
        let value = values.next().expect("a value for each of the largest nodes of a run");
        sum.push_node(level, value, &add);
    }
    sum.finish(add)
}

/// How many nodes a run of leaves has for others.
pub(crate) fn node_count(leaves: std::ops::Range<usize>) -> usize {
    levels(leaves).len()
}
