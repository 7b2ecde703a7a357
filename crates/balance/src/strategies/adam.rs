//! Adam on a handful of numbers in `f64`, for weights that are learned beside the
//! network; the network's optimiser works on `f32` parameters of a module.

use cerberus_tensor::Element;

use crate::{BalanceError, Memory};

/// The numbers and their moments (Kingma and Ba, 2015), with the customary constants.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    pub values: Vec<f64>,
    pub rate: f64,
    /// Weight decay: this times the values is added to the gradient.
    pub decay: f64,
    /// The steps of each number.
    steps: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Adam {
    pub fn new(values: Vec<f64>, rate: f64) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, rate, decay: 0.0, steps: zeros.clone(), first: zeros.clone(), second: zeros }
    }

    /// A step of the numbers at these places.
    pub fn step(&mut self, places: &[usize], gradient: &[f64]) {
        for (&t, g) in places.iter().zip(gradient) {
            self.steps[t] += 1.0;
            let [unbias1, unbias2] = [0.9f64, 0.999].map(|beta| 1.0 - beta.powf(self.steps[t]));
            let g = g + self.decay * self.values[t];
            self.first[t] += 0.1 * (g - self.first[t]);
            self.second[t] += 0.001 * (g * g - self.second[t]);
            let spread = (self.second[t] / unbias2).sqrt() + 1e-8;
            self.values[t] -= self.rate * self.first[t] / unbias1 / spread;
        }
    }

    pub fn memory<T: Element>(&self) -> Memory<T> {
        let memory = Memory::default().with("values", &self.values).with("first", &self.first);
        memory.with("second", &self.second).with("steps", &self.steps)
    }

    pub fn restore<T: Element>(&mut self, memory: &Memory<T>) -> Result<(), BalanceError> {
        let tasks = self.values.len();
        self.values = memory.numbers("values", tasks)?;
        self.first = memory.numbers("first", tasks)?;
        self.second = memory.numbers("second", tasks)?;
        self.steps = memory.numbers("steps", tasks)?;
        Ok(())
    }
}
