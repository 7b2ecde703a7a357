//! How much two heads rely on the same channels.

/// Two heads' reliance on the channels of one map, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// `a·b / (|a| |b|)`; 0 if one of them relies on nothing.
    pub cosine: f64,
    /// The share of the `k` most relied on channels that both have, 0 to 1; of equal ones the first counts.
    pub top: f64,
}

impl Overlap {
    /// Of two lists of one number per channel, with the `k` largest of each; a `k` above the number of channels means
    /// all of them, and for `k = 0` the share is 0.
    ///
    /// # Panics
    /// If the lists are of different lengths.
    #[track_caller]
    pub fn of(a: &[f64], b: &[f64], k: usize) -> Self {
        assert!(a.len() == b.len(), "Overlap::of: {} and {} channels must be as many", a.len(), b.len());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let sizes = dot(a, a).sqrt() * dot(b, b).sqrt();
        let k = k.min(a.len());
        let (first, second) = (largest(a, k), largest(b, k));
        let both = first.iter().filter(|channel| second.contains(channel)).count();
        Self {
            cosine: if sizes > 0.0 { dot(a, b) / sizes } else { 0.0 },
            top: if k > 0 { both as f64 / k as f64 } else { 0.0 },
        }
    }
}

/// The places of the `k` largest values.
fn largest(values: &[f64], k: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    places.truncate(k);
    places
}
