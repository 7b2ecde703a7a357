//! Random changes of training sounds.
//!
//! Each is a function of its input, how strong it may be, and a stream of random numbers. A strength of 0 changes
//! nothing (for noise, that is an infinite distance in decibels). [`shift`], [`gain`], [`noise`] and [`mix`] keep the
//! length of a sound, [`speed`] does not: [`fit`](crate::fit) it afterwards. [`SpecAugment`] hides parts of a
//! spectrogram.
//!
//! ```
//! use cerberus_audio::augment::{gain, noise, shift};
//! use rand::SeedableRng;
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
//! let sound = vec![0.1; 1600];
//! let sound = shift(&sound, 160, &mut rng);
//! let sound = gain(&sound, 6.0, &mut rng);
//! let sound = noise(&sound, [10.0, 40.0], &mut rng);
//! assert_eq!(sound.len(), 1600);
//! ```

mod hide;
mod waveform;

pub use hide::SpecAugment;
pub use waveform::{gain, mix, noise, shift, speed};
