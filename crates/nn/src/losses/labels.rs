//! Class ids as targets: counted and checked before the fused pass.

/// How many elements have each class id.
pub(crate) struct Counts {
    counts: [usize; 256],
}

impl Counts {
    /// Counts `target`, one id for each of the rows of `shape [.., C]`, leaving out `ignore`.
    ///
    /// # Panics
    /// If the number of ids is not the number of rows, or an id is neither below `C` nor ignored.
    #[track_caller]
    pub fn of(loss: &str, shape: &[usize], target: &[u8], ignore: Option<u8>) -> Self {
        let Some((&classes, outer)) = shape.split_last() else {
            panic!("{loss}: the predictions have rank 0; the last dimension must hold the classes");
        };
        let rows: usize = outer.iter().product();
        assert!(
            target.len() == rows,
            "{loss}: predictions of shape {shape:?} need one class id for each of {rows} rows, found {}",
            target.len()
        );
        let mut counts = [0; 256];
        target.iter().for_each(|&id| counts[usize::from(id)] += 1);
        if let Some(ignore) = ignore {
            counts[usize::from(ignore)] = 0;
        }
        if let Some(id) = (classes..256).find(|&id| counts[id] > 0) {
            let place = target.iter().position(|&t| usize::from(t) == id).unwrap_or(0);
            panic!(
                "{loss}: class id {id} at row {place} is outside the {classes} classes of shape {shape:?} \
                 and is not the ignored id ({ignore:?})"
            );
        }
        Self { counts }
    }

    /// How many elements have class `id`.
    pub fn count(&self, id: usize) -> usize {
        self.counts.get(id).copied().unwrap_or(0)
    }
}
