//! A sound in memory.

/// Samples of one or several channels at a rate.
///
/// ```
/// use cerberus_audio::Sound;
/// let sound = Sound { rate: 8000, channels: vec![vec![0.5; 4000], vec![-0.25; 4000]] };
/// assert_eq!(sound.duration(), 0.5);
/// assert_eq!(sound.mono()[0], 0.125);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples per second of each channel, in hertz.
    pub rate: u32,
    /// The samples of each channel, all of the same number. Full scale is -1 to 1; files of floats may exceed it.
    pub channels: Vec<Vec<f32>>,
}

impl Sound {
    /// Samples of a channel; 0 without channels.
    pub fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its length in seconds; 0 if the rate is 0.
    pub fn duration(&self) -> f64 {
        if self.rate == 0 { 0.0 } else { self.len() as f64 / f64::from(self.rate) }
    }

    /// The mean of the channels at each sample.
    ///
    /// # Panics
    /// If a channel is shorter than the first.
    #[track_caller]
    pub fn mono(&self) -> Vec<f32> {
        if let [only] = &self.channels[..] {
            return only.clone();
        }
        let share = 1.0 / self.channels.len() as f64;
        let mean = |place: usize| {
            let sum: f64 = self.channels.iter().map(|channel| f64::from(channel[place])).sum();
            (sum * share) as f32
        };
        (0..self.len()).map(mean).collect()
    }
}
