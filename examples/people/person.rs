//! A simulated person: a style, a mix of the base's classes, and pictures of scenes as they would take them.

use cerberus::data::{DataError, FashionScenes, Sample};
use cerberus::prelude::*;
use cerberus::tensor::random::{Stream, stream};
use rand::RngExt;

/// Pictures of each of the person's classes that can be shown.
pub const SHOWN: usize = 20;
/// Pictures without labels that tell the style.
const UNLABELLED: usize = 32;
/// Labelled pictures that adapters are tuned on.
const TUNED: usize = 5;
/// Pictures of the base's classes that are scored, and of each of the person's.
const SCORED: [usize; 2] = [80, 20];

/// All scenes, and where those of each class are.
pub struct Scenes {
    data: FashionScenes,
    /// Of training and test, for each class of garments the scenes that show it.
    places: [Vec<Vec<usize>>; 2],
    kept: Vec<usize>,
    own: Vec<usize>,
}

const SPLITS: [Split; 2] = [Split::Train, Split::Test];

impl Scenes {
    /// Scenes of all classes; the base knows those that are `kept`.
    pub fn new(data: FashionScenes, kept: &[usize]) -> Result<Self, DataError> {
        let classes = data.info().label("class").map_or(0, |label| label.classes.len());
        let mut places = [vec![Vec::new(); classes], vec![Vec::new(); classes]];
        for (places, split) in places.iter_mut().zip(SPLITS) {
            for index in 0..data.len(split) {
                // The subject depends on the index alone.
                if let Some(class) = data.sample(split, 0, index)?.class {
                    places[class].push(index);
                }
            }
        }
        let own = (0..classes).filter(|class| !kept.contains(class)).collect();
        Ok(Self { data, places, kept: kept.to_vec(), own })
    }

    fn draw(&self, split: usize, class: usize, epoch: u64, random: &mut Stream) -> Result<Sample, DataError> {
        let places = &self.places[split][class];
        self.data.sample(SPLITS[split], epoch, places[random.random_range(0..places.len())])
    }
}

/// What a person's camera and light do to a picture.
struct Style {
    /// Factors of red, green and blue.
    gains: [f32; 3],
    gamma: f32,
    contrast: f32,
    /// Standard deviations of noise, in shares of the range, and of blur, in pixels.
    noise: f32,
    blur: f32,
}

/// A person.
pub struct Person {
    number: u64,
    style: Style,
    /// The share of each of the base's classes in their pictures.
    mix: Vec<f64>,
    random: Stream,
}

/// Pictures of a person.
pub struct Pictures {
    /// Of each of their classes.
    pub shown: Vec<Vec<Sample>>,
    /// Without labels.
    pub unlabelled: Vec<Sample>,
    /// A few of the base's classes, with labels by the base's numbers, to tune adapters on.
    pub tuned: Vec<Sample>,
    /// Of the base's classes, with labels by the base's numbers, to be scored.
    pub known: Vec<Sample>,
    /// Of each of their classes, to be scored.
    pub own: Vec<Vec<Sample>>,
}

