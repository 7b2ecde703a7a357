//! Photos fitted to sizes with another aspect ratio.

use super::*;
use crate::photos::fit::MARGIN;
use crate::{Placement, ValueMap};

#[test]
fn image_box_and_mask_move_together_in_every_size_and_fit_and_the_margin_is_unknown() {
    let mut photo = consistent([10, 5, 30, 25]);
    let depth = ValueMap { height: 30, width: 40, values: vec![2.0; 1200] };
    photo.more.insert("depth".into(), Label::ValueMap(depth));
    for (index, fit) in (0..80).flat_map(|index| [(index, Fit::Stretch), (index, Fit::Letterbox)]) {
        let size = [[48, 80], [80, 48], [33, 70]][index as usize % 3];
        let [rows, columns] = size;
        let mut view = View::draw(&photo, 1.0, &mut stream(3, "test", 0, index));
        view.colour = Colour::NONE;
        let shown = show(&photo, &view, size, fit);
        let mask = shown.mask.unwrap();
        assert_eq!(
            [shown.image.height, shown.image.width, mask.height, mask.width],
            [rows, columns, rows, columns]
        );
        let placement = Placement::new(fit, [view.window[3], view.window[2]], size);
        let Label::ValueMap(depth) = &shown.more["depth"] else { panic!("a map stays a map") };
        for p in 0..rows * columns {
            let at = [p / columns, p % columns];
            let covered = (0..2).all(|axis| {
                (placement.offset[axis]..placement.offset[axis] + placement.covered[axis]).contains(&at[axis])
            });
            assert_eq!(mask.classes[p] == IGNORED, !covered);
            assert_eq!(depth.values[p].is_nan(), !covered);
            assert!(covered || shown.image.pixels[3 * p..3 * p + 3] == [MARGIN; 3]);
        }
        // The mask contains the pixels whose centre lies in the box, up to the rounding of one source pixel.
        let bbox = shown.objects.unwrap()[0].bbox;
        let slack = placement.scale().map(|scale| scale.max(1.0));
        let lit = || (0..rows * columns).filter(|&p| mask.classes[p] == 1);
        let sides = [
            lit().map(|p| p % columns).min().unwrap(),
            lit().map(|p| p / columns).min().unwrap(),
            lit().map(|p| p % columns + 1).max().unwrap(),
            lit().map(|p| p / columns + 1).max().unwrap(),
        ];
        let near = (0..4).all(|side| (sides[side] as f32 - bbox[side]).abs() <= slack[side % 2]);
        assert!(near, "{fit:?} {view:?}: the mask reaches over {sides:?}, the box is {bbox:?}");
        let agree =
            (0..rows * columns).filter(|&p| (shown.image.pixels[3 * p] > 127) == (mask.classes[p] == 1));
        assert!(agree.count() as f32 > 0.93 * (rows * columns) as f32, "{fit:?} {view:?}");
    }
}

#[test]
fn letterboxed_photographs_of_a_folder_keep_their_proportions() {
    let folder = tempdir().unwrap();
    pets(folder.path(), &[row("A_1", 0, "12,6,20,12,10,5,30,25")], "\n");
    let options = |fit| PhotoOptions { size: [30, 80], fit, augment: 0.0, ..options(16) };
    let open = |fit| Photos::open(folder.path(), 1, options(fit)).unwrap();
    let of = |fit| open(fit).sample(Split::Train, 0, 0).unwrap();
    let boxed = of(Fit::Letterbox);
    // 40x30 pixels fit without scaling, with 20 columns on each side.
    assert_eq!(boxed.objects.unwrap()[0].bbox, [30.0, 5.0, 50.0, 25.0]);
    let first: Vec<u8> = (0..80).map(|column| boxed.image.pixels[3 * (80 * 10 + column)]).collect();
    assert_eq!(first, [vec![MARGIN; 20], vec![0; 10], vec![255; 20], vec![0; 10], vec![MARGIN; 20]].concat());
    let stretched = of(Fit::Stretch);
    assert_eq!(stretched.objects.unwrap()[0].bbox, [20.0, 5.0, 60.0, 25.0]);
    assert_eq!([open(Fit::Stretch).info().height, open(Fit::Stretch).info().width], [30, 80]);
}

/// A photo that is much larger than its samples is shrunk once; this must not move its box.
#[test]
fn photographs_far_larger_than_their_samples_keep_boxes_in_their_place() {
    let folder = tempdir().unwrap();
    let (height, width) = (90, 400);
    let inside = |p: usize| (200..280).contains(&(p % width)) && (30..60).contains(&(p / width));
    let pixels: Vec<u8> = (0..height * width).flat_map(|p| [if inside(p) { 255 } else { 0 }; 3]).collect();
    let image = Image { height, width, channels: 3, pixels: pixels.into() };
    fs::create_dir_all(folder.path().join("images")).unwrap();
    fs::create_dir_all(folder.path().join("labels")).unwrap();
    fs::write(folder.path().join("images/a.png"), image.to_png().unwrap()).unwrap();
    fs::write(folder.path().join("labels/a.txt"), "0 0.6 0.5 0.2 0.33333334\n").unwrap();
    fs::write(folder.path().join("data.yaml"), "path: .\ntrain: images\nval: images\nnames: [white]\n")
        .unwrap();
    for (fit, size) in
        [Fit::Stretch, Fit::Letterbox].into_iter().flat_map(|fit| [(fit, [16, 24]), (fit, [24, 16])])
    {
        let photos =
            Photos::open(folder.path(), 1, PhotoOptions { size, fit, augment: 0.0, ..options(16) }).unwrap();
        let shown = photos.sample(Split::Train, 0, 0).unwrap();
        let wanted = Placement::new(fit, [height, width], size).to_network([200.0, 30.0, 280.0, 60.0]);
        let found = shown.objects.unwrap()[0].bbox;
        assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-3), "{fit:?} {size:?}: {found:?}");
    }
}

#[test]
fn configurations_with_one_number_for_the_size_load_as_squares_that_are_stretched() {
    let old = r#"{"size": 96, "hold_back": 0.2, "repeats": 10, "augment": 1.0}"#;
    let read: PhotoOptions = serde_json::from_str(old).unwrap();
    assert_eq!(
        read,
        PhotoOptions { size: [96, 96], fit: Fit::Stretch, hold_back: 0.2, ..PhotoOptions::default() }
    );
    let new = PhotoOptions { size: [96, 160], fit: Fit::Letterbox, ..PhotoOptions::default() };
    let text = serde_json::to_string(&new).unwrap();
    assert!(text.contains("[96,160]") && text.contains("\"letterbox\""), "{text}");
    assert_eq!(serde_json::from_str::<PhotoOptions>(&text).unwrap(), new);
    let wrong =
        serde_json::from_str::<PhotoOptions>(&old.replace("96", "\"large\"")).unwrap_err().to_string();
    assert!(wrong.contains("[rows, columns]"), "{wrong}");
}

#[test]
fn a_size_out_of_range_is_refused_with_both_sides() {
    let folder = tempdir().unwrap();
    for (size, told) in [([96, 7], "96x7"), ([5000, 96], "5000x96"), ([7, 7], " 7:")] {
        let opened = Photos::open(folder.path(), 1, PhotoOptions { size, ..PhotoOptions::default() });
        let message = opened.err().unwrap().to_string();
        assert!(message.contains(told) && message.contains("8 to 4096"), "{message}");
    }
}
