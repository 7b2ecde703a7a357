//! The pixels that a text must draw in every script, and how texts are measured and shortened.

use super::*;
use crate::canvas::Canvas;
use image::{Rgb, RgbImage};

const PLAIN: TextStyle = TextStyle { zoom: 1, bold: false };
/// The last private-use character: no font has it, or ever will.
const UNKNOWN: &str = "\u{10fffd}";
const ALL_STYLES: [TextStyle; 4] = [
    PLAIN,
    TextStyle { zoom: 1, bold: true },
    TextStyle { zoom: 2, bold: false },
    TextStyle { zoom: 2, bold: true },
];

/// Two class names in each script.
const NAMES: [(&str, &str, &str); 24] = [
    ("Latin", "Tür", "Ångström"),
    ("Vietnamese", "Tiếng", "Việt"),
    ("Greek", "γάτα", "σκύλος"),
    ("Cyrillic", "щётка", "їжак"),
    ("Hebrew", "כלב", "חתול"),
    ("Arabic", "قطة", "كلب"),
    ("Persian", "گربه", "پرنده"),
    ("Thai", "แมว", "น้ำ"),
    ("Devanagari", "बिल्ली", "कुत्ता"),
    ("Bengali", "বিড়াল", "কুকুর"),
    ("Gurmukhi", "ਬਿੱਲੀ", "ਕੁੱਤਾ"),
    ("Gujarati", "બિલાડી", "કૂતરો"),
    ("Tamil", "பூனை", "நாய்"),
    ("Telugu", "పిల్లి", "కుక్క"),
    ("Malayalam", "പൂച്ച", "നായ"),
    ("Sinhala", "පූසා", "බල්ලා"),
    ("Khmer", "ឆ្មា", "ឆ្កែ"),
    ("Myanmar", "ကြောင်", "ခွေး"),
    ("Georgian", "კატა", "ძაღლი"),
    ("Armenian", "կատու", "շուն"),
    ("Ethiopic", "ድመት", "ውሻ"),
    ("Chinese", "碗", "熊貓"),
    ("Japanese", "ねこ", "カタカナ"),
    ("Korean", "고양이", "똠양꿍"),
];

fn drawn(text: &str, style: TextStyle) -> RgbImage {
    let mut canvas = Canvas::new(160 * style.zoom, 24 * style.zoom, Rgb([255; 3]));
    canvas.text(4, 8 * style.zoom, text, style, Rgb([0; 3]));
    canvas.image
}

#[test]
fn a_name_in_any_script_leaves_ink_unlike_another_name_and_unlike_boxes() {
    for style in ALL_STYLES {
        for (script, name, other) in NAMES {
            let picture = drawn(name, style);
            assert_ne!(picture, drawn("", style), "{script}");
            assert_ne!(picture, drawn(other, style), "{script}");
            for name in [name, other] {
                assert!(
                    Line::new(name, style).glyphs.iter().all(|placed| placed.glyph.is_some()),
                    "{script}: {name}"
                );
            }
        }
    }
}

#[test]
fn a_letter_without_a_font_is_a_box_among_the_others() {
    for style in ALL_STYLES {
        let with_box = format!("a{UNKNOWN}b");
        assert_ne!(drawn(&with_box, style), drawn("ab", style));
        assert_eq!(
            Line::new(&with_box, style).glyphs.iter().filter(|placed| placed.glyph.is_none()).count(),
            1
        );
        assert_eq!(style.width(UNKNOWN), 8 * style.zoom);
    }
}

#[test]
fn a_text_grows_with_each_of_its_letters() {
    for style in ALL_STYLES {
        for (script, name, other) in NAMES {
            let (name, both) = (style.width(name), style.width(&format!("{name}{other}")));
            assert!(name > 0 && both > name, "{script}: {name}, then {both}");
        }
        let text = "Ill-fitting boots, 0.93";
        let widths: Vec<i64> = (0..=text.len()).map(|end| style.width(&text[..end])).collect();
        assert!(widths.is_sorted_by(|a, b| a < b), "{widths:?}");
    }
}

#[test]
fn ink_stays_within_the_measured_width_and_a_pixel_at_either_side() {
    for style in ALL_STYLES {
        for (script, name, _) in NAMES {
            let picture = drawn(name, style);
            let inked = |&x: &u32| (0..picture.height()).any(|y| picture.get_pixel(x, y).0[0] < 128);
            let columns: Vec<i64> = (0..picture.width()).filter(inked).map(i64::from).collect();
            let (first, last) = (columns[0], columns[columns.len() - 1]);
            let margin = style.zoom + style.strike().ceil() as i64;
            assert!(first >= 4 - margin, "{script} starts at {first}");
            assert!(last < 4 + style.width(name) + margin, "{script} ends at {last}, {}", style.width(name));
        }
    }
}

