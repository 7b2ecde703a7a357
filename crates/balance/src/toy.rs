//! A two-parameter problem to watch strategies on: the toy of the CAGrad paper (Liu
//! et al., 2021, figure 1 and appendix B), in the form of the Nash-MTL code.
//!
//! Each of the two losses has a deep, curved valley; far down, the set where
//! neither can be lowered without raising the other is the line from (-7, -8) to
//! (7, -8).

/// Below it the logarithm is cut off, and its gradient is zero.
const LOWER: f64 = 5e-6;

/// The starting points that the papers use. The second, (0, 0), is moved up a
/// little, because all gradients there are exactly zero.
pub const STARTS: [[f64; 2]; 5] = [[-8.5, 7.5], [0.0, 1e-6], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]];

/// Both losses at `(x, y)` and their gradients, the first loss times `scale`.
pub fn toy([x, y]: [f64; 2], scale: f64) -> ([f64; 2], [[f64; 2]; 2]) {
    let tanh = y.tanh();
    let sech2 = 1.0 - tanh * tanh;
    // log max(|u|, LOWER) + 6, with u and its derivatives.
    let log = |u: f64, du: [f64; 2]| {
        let slope = if u.abs() > LOWER { 1.0 / u } else { 0.0 };
        (u.abs().max(LOWER).ln() + 6.0, du.map(|d| d * slope))
    };
    let upper =
        [log(0.5 * (-x - 7.0) + tanh, [-0.5, sech2]), log(0.5 * (-x + 3.0) - tanh + 2.0, [-0.5, -sech2])];
    let bowl = |centre: f64| {
        let [dx, dy] = [x - centre, y + 8.0];
        ((dx * dx + 0.1 * dy * dy) / 10.0 - 20.0, [dx / 5.0, dy / 50.0])
    };
    let lower = [bowl(7.0), bowl(-7.0)];
    // The half planes are faded into each other.
    let fade = |sign: f64| {
        let t = (0.5 * sign * y).tanh();
        if t > 0.0 { (t, 0.5 * sign * (1.0 - t * t)) } else { (0.0, 0.0) }
    };
    let ((above, d_above), (below, d_below)) = (fade(1.0), fade(-1.0));
    let mut losses = [0.0; 2];
    let mut rows = [[0.0; 2]; 2];
    for (task, factor) in [scale, 1.0].into_iter().enumerate() {
        let ((u, du), (l, dl)) = (upper[task], lower[task]);
        losses[task] = factor * (u * above + l * below);
        rows[task][0] = factor * (du[0] * above + dl[0] * below);
        rows[task][1] = factor * (du[1] * above + u * d_above + dl[1] * below + l * d_below);
    }
    (losses, rows)
}

/// The losses minus the lower bound of FAMO's code, which none of them reaches:
/// strategies that take logarithms or ratios need positive losses.
pub fn above_bound([first, second]: [f64; 2], scale: f64) -> [f64; 2] {
    [first + 21.0 * scale, second + 21.0]
}
