//! Between brightness with two colour differences (Y'CbCr) and red, green, blue.
//!
//! ITU-R BT.601, which players assume where a file says nothing, as Y4M files do not. In the limited range, black is 16
//! and white 235, and colour differences reach from 16 to 240; in the full range (JPEG) all are from 0 to 255.

/// The weights of red and blue in brightness.
const RED: f32 = 0.299;
const BLUE: f32 = 0.114;

/// The range that the stored bytes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Limited,
    Full,
}

impl Range {
    /// Black, and the spans of brightness and of each colour difference.
    fn spans(self) -> [f32; 3] {
        match self {
            Range::Limited => [16.0, 219.0, 224.0],
            Range::Full => [0.0, 255.0, 255.0],
        }
    }
}

/// Y', Cb, Cr to red, green, blue.
pub(super) fn to_rgb([y, cb, cr]: [u8; 3], range: Range) -> [u8; 3] {
    let [black, span, colour_span] = range.spans();
    let y = (f32::from(y) - black) / span;
    let [cb, cr] = [cb, cr].map(|value| (f32::from(value) - 128.0) / colour_span);
    let red = y + 2.0 * (1.0 - RED) * cr;
    let blue = y + 2.0 * (1.0 - BLUE) * cb;
    let green = (y - RED * red - BLUE * blue) / (1.0 - RED - BLUE);
    // The cast saturates.
    [red, green, blue].map(|value| (value * 255.0 + 0.5) as u8)
}

/// Red, green, blue to Y', Cb, Cr.
pub(super) fn from_rgb(rgb: [u8; 3], range: Range) -> [u8; 3] {
    let [black, span, colour_span] = range.spans();
    let [red, green, blue] = rgb.map(|value| f32::from(value) / 255.0);
    let y = RED * red + (1.0 - RED - BLUE) * green + BLUE * blue;
    let (cb, cr) = ((blue - y) / (2.0 * (1.0 - BLUE)), (red - y) / (2.0 * (1.0 - RED)));
    [black + y * span, 128.0 + cb * colour_span, 128.0 + cr * colour_span].map(|value| (value + 0.5) as u8)
}
