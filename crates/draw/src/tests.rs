//! Properties of the pictures that a test can check; the rest must be looked at.

use super::*;
use image::Rgb;

fn names() -> Vec<String> {
    ["Sneaker", "Bag", "Ankle boot"].map(str::to_owned).to_vec()
}

fn grey(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([120; 3]))
}

fn boxed(bbox: [f32; 4]) -> Annotated {
    Annotated { boxes: vec![DrawnBox { class: 1, bbox, score: Some(0.5) }], ..Annotated::default() }
}

fn contains(image: &RgbImage, color: Rgb<u8>) -> bool {
    image.pixels().any(|pixel| *pixel == color)
}

#[test]
fn boxes_at_and_beyond_the_edges_and_broken_ones_do_not_panic() {
    let image = grey(16, 16);
    for bbox in [
        [0.0, 0.0, 16.0, 16.0],
        [-50.0, -50.0, 500.0, 500.0],
        [3.0, 3.0, 3.0, 3.0],
        [9.0, 9.0, 2.0, 2.0],
        [90.0, 90.0, 99.0, 99.0],
        [f32::MIN, f32::MIN, f32::MAX, f32::MAX],
    ] {
        for scale in [0, 1, 4, u32::MAX] {
            if scale < u32::MAX || bbox[2] == 16.0 {
                overlay(&image, &boxed(bbox), &names(), scale);
            }
        }
    }
    let broken = overlay(&image, &boxed([f32::NAN, 0.0, f32::INFINITY, 5.0]), &names(), 4);
    assert!(!contains(&broken, class_color(1)), "a box that is not finite is left out");
}

#[test]
fn a_box_and_a_mask_show_the_colour_of_their_class() {
    let image = grey(32, 32);
    assert!(contains(&overlay(&image, &boxed([8.0, 8.0, 24.0, 24.0]), &names(), 4), class_color(1)));
    // The class in the mask has no box, so the legend shows the pure colour of class 3, which has the third name.
    let masked = Annotated { mask: Some((2, 2, vec![0, 3, u16::MAX, 0])), ..Annotated::default() };
    let picture = overlay(&image, &masked, &names(), 4);
    assert!(contains(&picture, class_color(2)));
    assert!(!contains(&picture, class_color(1)));
}

#[test]
fn a_class_beyond_255_is_in_the_legend_and_an_ignored_pixel_is_not() {
    let image = grey(32, 32);
    let page = |mask: [u16; 4]| {
        let masked = Annotated { mask: Some((2, 2, mask.to_vec())), ..Annotated::default() };
        overlay(&image, &masked, &[], 4)
    };
    let legend = page([0, 300, IGNORED_CLASS, 0]);
    assert!(contains(&legend, class_color(299)));
    assert!(page([0, 0, IGNORED_CLASS, 0]).height() < legend.height(), "an ignored pixel needs no legend");
}

#[test]
fn three_panels_fit_side_by_side_with_equal_margins() {
    let plain = Annotated::default();
    let picture = side_by_side(&grey(20, 30), &plain, &plain, &names(), 4);
    assert_eq!(picture.width(), 3 * 80 + 4 * 8);
    assert!(picture.height() > 120 && picture.height() < 160);
}

#[test]
fn empty_images_names_and_galleries_are_drawn_without_panic() {
    let mut annotated = boxed([0.0, 0.0, 5.0, 5.0]);
    annotated.title = "Überschuh, viel zu lang für das Bild".to_owned();
    annotated.title_correct = Some(false);
    annotated.mask = Some((1, 1, vec![200]));
    side_by_side(&RgbImage::new(0, 0), &annotated, &annotated, &[], 4);
    side_by_side(&grey(1, 1), &annotated, &annotated, &[], 1);
    assert_eq!(gallery(&[]).dimensions(), (1, 1));
    assert_eq!(gallery(&[grey(3, 4), grey(5, 6)]).dimensions(), (5, 10));
}

#[test]
fn small_images_are_enlarged_to_a_comfortable_size_and_large_ones_left() {
    assert_eq!(comfortable_scale(64, 64), 5);
    assert_eq!(comfortable_scale(28, 28), 8);
    assert_eq!(comfortable_scale(640, 480), 1);
    assert_eq!(comfortable_scale(0, 0), 8);
}

#[test]
fn an_encoded_picture_decodes_to_the_same_pixels() {
    let picture = overlay(&grey(8, 8), &boxed([1.0, 1.0, 6.0, 6.0]), &names(), 3);
    let bytes = encode_png(&picture).expect("encodes");
    assert_eq!(image::load_from_memory(&bytes).expect("decodes").to_rgb8(), picture);
}

#[test]
#[should_panic(expected = "a mask of 2 x 2 must hold 4 values, not 3")]
fn a_mask_of_the_wrong_size_is_named() {
    let annotated = Annotated { mask: Some((2, 2, vec![0; 3])), ..Annotated::default() };
    overlay(&grey(4, 4), &annotated, &[], 1);
}
