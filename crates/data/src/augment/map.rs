//! The one map of all geometric operations: a homography, 3x3 numbers that map points of one picture to points of
//! another. Flips, crops, rotations, shears and perspective are all homographies, and so are their compositions. A
//! chain of them therefore needs to render the picture only once.
//!
//! Points are `x, y` in pixels, and pixel (row r, column c) covers `[c, c + 1] x [r, r + 1]`, as in boxes.

/// A homography from points of a source to points of an output: the matrix times `(x, y, 1)`, divided by the last entry
/// of the result.
///
/// A point whose last entry is not positive lies behind the viewer and is not visible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map {
    // [3, 3], row after row
    matrix: [[f64; 3]; 3],
}

impl Map {
    /// All points stay where they are.
    pub const IDENTITY: Map = Map::affine([1.0, 0.0, 0.0, 1.0], [0.0, 0.0]);

    /// `x' = a x + b y + s`, `y' = c x + d y + t` for `[a, b, c, d]` and `[s, t]`.
    pub const fn affine([a, b, c, d]: [f64; 4], [s, t]: [f64; 2]) -> Map {
        Map { matrix: [[a, b, s], [c, d, t], [0.0, 0.0, 1.0]] }
    }

    /// A translation by `x, y` pixels.
    pub const fn shift(x: f64, y: f64) -> Map {
        Map::affine([1.0, 0.0, 0.0, 1.0], [x, y])
    }

    /// Scales by one factor horizontally and one vertically, about the point (0, 0).
    pub const fn scale(across: f64, down: f64) -> Map {
        Map::affine([across, 0.0, 0.0, down], [0.0, 0.0])
    }

    /// A linear map `[a, b, c, d]` about a fixed point.
    pub fn about([x, y]: [f64; 2], linear: [f64; 4]) -> Map {
        Map::shift(-x, -y).then(&Map::affine(linear, [x, y]))
    }

    /// Maps the unit square's corners (0, 0), (1, 0), (1, 1), (0, 1) to the corners of a convex quadrilateral (Heckbert,
    /// "Fundamentals of Texture Mapping and Image Warping", 1989, chapter 2).
    pub fn square_to(corners: [[f64; 2]; 4]) -> Map {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = corners;
        let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
        let (dx1, dx2, dy1, dy2) = (x1 - x2, x3 - x2, y1 - y2, y3 - y2);
        let divisor = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((sx * dy2 - dx2 * sy) / divisor, (dx1 * sy - sx * dy1) / divisor);
        Map {
            matrix: [
                [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
                [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
                [g, h, 1.0],
            ],
        }
    }

    /// Applies this map first, then `next`.
    pub fn then(&self, next: &Map) -> Map {
        let product = |row: usize, column: usize| -> f64 {
            (0..3).map(|k| next.matrix[row][k] * self.matrix[k][column]).sum()
        };
        Map { matrix: std::array::from_fn(|row| std::array::from_fn(|column| product(row, column))) }
    }

    /// The inverse map. If the map flattens the picture, the inverse holds numbers that are not finite: nothing is
    /// visible.
    pub fn inverse(&self) -> Map {
        let m = &self.matrix;
        // An entry of the adjugate: the two other rows and columns in cyclic order.
        let cofactor = |row: usize, column: usize| {
            let (r1, r2) = ((row + 1) % 3, (row + 2) % 3);
            let (c1, c2) = ((column + 1) % 3, (column + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let determinant: f64 = (0..3).map(|column| m[0][column] * cofactor(0, column)).sum();
        let entry = |row: usize, column: usize| cofactor(column, row) / determinant;
        Map { matrix: std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column))) }
    }

    /// `x, y, w` of the mapped point before the division.
    pub fn homogeneous(&self, [x, y]: [f64; 2]) -> [f64; 3] {
        self.matrix.map(|[a, b, c]| a * x + b * y + c)
    }

    /// The mapped point; `None` if it lies behind the viewer.
    pub fn point(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        let [x, y, w] = self.homogeneous(point);
        (w > 0.0).then(|| [x / w, y / w])
    }

    /// Whether axis-aligned rectangles stay axis-aligned: a crop, a scale, a flip.
    pub fn keeps_boxes(&self) -> bool {
        let [[_, b, _], [c, _, _], [g, h, _]] = self.matrix;
        [b, c, g, h] == [0.0; 4]
    }

    /// The lengths of a one-pixel step to the right and of one down after the map, near a point.
    pub fn stretch(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let step = |to: [f64; 2]| {
            let (from, to) = (self.point([x, y]), self.point(to));
            from.zip(to).map_or(1.0, |(from, to)| (to[0] - from[0]).hypot(to[1] - from[1]))
        };
        [step([x + 1.0, y]), step([x, y + 1.0])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: Option<[f64; 2]>, b: [f64; 2]) -> bool {
        a.is_some_and(|a| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-9)
    }

    #[test]
    fn a_square_goes_to_the_corners_it_is_given_and_its_inverse_comes_back() {
        let corners = [[1.0, 2.0], [9.0, 1.0], [8.0, 7.0], [2.0, 9.0]];
        let map = Map::square_to(corners);
        let inverse = map.inverse();
        for (from, to) in [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]].into_iter().zip(corners) {
            assert!(near(map.point(from), to), "{from:?}");
            assert!(near(inverse.point(to), from), "{to:?}");
        }
    }

    #[test]
    fn maps_are_carried_out_in_the_order_they_are_named() {
        let map = Map::shift(1.0, 2.0).then(&Map::scale(3.0, 5.0));
        assert_eq!(map.point([0.0, 0.0]), Some([3.0, 10.0]));
        let turned = Map::about([4.0, 4.0], [0.0, -1.0, 1.0, 0.0]);
        assert_eq!(turned.point([4.0, 4.0]), Some([4.0, 4.0]));
        assert_eq!(turned.point([6.0, 4.0]), Some([4.0, 6.0]));
    }

    #[test]
    fn a_point_behind_the_viewer_is_not_seen() {
        let map = Map { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]] };
        assert!(map.point([0.5, 0.0]).is_some() && map.point([1.5, 0.0]).is_none());
    }
}
