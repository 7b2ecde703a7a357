//! A data set whose samples lack an input: to see what a model can do without it.

use std::sync::Arc;

use crate::{DataError, Dataset, DatasetInfo, IMAGE, Image, Sample, Split};

/// A data set without some of its inputs. What the data set tells of itself stays the same.
pub struct Without {
    inner: Arc<dyn Dataset>,
    names: Vec<String>,
}

impl Without {
    /// Takes the inputs of these names from every sample of `inner`.
    pub fn new(inner: Arc<dyn Dataset>, names: &[String]) -> Without {
        Without { inner, names: names.to_vec() }
    }
}

impl Dataset for Without {
    fn info(&self) -> &DatasetInfo {
        self.inner.info()
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let mut sample = self.inner.sample(split, epoch, index)?;
        for name in &self.names {
            if name == IMAGE {
                sample.image = Image::missing();
            }
            sample.inputs.remove(name);
        }
        Ok(sample)
    }
}
