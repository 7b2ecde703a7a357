//! Places garments in a scene and decides which is above which.
//!
//! The pixels of a placed garment are 64 numbers of 64 bits, one per row of the
//! scene. Visibility is then computed with "and", "or" and bit counts: testing
//! one position of a garment takes well under a microsecond, so many positions
//! can be tried.

use cerberus_tensor::random::Stream;
use rand::RngExt;

use super::SCENE_SIZE;
use super::sprite::Sprite;
use crate::ClassId;

/// Bit x of entry y is pixel (y, x).
pub(crate) type Pixels = [u64; SCENE_SIZE];

/// Positions tried for a garment before it is left out.
const TRIES: usize = 24;
/// At most one in this many of a garment's pixels may be hidden.
pub(crate) const HIDDEN_AT_MOST_ONE_IN: u32 = 3;

/// Red, green, blue from 0 to 1.
pub(crate) type Colour = [f32; 3];

/// A garment with its place and colour.
pub(crate) struct Placed {
    pub sprite: Sprite,
    pub tint: Colour,
    pub top: usize,
    pub left: usize,
    pub pixels: Pixels,
}

impl Placed {
    /// A garment with its upper left corner in a row and column in which it fits.
    pub fn at(sprite: Sprite, tint: Colour, [top, left]: [usize; 2]) -> Placed {
        let mut placed = Placed { sprite, tint, top, left, pixels: [0; SCENE_SIZE] };
        for (row, bits) in placed.pixels[top..].iter_mut().zip(&placed.sprite.rows) {
            *row = bits << left;
        }
        placed
    }
}

/// The garments of a scene.
#[derive(Default)]
pub(crate) struct Layout {
    /// In the order of placing; the first is the subject.
    pub garments: Vec<Placed>,
    /// Their indices, from the lowest layer to the top.
    pub depth: Vec<usize>,
}

impl Layout {
    /// A scene of one garment.
    pub fn of(subject: Placed) -> Layout {
        Layout { garments: vec![subject], depth: vec![0] }
    }

    /// Puts a garment somewhere inside the scene, at a random depth, so that at
    /// most a third of any garment is hidden; leaves it out if none of `TRIES`
    /// random positions works. The first garment always finds one.
    pub fn place(&mut self, sprite: Sprite, tint: Colour, random: &mut Stream) {
        let mut depth = self.depth.clone();
        depth.insert(random.random_range(0..=depth.len()), self.garments.len());
        let mut placed = Placed::at(sprite, tint, [0, 0]);
        for _ in 0..TRIES {
            let top = random.random_range(0..=SCENE_SIZE - placed.sprite.height);
            let left = random.random_range(0..=SCENE_SIZE - placed.sprite.width);
            placed = Placed::at(placed.sprite, tint, [top, left]);
            let pixels = |number: usize| self.garments.get(number).unwrap_or(&placed).pixels;
            if !too_much_hidden(depth.iter().map(|&number| pixels(number))) {
                self.garments.push(placed);
                self.depth = depth;
                return;
            }
        }
    }

    /// The garments in the order in which to paint them.
    pub fn bottom_up(&self) -> impl Iterator<Item = &Placed> {
        self.depth.iter().map(|&number| &self.garments[number])
    }

    /// The visible pixels of each garment, in the order of placing.
    pub fn visible(&self) -> Vec<Pixels> {
        let mut visible = vec![[0; SCENE_SIZE]; self.garments.len()];
        let mut above = [0; SCENE_SIZE];
        for &number in self.depth.iter().rev() {
            for y in 0..SCENE_SIZE {
                let row = self.garments[number].pixels[y];
                visible[number][y] = row & !above[y];
                above[y] |= row;
            }
        }
        visible
    }
}

/// Whether more than a third of any garment is hidden by those above it.
fn too_much_hidden(from_the_bottom: impl DoubleEndedIterator<Item = Pixels>) -> bool {
    let mut above = [0; SCENE_SIZE];
    for pixels in from_the_bottom.rev() {
        let (mut all, mut hidden) = (0, 0);
        for (above, row) in above.iter_mut().zip(pixels) {
            all += row.count_ones();
            hidden += (row & *above).count_ones();
            *above |= row;
        }
        if hidden * HIDDEN_AT_MOST_ONE_IN > all {
            return true;
        }
    }
    false
}

/// x1, y1, x2, y2 of the set pixels, right and bottom exclusive. There must be
/// at least one.
pub(crate) fn tight_box(pixels: &Pixels) -> [f32; 4] {
    let columns = pixels.iter().fold(0, |columns, row| columns | row);
    let top = pixels.iter().take_while(|&&row| row == 0).count();
    let below = pixels.iter().rev().take_while(|&&row| row == 0).count();
    let (left, right) = (columns.trailing_zeros(), u64::BITS - columns.leading_zeros());
    [left as f32, top as f32, right as f32, (SCENE_SIZE - below) as f32]
}

/// The indices of the set bits, from the lowest.
pub(crate) fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (lowest < u64::BITS).then_some(lowest as usize)
    })
}

/// Gives the set pixels of a mask `[SCENE_SIZE, SCENE_SIZE]` to a class.
pub(crate) fn mark(classes: &mut [ClassId], pixels: &Pixels, class: usize) {
    for (row, &bits) in classes.chunks_exact_mut(SCENE_SIZE).zip(pixels) {
        for x in ones(bits) {
            row[x] = class as ClassId + 1;
        }
    }
}
