//! An image read at computed positions (Jaderberg et al., 2015).

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is `x` read bilinearly at the positions of `grid`, whose last dimension is (x, y)
/// from -1 at one edge of the image to 1 at the other; 0 outside. With the four
/// neighbours `p` and weights `(1 - |dx|)(1 - |dy|)`, `dx` spreads `dy` over the
/// neighbours and `dgrid` weighs their differences.
pub struct GridSample;

#[cfg(feature = "proofs")]
impl Proof for GridSample {
    fn facts() -> Facts {
        Facts::new(
            "grid_sample",
            Group::Vision,
            "y = x read bilinearly at the positions of grid",
            "dx = dy spread over four neighbours, dgrid = dy times their differences",
        )
        .shapes("x [N, H, W, C], grid [N, OH, OW, 2], y [N, OH, OW, C]")
        .torch("F.grid_sample(a, b, 'bilinear', 'zeros', align_corners)")
        .kinks("where a position is a pixel's, the slope to the right")
        .linear(&[0])
        .nan("what is read outside is 0")
        .large(&[&[2, 4, 3, 2], &[2, 70, 71, 2]])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], grid: &[usize], corners: bool| {
            let torch = format!(
                "nhwc(F.grid_sample(nchw(a), b, align_corners={}))",
                if corners { "True" } else { "False" }
            );
            // Away from the positions where the neighbours change.
            let grid = sample(2, grid).map(|g| 0.9 * g + 0.0137);
            case!(format!("grid_sample: {name}"), torch, [sample(1, x), grid], |x, grid| x
                .sampled_at(grid, corners))
        };
        vec![
            case("edges at -1 and 1", &[2, 4, 3, 2], &[2, 3, 2, 2], false),
            case("pixel centres at -1 and 1", &[1, 4, 3, 2], &[1, 2, 3, 2], true),
            case("wider than high", &[1, 3, 5, 1], &[1, 2, 2, 2], false),
            case("empty batch", &[0, 4, 3, 2], &[0, 2, 3, 2], true),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("grid_sample: x [1, 4, 4, 2] at grid [2, 3, 3, 2]", || {
                let _ = super::zeros::<f64>(&[1, 4, 4, 2]).grid_sample(super::zeros(&[2, 3, 3, 2]));
            }),
            ErrorCase::new("grid_sample: x [1, 0, 4, 2] at grid [1, 3, 3, 2]", || {
                let _ = super::zeros::<f64>(&[1, 0, 4, 2]).grid_sample(super::zeros(&[1, 3, 3, 2]));
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// This image read at the positions of `grid`; see [`GridSample`]. -1 and 1 are
    /// the edges of the image.
    ///
    /// # Panics
    /// If the shapes are not `[N, H, W, C]` and `[N, OH, OW, 2]`.
    #[track_caller]
    pub fn grid_sample(self, grid: Var<T>) -> Var<T> {
        self.sampled_at(grid, false)
    }

    /// [`grid_sample`](Self::grid_sample) where -1 and 1 are the centres of the corner pixels.
    ///
    /// # Panics
    /// If the shapes are not `[N, H, W, C]` and `[N, OH, OW, 2]`.
    #[track_caller]
    pub fn grid_sample_align_corners(self, grid: Var<T>) -> Var<T> {
        self.sampled_at(grid, true)
    }

    #[track_caller]
    fn sampled_at(self, grid: Var<T>, corners: bool) -> Var<T> {
        let fail = || -> ! {
            panic!(
                "grid_sample: x {:?} at grid {:?}; expected [N, H, W, C] and [N, OH, OW, 2]",
                self.shape(),
                grid.shape()
            )
        };
        let (&[n, h, w, c], &[grid_n, oh, ow, 2]) = (self.shape(), grid.shape()) else { fail() };
        if n != grid_n || h * w == 0 {
            fail();
        }
        let count = n * oh * ow;
        // Positions in pixels: [count, 1]
        let place = |axis: usize, extent: usize| {
            let unit = grid.clone().narrow(3, axis, 1).reshape(&[count, 1]);
            let extent = extent as f64;
            if corners {
                unit.affine((extent - 1.0) / 2.0, (extent - 1.0) / 2.0)
            } else {
                unit.affine(extent / 2.0, (extent - 1.0) / 2.0)
            }
        };
        let (x, y) = (place(0, w), place(1, h));
        let floor = |place: &Var<T>| place.value().clone().map(T::floor);
        let (left, top) = (floor(&x), floor(&y));
        let (right_part, lower_part) = (x - Var::constant(left.clone()), y - Var::constant(top.clone()));
        let (left, top) = (left.to_vec(), top.to_vec());
        let neighbour = |right: usize, lower: usize| {
            let source = |i: usize| {
                let inside = |place: T, step: usize, extent: usize| {
                    let place = place.as_f64() + step as f64;
                    (place >= 0.0 && place < extent as f64).then_some(place as usize)
                };
                Some((i / (oh * ow) * h + inside(top[i], lower, h)?) * w + inside(left[i], right, w)?)
            };
            let map = LinearMap::select(n * h * w, (0..count).map(source));
            let part = |part: &Var<T>, far: usize| {
                if far == 1 { part.clone() } else { part.clone().affine(-1.0, 1.0) }
            };
            let weight = part(&right_part, right) * part(&lower_part, lower);
            self.clone().linear_map("grid_sample", map, 0..3, &[count]) * weight
        };
        let y = neighbour(0, 0) + neighbour(1, 0) + neighbour(0, 1) + neighbour(1, 1);
        y.reshape(&[n, oh, ow, c])
    }
}