impl Person {
    /// Person `number` of those that a seed makes.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = stream(seed, "person", 0, number);
        let mut within = |low: f32, high: f32| low + (high - low) * random.random::<f32>();
        let style = Style {
            gains: [0; 3].map(|_| within(0.7, 1.3)),
            gamma: within(-0.5, 0.5).exp(),
            contrast: within(0.6, 1.2),
            noise: within(0.0, 0.08),
            blur: within(0.0, 1.0),
        };
        // Dirichlet with every exponent 1.
        let mut mix: Vec<f64> = (0..8).map(|_| -(1.0 - random.random::<f64>()).ln()).collect();
        let sum: f64 = mix.iter().sum();
        mix.iter_mut().for_each(|share| *share /= sum);
        Self { number, style, mix, random }
    }

    /// Their pictures; the same whenever they are asked for.
    pub fn pictures(&self, scenes: &Scenes) -> Result<Pictures, DataError> {
        let mut random = self.random.clone();
        // Training scenes of an epoch that the base never saw.
        let epoch = 1000 + self.number;
        let own = |split: usize, count: usize, random: &mut Stream| {
            let of = |class: &usize, random: &mut Stream| -> Result<Vec<Sample>, DataError> {
                (0..count)
                    .map(|_| Ok(self.taken(scenes.draw(split, *class, epoch, random)?, random)))
                    .collect()
            };
            scenes.own.iter().map(|class| of(class, random)).collect::<Result<Vec<_>, _>>()
        };
        let shown = own(0, SHOWN, &mut random)?;
        let scored = own(1, SCORED[1], &mut random)?;
        let mut mixed = |split: usize, count: usize, with_own: bool| -> Result<Vec<Sample>, DataError> {
            (0..count)
                .map(|_| {
                    let own = with_own && random.random_range(0..3) == 0;
                    let class = match own {
                        true => scenes.own[random.random_range(0..scenes.own.len())],
                        false => scenes.kept[self.class(&mut random)],
                    };
                    let sample = scenes.draw(split, class, epoch + 1_000_000, &mut random)?;
                    Ok(self.taken(sample, &mut random))
                })
                .collect()
        };
        let unlabelled = mixed(0, UNLABELLED, true)?;
        let known = mixed(1, SCORED[0], false)?.into_iter().map(|sample| scenes.as_base(sample)).collect();
        let tuned = mixed(0, TUNED, false)?.into_iter().map(|sample| scenes.as_base(sample)).collect();
        Ok(Pictures { shown, unlabelled, tuned, known, own: scored })
    }

    /// A training scene of one of the classes that the base knows, with labels by the base's numbers.
    pub fn takes(
        &self,
        scenes: &Scenes,
        class: usize,
        epoch: u64,
        random: &mut Stream,
    ) -> Result<Sample, DataError> {
        Ok(self.taken(scenes.seen(class, epoch, random)?, random))
    }

    /// One of the base's classes, by the mix.
    pub fn class(&self, random: &mut Stream) -> usize {
        let mut left: f64 = random.random();
        for (class, share) in self.mix.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return class;
            }
        }
        self.mix.len() - 1
    }

    /// The scene as this person's camera takes it.
    fn taken(&self, mut sample: Sample, random: &mut Stream) -> Sample {
        let style = &self.style;
        let (height, width) = (sample.image.height, sample.image.width);
        let mut values: Vec<f32> = sample.image.pixels.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        blur(&mut values, [height, width], style.blur);
        for (i, value) in values.iter_mut().enumerate() {
            let lit = (*value * style.gains[i % 3]).clamp(0.0, 1.0).powf(style.gamma);
            // Twelve uniform numbers add up to nearly a Gaussian.
            let noise: f32 = (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
            *value = (lit - 0.5) * style.contrast + 0.5 + style.noise * noise;
        }
        let bytes: Vec<u8> = values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
        sample.image.pixels = bytes.into();
        sample
    }
}

impl Scenes {
    /// A training scene of one of the classes that the base knows, with labels by the base's numbers.
    pub fn seen(&self, class: usize, epoch: u64, random: &mut Stream) -> Result<Sample, DataError> {
        Ok(self.as_base(self.draw(0, self.kept[class], epoch, random)?))
    }

    /// The names of the classes that the base does not know.
    pub fn own_names(&self) -> Vec<String> {
        let names = self.data.info().label("class").map_or(&[][..], |label| &label.classes);
        self.own.iter().map(|&class| names[class].clone()).collect()
    }

    /// The place of a garment's class among those that the base does not know.
    pub fn own_place(&self, class: usize) -> Option<usize> {
        self.own.iter().position(|&own| own == class)
    }

    /// How many classes the base knows.
    pub fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// The number of a garment's class among the base's, with the others after them.
    pub fn number(&self, class: usize) -> usize {
        let known = self.kept.iter().position(|&kept| kept == class);
        known.or_else(|| Some(self.kept.len() + self.own_place(class)?)).unwrap_or(usize::MAX)
    }

    /// With the base's numbers for classes; garments that it does not know are ignored.
    fn as_base(&self, mut sample: Sample) -> Sample {
        let place = |class: usize| self.kept.iter().position(|&kept| kept == class);
        sample.class = sample.class.and_then(place);
        if let Some(objects) = &mut sample.objects {
            for object in objects.iter_mut() {
                // A crowd is neither right nor wrong.
                let known = place(object.class);
                (object.class, object.crowd) = (known.unwrap_or(0), known.is_none());
            }
        }
        if let Some(mask) = &mut sample.mask {
            for id in &mut mask.classes {
                *id = match *id {
                    0 => 0,
                    own => {
                        place(usize::from(own) - 1).map_or(cerberus::data::IGNORED, |class| class as u16 + 1)
                    }
                };
            }
        }
        sample
    }
}

/// Gaussian blur of `[height, width, 3]`, rows and then columns; the border is continued.
fn blur(values: &mut [f32], [height, width]: [usize; 2], deviation: f32) {
    if deviation < 0.05 {
        return;
    }
    let weight = |offset: isize| (-0.5 * (offset as f32 / deviation).powi(2)).exp();
    let taps: Vec<(isize, f32)> = (-3..=3).map(|offset| (offset, weight(offset))).collect();
    let total: f32 = taps.iter().map(|(_, weight)| weight).sum();
    for along in [0, 1] {
        let before = values.to_vec();
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3 {
                    let at = |offset: isize| {
                        let step = |place: usize, side: usize| {
                            (place as isize + offset).clamp(0, side as isize - 1) as usize
                        };
                        let (y, x) = if along == 0 { (y, step(x, width)) } else { (step(y, height), x) };
                        before[(y * width + x) * 3 + channel]
                    };
                    let sum: f32 = taps.iter().map(|&(offset, weight)| weight * at(offset)).sum();
                    values[(y * width + x) * 3 + channel] = sum / total;
                }
            }
        }
    }
}
