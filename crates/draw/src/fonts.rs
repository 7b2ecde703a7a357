//! The fonts of the labels: one per script, embedded, so that nothing has to be installed and a picture is the same on
//! every machine.
//!
//! They are subsets of free fonts (`assets/README.md` lists them and how they were made), stored deflated. A font is
//! inflated when a text first needs a letter that no earlier font has. Latin comes first and costs a millisecond; the
//! large Chinese and Korean fonts come last and cost nothing if they are not used.

use flate2::read::ZlibDecoder;
use rustybuzz::Face;
use std::io::Read;
use std::sync::OnceLock;

/// An embedded font.
pub(super) struct Font {
    name: &'static str,
    deflated: &'static [u8],
    /// Size relative to Latin letters: scripts with tall letters are drawn smaller, and ideographs larger, 12 pixels
    /// wide at zoom 1.
    pub scale: f32,
    /// Whether each letter may be moved to a whole pixel, which is sharper. False where strokes join the letters.
    pub separate: bool,
    file: OnceLock<Vec<u8>>,
    face: OnceLock<Face<'static>>,
}

impl Font {
    const fn new(name: &'static str, deflated: &'static [u8], scale: f32, separate: bool) -> Self {
        Self { name, deflated, scale, separate, file: OnceLock::new(), face: OnceLock::new() }
    }

    /// The font's tables.
    pub fn face(&'static self) -> &'static Face<'static> {
        let file = self.file.get_or_init(|| {
            let mut file = Vec::new();
            let inflated = ZlibDecoder::new(self.deflated).read_to_end(&mut file);
            assert!(inflated.is_ok(), "the embedded font {} is damaged: {inflated:?}", self.name);
            file
        });
        self.face.get_or_init(|| match Face::from_slice(file, 0) {
            Some(face) => face,
            None => panic!("the embedded font {} is not a TrueType font", self.name),
        })
    }

    fn has(&'static self, character: char) -> bool {
        self.face().glyph_index(character).is_some()
    }
}

/// The first font with every character of a grapheme; otherwise the first font with its first character, and the marks
/// are then missing; `None` if no font has that character.
pub(super) fn font_for(grapheme: &str) -> Option<&'static Font> {
    let visible = || grapheme.chars().filter(|&character| !is_invisible(character));
    let first = visible().next()?;
    let whole = FONTS.iter().find(|font| visible().all(|character| font.has(character)));
    whole.or_else(|| FONTS.iter().find(|font| font.has(first)))
}

/// Whether a character only controls how others are drawn (joiners, directions, variants) and has no shape.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A line of the table below.
macro_rules! font {
    ($name:literal, $scale:literal, $separate:literal) => {
        Font::new($name, include_bytes!(concat!("../assets/", $name, ".ttf.zz")), $scale, $separate)
    };
}

/// In the order of searching for a letter: common and small fonts first.
static FONTS: [Font; 22] = [
    font!("latin", 1.0, true),
    font!("hebrew", 1.0, true),
    font!("arabic", 1.0, false),
    font!("thai", 0.95, true),
    font!("devanagari", 1.0, false),
    font!("bengali", 1.0, false),
    font!("gurmukhi", 1.0, false),
    font!("gujarati", 1.0, true),
    font!("oriya", 1.0, true),
    font!("tamil", 0.9, true),
    font!("telugu", 0.95, true),
    font!("kannada", 0.95, true),
    font!("malayalam", 1.0, true),
    font!("sinhala", 1.0, true),
    font!("khmer", 0.9, true),
    font!("lao", 0.95, true),
    font!("myanmar", 0.85, true),
    font!("georgian", 1.0, true),
    font!("armenian", 1.0, true),
    font!("ethiopic", 1.0, true),
    font!("cjk", 1.071, true),
    font!("hangul", 1.071, true),
];
