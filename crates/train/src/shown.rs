//! What is shown of a sample: its picture, or that of its sound.

use cerberus_audio::{LogMel, LogMelConfig};
use cerberus_data::{Image, Input, Sample};
use cerberus_draw::{RgbImage, to_rgb};

/// The bands of the spectrogram that stands for a sound.
const BANDS: usize = 64;
/// Its rate does not matter for how it looks: windows and steps are in samples.
const RATE: u32 = 16000;

/// The sample's image; without one, the log-mel spectrogram of its sound, time from left to right and low pitches below;
/// without either, a gray square.
pub fn picture_of(sample: &Sample) -> RgbImage {
    if !sample.image.is_missing() {
        return to_rgb(&sample.image);
    }
    let sounds = sample
        .inputs
        .values()
        .find_map(|input| if let Input::Sound(sound) = input { Some(sound) } else { None });
    to_rgb(&sounds.and_then(|sound| spectrogram(sound)).unwrap_or_else(gray))
}

fn gray() -> Image {
    Image { height: 32, width: 32, channels: 1, pixels: vec![128u8; 32 * 32].into() }
}

fn spectrogram(sound: &[f32]) -> Option<Image> {
    let values = LogMel::<f32>::new(&LogMelConfig::new(RATE, BANDS)).ok()?.compute(sound);
    let frames = values.len() / BANDS;
    let [low, high] = [f32::min, f32::max].map(|of| values.iter().copied().reduce(of).unwrap_or(0.0));
    let scale = 255.0 / (high - low).max(1e-6);
    let pixel = |row: usize, frame: usize| ((values[frame * BANDS + BANDS - 1 - row] - low) * scale) as u8;
    let pixels: Vec<u8> =
        (0..BANDS).flat_map(|row| (0..frames).map(move |frame| pixel(row, frame))).collect();
    (frames > 0).then(|| Image { height: BANDS, width: frames, channels: 1, pixels: pixels.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_is_shown_as_its_spectrogram_and_nothing_as_gray() {
        let tone: Vec<f32> = (0..16000).map(|i| (i as f32 * 0.4).sin()).collect();
        let inputs = [("audio".to_string(), Input::Sound(tone.into()))];
        let heard = picture_of(&Sample { inputs: inputs.into(), ..Sample::default() });
        assert_eq!(heard.height(), 64);
        // The tone of about 1 kHz is the brightest row.
        let brightness =
            |row: u32| (0..heard.width()).map(|x| u64::from(heard.get_pixel(x, row)[0])).sum::<u64>();
        let brightest = (0..64).max_by_key(|&row| brightness(row)).unwrap();
        assert!((30..50).contains(&brightest), "row {brightest}");
        assert_eq!(picture_of(&Sample::default()).dimensions(), (32, 32));
    }
}
