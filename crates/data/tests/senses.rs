//! Data sets of several inputs, from files to batches.

use std::path::Path;
use std::sync::Arc;

use cerberus_audio::{Sound, WavFormat, write_wav};
use cerberus_data::{
    AUDIO, AugmentConfig, Augmented, Batch, DataError, Dataset, IMAGE, IdxClasses, Image, Input, InputKind,
    MovingScenes, Obscured, OperationConfig, Paired, Sample, Sounds, Split, VIDEO, Without, idx, open,
};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// A tone of `hertz` that lasts `seconds`.
fn tone(hertz: f32, seconds: f32, rate: u32) -> Sound {
    let len = (seconds * rate as f32) as usize;
    let sample = |place: usize| (place as f32 * hertz * std::f32::consts::TAU / rate as f32).sin() * 0.5;
    Sound { rate, channels: vec![(0..len).map(sample).collect()] }
}

fn write(path: &Path, sound: &Sound) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_wav(path, sound, WavFormat::Int16).unwrap();
}

/// Recordings of two digits by three speakers, `DIGIT_SPEAKER_NUMBER.wav`.
fn recordings(folder: &Path) {
    for digit in 0..2 {
        for speaker in ["ann", "bob", "cy"] {
            for number in 0..12 {
                let sound = tone(200.0 + 300.0 * digit as f32, 0.2 + 0.01 * number as f32, 4000);
                write(&folder.join(format!("{digit}_{speaker}_{number}.wav")), &sound);
            }
        }
    }
}

/// Pictures of two digits, 20 to train on and 6 to test on, as IDX files.
fn pictures(folder: &Path) {
    for (name, count) in [("train", 40_usize), ("t10k", 6)] {
        let labels: Vec<u8> = (0..count).map(|index| (index % 2) as u8).collect();
        let pixels: Vec<u8> = labels.iter().flat_map(|&label| vec![100 + 100 * label; 8 * 8]).collect();
        let images = idx::IdxImages { count, height: 8, width: 8, pixels };
        let mut out = Vec::new();
        idx::write_images(&images, &mut out).unwrap();
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), &out).unwrap();
        out.clear();
        idx::write_labels(&labels, &mut out).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), &out).unwrap();
    }
}

fn sound_of(sample: &Sample) -> &[f32] {
    let Input::Sound(sound) = &sample.inputs[AUDIO] else { panic!("no sound") };
    sound
}

#[test]
fn the_left_out_speaker_is_heard_in_the_test_part_alone() {
    let folder = tempfile::tempdir().unwrap();
    recordings(folder.path());
    assert_eq!(Sounds::groups(folder.path()).unwrap(), ["ann", "bob", "cy"]);
    for (group, chosen) in [(Some("ann"), "ann"), (None, "cy")] {
        let data = Sounds::open(folder.path(), group, 1).unwrap();
        assert_eq!(SPLITS.map(|split| data.len(split)).iter().sum::<usize>(), 72, "{chosen}");
        assert_eq!(data.len(Split::Test), 24, "{chosen}");
        assert!(data.len(Split::Validation) > 0, "{chosen}");
        assert_eq!((data.rate(), data.info().channels), (4000, 0));
        let InputKind::Sound { rate, len } = data.info().inputs[0].kind else { panic!("no sound") };
        // 0.31 s cover 95 of 100 recordings.
        assert_eq!((rate, len), (4000, 1600));
        for split in SPLITS {
            for index in 0..data.len(split) {
                let sample = data.sample(split, 3, index).unwrap();
                assert!(sample.image.is_missing() && sound_of(&sample).len() == len);
                assert!(sound_of(&sample).iter().any(|value| *value != 0.0));
                assert_eq!(sample, data.sample(split, 3, index).unwrap());
            }
            assert!(matches!(data.sample(split, 0, 72), Err(DataError::NoSuchSample { .. })));
        }
    }
    let told = Sounds::open(folder.path(), Some("dan"), 1).err().unwrap().to_string();
    assert!(told.contains("ann, bob, cy"), "{told}");
}

