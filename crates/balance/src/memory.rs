//! What a strategy remembers between steps, in a form that checkpoints can carry.

use std::collections::BTreeMap;

use cerberus_tensor::{Element, Tensor};

use super::BalanceError;

/// Named numbers, one or a few per task, and named tensors as large as gradients.
#[derive(Clone, Debug)]
pub struct Memory<T: Element = f32> {
    /// Kept exactly, in `f64`.
    pub numbers: BTreeMap<String, Vec<f64>>,
    /// In the element type of the gradients.
    pub tensors: BTreeMap<String, Tensor<T>>,
}

impl<T: Element> Default for Memory<T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), tensors: BTreeMap::new() }
    }
}

impl<T: Element> Memory<T> {
    /// With one more list of numbers.
    pub fn with(mut self, name: &str, numbers: &[f64]) -> Self {
        self.numbers.insert(name.to_string(), numbers.to_vec());
        self
    }

    /// With rows of tensors, under `name.task.part`.
    pub fn with_rows(mut self, name: &str, rows: &[Vec<Tensor<T>>]) -> Self {
        for (task, row) in rows.iter().enumerate() {
            for (part, tensor) in row.iter().enumerate() {
                self.tensors.insert(format!("{name}.{task}.{part}"), tensor.clone());
            }
        }
        self
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// If there is none of that name and length; `len` 0 accepts any length.
    pub fn numbers(&self, name: &str, len: usize) -> Result<Vec<f64>, BalanceError> {
        let found = self.numbers.get(name).filter(|numbers| len == 0 || numbers.len() == len);
        found.cloned().ok_or_else(|| BalanceError::Memory(name.to_string()))
    }

    /// A single number.
    ///
    /// # Errors
    /// If there is none.
    pub fn number(&self, name: &str) -> Result<f64, BalanceError> {
        Ok(self.numbers(name, 1)?[0])
    }

    /// Rows saved by [`with_rows`](Self::with_rows); empty if there are none.
    ///
    /// # Errors
    /// If a row or part is missing between others.
    pub fn rows(&self, name: &str) -> Result<Vec<Vec<Tensor<T>>>, BalanceError> {
        let fail = || BalanceError::Memory(name.to_string());
        let mut rows: Vec<Vec<Tensor<T>>> = Vec::new();
        let prefix = format!("{name}.");
        let mut places: Vec<([usize; 2], &Tensor<T>)> = Vec::new();
        for (path, tensor) in &self.tensors {
            let Some(place) = path.strip_prefix(&prefix) else { continue };
            let (task, part) = place.split_once('.').ok_or_else(fail)?;
            let number = |text: &str| text.parse::<usize>().map_err(|_| fail());
            places.push(([number(task)?, number(part)?], tensor));
        }
        // Names sort "10" before "2".
        places.sort_by_key(|(place, _)| *place);
        for ([task, part], tensor) in places {
            if part == 0 && task == rows.len() {
                rows.push(Vec::new());
            }
            let row = rows.get_mut(task).filter(|row| row.len() == part).ok_or_else(fail)?;
            row.push(tensor.clone());
        }
        Ok(rows)
    }
}
