//! The rules for moving scenes.

use super::*;
use crate::IGNORED;

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn scenes() -> MovingScenes {
    MovingScenes::embedded(5)
}

fn scene(data: &MovingScenes, split: Split, index: usize) -> Scene<'_> {
    data.compose(split, 2, index).unwrap().0
}

/// One motion of each class.
fn motions(index: usize) -> Vec<Motion> {
    let mut random = stream_of(1, "tried", Split::Train, 0, index);
    (0..MOTIONS.len()).map(|class| Motion::of_class(class, &mut random)).collect()
}

#[test]
fn the_last_frame_and_its_labels_are_the_same_whatever_the_motion() {
    let data = scenes();
    for split in SPLITS {
        for index in [0, 3, 77] {
            let mut samples = Vec::new();
            for (class, motion) in motions(index).into_iter().enumerate() {
                let random = stream_of(9, "noise", split, class as u64, index);
                let (clip, mut sample) = scene(&data, split, index).film(motion, 3, random);
                assert_eq!(clip.frames.last(), Some(&sample.image));
                assert_eq!(sample.more.remove(MovingScenes::MOTION), Some(Label::Class(class)));
                samples.push(sample);
            }
            assert!(samples.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }
}

#[test]
fn every_motion_and_subject_appears_and_neither_tells_the_other() {
    let data = scenes();
    // [subject, motion]
    let mut counts = [[0; MOTIONS.len()]; GARMENTS.len()];
    for index in 0..data.len(Split::Test) {
        let (scene, motion, _) = data.compose(Split::Test, 0, index).unwrap();
        counts[scene.cutout.class][motion.class()] += 1;
    }
    // 200 of each subject: 17 expected, with a standard deviation of 4.
    assert!(counts.iter().flatten().all(|&count| (4..=34).contains(&count)), "{counts:?}");
    // 2,000 in all: 167 expected, with a standard deviation of 12.
    let of = |motion: usize| counts.iter().map(|counts| counts[motion]).sum::<i32>();
    assert!((0..MOTIONS.len()).all(|motion| (118..=216).contains(&of(motion))), "{counts:?}");
}

#[test]
fn the_sample_is_the_last_frame_of_the_clip_for_any_number_of_frames() {
    let fine = scenes().with_frames(11).unwrap();
    let data = scenes();
    for split in SPLITS {
        let (clip, sample) = data.clip(split, 1, 8).unwrap();
        assert_eq!((clip.frames.len(), clip.rate), (FRAMES, FRAMES as f64));
        assert!(clip.frames.iter().all(|frame| (frame.height, frame.width, frame.channels) == (64, 64, 3)));
        let whole = data.sample(split, 1, 8).unwrap();
        assert_eq!(whole.inputs[VIDEO], Input::Clip(clip.frames.into()));
        assert_eq!(Sample { inputs: BTreeMap::new(), ..whole }, sample);
        let (clip, other) = fine.clip(split, 1, 8).unwrap();
        assert_eq!((clip.frames.len(), other), (11, sample));
    }
    assert!(scenes().with_frames(1).is_err() && scenes().with_frames(65).is_err());
}

#[test]
fn clips_are_pure_functions_and_only_training_depends_on_seed_and_epoch() {
    let (a, b, other) = (scenes(), scenes(), MovingScenes::embedded(6));
    for index in [4, 9] {
        for split in SPLITS {
            let clip = a.clip(split, 3, index).unwrap();
            assert_eq!(clip, b.clip(split, 3, index).unwrap());
            let fixed = split != Split::Train;
            assert_eq!(clip == a.clip(split, 4, index).unwrap(), fixed);
            assert_eq!(clip == other.clip(split, 3, index).unwrap(), fixed);
        }
    }
    let message = a.clip(Split::Test, 0, 2000).unwrap_err().to_string();
    assert!(message.contains("test split") && message.contains("2000"), "{message}");
}

/// The subject alone in a pose: its pixels, and their centre and number.
fn seen(scene: &Scene, pose: &Pose) -> ([f64; 2], f64) {
    let (sprite, place) = Sprite::posed(scene.garments, &scene.cutout, scene.flip, pose);
    let (mut sum, mut count) = ([0.0; 2], 0.0);
    for (y, &row) in Placed::at(sprite, [1.0; 3], place).pixels.iter().enumerate() {
        for x in layout::ones(row) {
            sum = [sum[0] + x as f64 + 0.5, sum[1] + y as f64 + 0.5];
            count += 1.0;
        }
    }
    (sum.map(|sum| sum / count), count)
}

#[test]
fn the_subject_stays_mostly_inside_in_all_frames() {
    let data = scenes();
    for index in (0..2000).step_by(29) {
        let scene = scene(&data, Split::Test, index);
        let middle = Pose { centre: [32.0; 2], ..scene.pose };
        for motion in motions(index) {
            for back in [0.0, 0.5, 1.0] {
                let pose = motion.before(&scene.pose, back, scene.travel);
                // Without anything cut off: a garment of any size fits in around the middle.
                let whole = seen(&scene, &Pose { centre: middle.centre, ..pose }).1;
                let inside = seen(&scene, &pose).1;
                assert!(inside >= 0.7 * whole, "clip {index}, {motion:?}: {inside} of {whole} pixels");
            }
        }
    }
}

#[test]
fn the_subject_moves_as_the_class_says() {
    let data = scenes();
    for index in (0..1000).step_by(83) {
        let mut scene = scene(&data, Split::Validation, index);
        // In the middle, where nothing is cut off.
        scene.pose.centre = [32.0; 2];
        let travel = f64::from(scene.travel);
        let (end, last) = seen(&scene, &scene.pose);
        for motion in motions(index) {
            let (start, first) = seen(&scene, &motion.before(&scene.pose, 1.0, scene.travel));
            let moved = [end[0] - start[0], end[1] - start[1]];
            let near =
                |a: f64, b: f64| assert!((a - b).abs() < 1.5, "clip {index}, {motion:?}: {a} is not {b}");
            let half = travel * 0.5f64.sqrt();
            let expected = match MOTIONS[motion.class()] {
                "right" => [travel, 0.0],
                "down-right" => [half, half],
                "down" => [0.0, travel],
                "down-left" => [-half, half],
                "left" => [-travel, 0.0],
                "up-left" => [-half, -half],
                "up" => [0.0, -travel],
                "up-right" => [half, -half],
                _ => moved,
            };
            near(moved[0], expected[0]);
            near(moved[1], expected[1]);
            let growth = last / first;
            match motion {
                Motion::Coming(growth_) => assert!(growth > 0.8 * f64::from(growth_).powi(2), "{growth}"),
                Motion::Going(growth_) => assert!(growth * f64::from(growth_).powi(2) < 1.25, "{growth}"),
                _ => assert!((growth - 1.0).abs() < 0.2, "clip {index}, {motion:?}: grew to {growth}"),
            }
        }
    }
}

#[test]
fn a_turning_subject_turns_and_a_still_one_changes_by_noise_alone() {
    let data = scenes();
    let still = scene(&data, Split::Test, 50);
    for back in [0.3, 1.0] {
        assert_eq!(Motion::Still.before(&still.pose, back, still.travel), still.pose);
        let turned = Motion::Turning(90.0).before(&still.pose, back, still.travel);
        assert_eq!((turned.centre, turned.side), (still.pose.centre, still.pose.side));
        assert!((still.pose.angle - turned.angle - back * std::f32::consts::FRAC_PI_2).abs() < 1e-6);
    }
    // A quarter turn of the pixels themselves, clockwise: up becomes right.
    let level = Pose { centre: [32.0; 2], side: 28.0, angle: 0.0 };
    let [plain, turned] = [0.0, std::f32::consts::FRAC_PI_2].map(|angle| {
        let pose = Pose { angle, ..level };
        let (sprite, place) = Sprite::posed(still.garments, &still.cutout, false, &pose);
        let mut canvas = vec![0.0; SCENE_SIZE * SCENE_SIZE * 3];
        paint::garment(&mut canvas, &Placed::at(sprite, [1.0; 3], place));
        canvas
    });
    for y in 0..SCENE_SIZE {
        for x in 0..SCENE_SIZE {
            let (a, b) = (plain[(y * SCENE_SIZE + x) * 3], turned[(x * SCENE_SIZE + SCENE_SIZE - 1 - y) * 3]);
            assert!((a - b).abs() < 1e-3, "at {x}, {y}: {a} {b}");
        }
    }
    assert!(plain.iter().sum::<f32>() > 100.0);
}

#[test]
fn boxes_and_masks_are_those_of_the_subjects_visible_pixels() {
    let data = scenes();
    let mut hidden = 0;
    for index in (0..1000).step_by(23) {
        let scene = scene(&data, Split::Validation, index);
        let sample = data.sample(Split::Validation, 2, index).unwrap();
        let visible = scene.layout.visible()[0];
        let mask = sample.mask.unwrap().classes;
        let expected = scene.cutout.class as u16 + 1;
        let mut count = 0;
        for (place, &class) in mask.iter().enumerate() {
            let set = visible[place / SCENE_SIZE] >> (place % SCENE_SIZE) & 1 == 1;
            assert_eq!(class, if set { expected } else { 0 });
            assert!(class != IGNORED);
            count += u32::from(set);
        }
        let all: u32 = scene.layout.garments[0].pixels.iter().map(|row| row.count_ones()).sum();
        assert!((all - count) * layout::HIDDEN_AT_MOST_ONE_IN <= all);
        hidden += usize::from(count < all);
        let objects = sample.objects.unwrap();
        assert_eq!(objects, [Object::new(scene.cutout.class, layout::tight_box(&visible))]);
        assert_eq!(sample.more[MovingScenes::SUBJECT], Label::Class(scene.cutout.class));
    }
    assert!(hidden > 5, "only {hidden} of 44 subjects are partly hidden");
}

#[test]
fn the_subject_is_often_but_not_always_the_largest_garment() {
    let data = scenes();
    let (mut largest, mut all) = (0, 0);
    for index in (0..data.len(Split::Test)).step_by(5) {
        let layout = scene(&data, Split::Test, index).layout;
        let area = |garment: &Placed| garment.pixels.iter().map(|row| row.count_ones()).sum::<u32>();
        let areas: Vec<u32> = layout.garments.iter().map(area).collect();
        largest += usize::from(areas[1..].iter().all(|&other| other < areas[0]));
        all += 1;
    }
    let share = largest as f64 / all as f64;
    assert!((0.6..0.85).contains(&share), "{share}");
}