#[test]
fn folders_are_classes_and_other_rates_and_channels_are_changed() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["dog", "cat"] {
        for number in 0..20 {
            let mut sound = tone(300.0, 0.3, if number % 2 == 0 { 8000 } else { 16000 });
            sound.channels.push(sound.channels[0].clone());
            write(&folder.path().join(class).join(format!("{number}.WAV")), &sound);
        }
    }
    let data = open(&folder.path().display().to_string(), 1).unwrap();
    assert_eq!(data.info().labels[0].classes, ["cat", "dog"]);
    assert!(SPLITS.iter().all(|&split| data.len(split) > 0));
    let sample = data.sample(Split::Train, 0, 0).unwrap();
    assert_eq!(sound_of(&sample).len(), 2400);

    let parts = tempfile::tempdir().unwrap();
    for part in ["Train", "test"] {
        for class in ["a", "b"] {
            write(&parts.path().join(part).join(class).join("x1.wav"), &tone(300.0, 0.3, 8000));
            write(&parts.path().join(part).join(class).join("x2.wav"), &tone(300.0, 0.3, 8000));
        }
    }
    let data = Sounds::open(parts.path(), None, 1).unwrap();
    assert_eq!(data.len(Split::Test), 4);
}

#[test]
fn folders_that_are_no_recordings_are_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let told = |folder: &Path| Sounds::open(folder, None, 1).err().unwrap().to_string();
    assert!(told(folder.path()).contains("no .wav file"));
    assert!(told(&folder.path().join("none")).contains("cannot read"));
    write(&folder.path().join("voice.wav"), &tone(300.0, 0.1, 8000));
    assert!(told(folder.path()).contains("CLASS_GROUP_NUMBER.wav"));
    std::fs::remove_file(folder.path().join("voice.wav")).unwrap();
    for name in ["a", "b", "c", "d"] {
        write(&folder.path().join(format!("one/{name}.wav")), &tone(300.0, 0.1, 8000));
    }
    assert!(told(folder.path()).contains("one class, one"));
    std::fs::create_dir(folder.path().join("two")).unwrap();
    for name in ["a", "b", "c", "d"] {
        std::fs::write(folder.path().join(format!("two/{name}.wav")), b"RIFF").unwrap();
    }
    let broken = told(folder.path());
    assert!(broken.contains("two") && broken.contains(".wav"), "{broken}");
}

#[test]
fn digits_are_paired_by_class_within_each_part_and_their_pictures_are_hard_to_see() {
    let folder = tempfile::tempdir().unwrap();
    let [seen, heard] = ["seen", "heard"].map(|name| folder.path().join(name));
    std::fs::create_dir(&seen).unwrap();
    pictures(&seen);
    recordings(&heard.join("recordings"));
    let name = format!("digits:{},{},bob", seen.display(), heard.display());
    let data = open(&name, 1).unwrap();
    assert_eq!((data.info().height, data.info().inputs[0].name.as_str()), (8, AUDIO));
    // The smaller set is gone through: 6 test pictures, 24 recordings.
    assert_eq!(data.len(Split::Test), 6);
    let alone = Sounds::open(&heard, Some("bob"), 1).unwrap();
    for split in SPLITS {
        for index in 0..data.len(split) {
            let sample = data.sample(split, 0, index).unwrap();
            // Of the pictures of class 1, what is seen is brighter; the tones have 200 and 500 Hz.
            let sound = sound_of(&sample);
            let crossings = sound.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
            let length = sound.iter().filter(|value| **value != 0.0).count();
            let hertz = crossings as f64 / 2.0 / (length as f64 / 4000.0);
            assert_eq!(sample.class, Some(usize::from(hertz > 350.0)), "{split} {index}: {hertz} Hz");
        }
        assert!(alone.len(split) > 0);
    }
    let pictures_of = |epoch: u64| data.sample(Split::Train, epoch, 0).unwrap();
    assert_ne!(pictures_of(0).image, pictures_of(1).image);
    let of_test = |epoch: u64| data.sample(Split::Test, epoch, 0).unwrap();
    assert_eq!(of_test(0), of_test(1));
    for wrong in ["digits:", "digits:a", "digits:a,b,c,d"] {
        assert!(open(wrong, 1).is_err(), "{wrong}");
    }
}