#[test]
fn capitals_and_small_letters_end_on_whole_rows() {
    // The rows of a flat letter are either full of ink or empty: no row is a blurred edge.
    for style in [ALL_STYLES[0], ALL_STYLES[2]] {
        for (letter, height) in [("T", 8), ("z", 6)] {
            let picture = drawn(letter, style);
            let darkest = |y: u32| (0..picture.width()).map(|x| picture.get_pixel(x, y).0[0]).min();
            let baseline = 16 * style.zoom as u32;
            let top = baseline - height * style.zoom as u32;
            assert!(darkest(top).is_some_and(|ink| ink < 40), "{letter}: {:?}", darkest(top));
            assert!(darkest(top - 1).is_some_and(|ink| ink > 245), "{letter}: {:?}", darkest(top - 1));
            assert!(darkest(baseline - 1).is_some_and(|ink| ink < 128), "{letter}");
            assert_eq!(darkest(baseline), Some(255), "{letter}");
        }
    }
}

#[test]
fn letters_of_an_arabic_word_are_joined_and_those_of_hebrew_run_from_right_to_left() {
    assert_ne!(drawn("كلب", PLAIN), drawn("ك\u{200c}ل\u{200c}ب", PLAIN));
    let glyph = |text: &str| Line::new(text, PLAIN).glyphs[0].glyph.map(|(_, id)| id);
    assert_eq!(glyph("אב"), glyph("ב"));
    assert_ne!(glyph("אב"), glyph("א"));
    // A number inside the text keeps its direction.
    assert_eq!(glyph("כלב 25"), glyph("25"));
}

#[test]
fn composed_and_decomposed_letters_look_the_same() {
    for (composed, decomposed) in
        [("ü", "u\u{308}"), ("が", "か\u{3099}"), ("한", "\u{1112}\u{1161}\u{11ab}")]
    {
        assert_eq!(drawn(composed, PLAIN), drawn(decomposed, PLAIN), "{composed}");
    }
}

#[test]
fn a_name_of_300_characters_fits_its_frame_and_ends_in_an_ellipsis() {
    for style in ALL_STYLES {
        for (script, name, _) in NAMES.into_iter().chain([("none", UNKNOWN, "")]) {
            let long: String = name.chars().cycle().take(300).collect();
            // Every style in one frame, and one style in every frame.
            let frames = if style.bold || style.zoom > 1 { &[100][..] } else { &[0, 3, 20, 100, 317] };
            for &frame in frames {
                let short = style.fitted(&long, frame);
                assert!(style.width(&short) <= frame, "{script}, {frame}: {short:?}");
                assert!(long.starts_with(short.trim_end_matches('…')), "{script}, {frame}: {short:?}");
                assert_eq!(short.ends_with('…'), frame >= style.width("…"), "{script}, {frame}: {short:?}");
            }
            assert_eq!(style.fitted(name, style.width(name)), name);
        }
    }
}

#[test]
fn a_letter_is_never_cut_from_its_mark() {
    let name = "u\u{308}".repeat(40);
    for frame in 0..80 {
        let characters = PLAIN.fitted(&name, frame).trim_end_matches('…').chars().count();
        assert!(characters.is_multiple_of(2), "{frame}: {characters}");
    }
}

#[test]
fn control_characters_are_spaces_and_marks_of_direction_nothing() {
    for control in ["\0", "\n", "\r", "\t", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}"] {
        assert_eq!(drawn(&format!("a{control}b"), PLAIN), drawn("a b", PLAIN), "{control:?}");
    }
    for invisible in ["\u{200b}", "\u{200e}", "\u{feff}", "\u{2060}", "\u{ad}", "\u{fe0f}"] {
        assert_eq!(drawn(&format!("a{invisible}b"), PLAIN), drawn("ab", PLAIN), "{invisible:?}");
        assert_eq!(PLAIN.width(invisible), 0, "{invisible:?}");
    }
    for odd in [
        "",
        " ",
        "\u{202e}",
        "\u{2066}\u{2066}\u{2069}",
        "\u{301}",
        "\u{200d}\u{200d}",
        "\u{202e}abc\u{202d}",
    ] {
        for style in ALL_STYLES {
            drawn(odd, style);
            assert!(style.width(odd) >= 0);
        }
    }
    assert_eq!(PLAIN.width(""), 0);
}