#[test]
fn sets_of_other_classes_are_no_pair() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let seen: Arc<dyn Dataset> = Arc::new(IdxClasses::from_folder(folder.path()).unwrap());
    for class in ["cat", "dog"] {
        for number in 0..20 {
            write(
                &folder.path().join("wavs").join(class).join(format!("{number}.wav")),
                &tone(300.0, 0.1, 4000),
            );
        }
    }
    let heard: Arc<dyn Dataset> = Arc::new(Sounds::open(&folder.path().join("wavs"), None, 1).unwrap());
    let told = Paired::new("pair", Arc::clone(&seen), heard, 1).err().unwrap().to_string();
    assert!(told.contains("cat, dog"), "{told}");
    assert!(Obscured::new(seen, f64::NAN, 1).is_err());
}

#[test]
fn what_is_taken_away_is_missing_and_batches_say_of_which_samples() {
    let data: Arc<dyn Dataset> = Arc::new(MovingScenes::embedded(1).with_frames(3).unwrap());
    let sample = |index| data.sample(Split::Test, 0, index).unwrap();
    let mut samples = [sample(0), sample(1), sample(2)];
    samples[1].image = Image::missing();
    samples[1].mask = None;
    samples[2].inputs.clear();
    let batch = Batch::assemble(&samples, vec![0, 1, 2]).unwrap();
    assert_eq!(batch.images.shape(), [3, 64, 64, 3]);
    assert!(batch.images.narrow(0, 1, 1).to_vec().iter().all(|value| *value == 0.0));
    let [image, video] = [IMAGE, VIDEO].map(|name| batch.input(name).unwrap());
    assert_eq!((image.places, video.places), (vec![0, 2], vec![0, 1]));
    assert_eq!(video.values.shape(), [2, 3, 64, 64, 3]);
    // The last frame is the image.
    let last = video.values.narrow(1, 2, 1).to_vec();
    assert_eq!(last[..64 * 64 * 3], batch.images.narrow(0, 0, 1).to_vec());
    let part = batch.select(&[1, 2]);
    assert_eq!(part.input(VIDEO).unwrap().places, [0]);
    assert_eq!(part.input(IMAGE).unwrap().places, [1]);
    assert_eq!(batch.narrow(2, 1).inputs.len(), 0);
    assert!(
        batch.clone().without(VIDEO).input(VIDEO).is_none() && batch.without(IMAGE).input(IMAGE).is_none()
    );

    let without = Without::new(Arc::clone(&data), &[VIDEO.into(), IMAGE.into()]);
    let bare = without.sample(Split::Test, 0, 0).unwrap();
    assert!(bare.image.is_missing() && bare.inputs.is_empty() && bare.objects.is_some());

    let mut odd = sample(0);
    odd.inputs.insert(VIDEO.into(), Input::Clip(vec![odd.image.clone()].into()));
    let told = Batch::assemble(&[sample(1), odd], vec![4, 5]).unwrap_err().to_string();
    assert!(told.contains("video of sample 5 is 1 frames"), "{told}");
}

#[test]
fn all_frames_of_a_clip_are_changed_alike() {
    let data: Arc<dyn Dataset> = Arc::new(MovingScenes::embedded(1).with_frames(3).unwrap());
    let turned = OperationConfig { probability: Some(1.0), ..OperationConfig::new("rotation") };
    let config = AugmentConfig { operations: vec![turned] };
    let changed = Augmented::new(Arc::clone(&data), &config, 1).unwrap();
    let [before, after] =
        [&*data, &changed as &dyn Dataset].map(|data| data.sample(Split::Train, 0, 0).unwrap());
    assert_ne!(before.image, after.image);
    let Input::Clip(frames) = &after.inputs[VIDEO] else { panic!("no clip") };
    assert_eq!(frames[2], after.image);
    let mixing = AugmentConfig { operations: vec![OperationConfig::new("mixup")] };
    let told = Augmented::new(data, &mixing, 1).err().unwrap().to_string();
    assert!(told.contains("mixes pictures alone"), "{told}");
}
