//! Charts as SVG, in the colours of their page.
//!
//! Each chart is a `figure` with one drawing of fixed proportions that scales with its column. Every point and bar
//! shows its numbers when the pointer is over it. Values that are not finite become gaps.

use std::fmt::Write;

use crate::escape::escape;

/// The drawing's size, and the room left for axes.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 36.0;
/// The number of colours in the page's style.
const COLOURS: usize = 8;
/// If no curve has more points than this, all points are drawn as dots.
const DOTS: usize = 60;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// x and y of each point, in ascending order of x.
    pub points: Vec<[f64; 2]>,
}

impl Series {
    /// A curve made of its parts.
    pub fn new(name: &str, points: Vec<[f64; 2]>) -> Series {
        Series { name: name.into(), points }
    }
}

/// Curves over one axis; `axes` names x and y.
pub fn lines(title: &str, axes: [&str; 2], series: &[Series]) -> String {
    let finite =
        || series.iter().flat_map(|s| &s.points).filter(|point| point.iter().all(|value| value.is_finite()));
    let Some(first) = finite().next() else { return nothing(title) };
    let range = |axis: usize| {
        finite().fold((first[axis], first[axis]), |(low, high), p| (low.min(p[axis]), high.max(p[axis])))
    };
    // Whole numbers are epochs or steps: no ticks between them.
    let whole = finite().all(|point| point[0].fract() == 0.0);
    let x = Axis::new(range(0), [LEFT, WIDTH - RIGHT], if whole { 1.0 } else { 0.0 });
    let y = Axis::new(range(1), [HEIGHT - BOTTOM, TOP], 0.0);
    let mut svg = open(title);
    grid(&mut svg, &x, &y, axes);
    let dots = series.iter().all(|series| series.points.len() <= DOTS);
    for (place, series) in series.iter().enumerate() {
        let colour = place % COLOURS;
        let mut path = String::new();
        let mut drawing = false;
        for point in &series.points {
            if !point.iter().all(|value| value.is_finite()) {
                drawing = false;
                continue;
            }
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if drawing { 'L' } else { 'M' },
                x.at(point[0]),
                y.at(point[1])
            );
            drawing = true;
        }
        let _ = write!(svg, "<path class=\"curve\" stroke=\"var(--c{colour})\" d=\"{path}\"/>");
        let tellable = series.points.iter().filter(|p| dots && p.iter().all(|value| value.is_finite()));
        for point in tellable {
            let _ = write!(
                svg,
                "<circle class=\"dot\" fill=\"var(--c{colour})\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{}: {} {}, {} {}</title></circle>",
                x.at(point[0]),
                y.at(point[1]),
                escape(&series.name),
                escape(axes[0]),
                short(point[0]),
                escape(axes[1]),
                short(point[1])
            );
        }
    }
    svg += "</svg>";
    if series.len() > 1 || series[0].name != title {
        svg += "<div class=\"legend\">";
        for (place, series) in series.iter().enumerate() {
            let colour = place % COLOURS;
            let _ = write!(
                svg,
                "<span><i style=\"background:var(--c{colour})\"></i>{}</span>",
                escape(&series.name)
            );
        }
        svg += "</div>";
    }
    svg + "</figure>"
}

/// A bar for each name; the longest fills the width of the chart.
pub fn bars(title: &str, bars: &[(String, f64)]) -> String {
    const ROW: f64 = 18.0;
    const NAMES: f64 = 130.0;
    let most = bars.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    if bars.is_empty() {
        return nothing(title);
    }
    let height = TOP + ROW * bars.len() as f64 + 6.0;
    let mut svg = open_sized(title, height);
    for (place, (name, value)) in bars.iter().enumerate() {
        let top = TOP + ROW * place as f64;
        let room = WIDTH - NAMES - RIGHT - 56.0;
        let width = if most > 0.0 && value.is_finite() { value.max(0.0) / most * room } else { 0.0 };
        let shown: String = if name.chars().count() > 20 {
            name.chars().take(19).chain(['…']).collect()
        } else {
            name.clone()
        };
        let _ = write!(
            svg,
            "<g><title>{}: {}</title><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"var(--c0)\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            escape(name),
            short(*value),
            NAMES - 6.0,
            top + 13.0,
            escape(&shown),
            top + 3.0,
            ROW - 6.0,
            NAMES + width + 5.0,
            top + 13.0,
            short(*value)
        );
    }
    svg + "</svg></figure>"
}

/// A cell for each pair of names, darker for larger values; each cell is a share of its row's sum.
pub fn heat_map(title: &str, [rows, columns]: [&[String]; 2], values: &[Vec<f64>]) -> String {
    const NAMES: f64 = 96.0;
    if rows.is_empty() || columns.is_empty() {
        return nothing(title);
    }
    let side = ((WIDTH - NAMES - RIGHT) / columns.len() as f64).min(34.0);
    let height = TOP + side * rows.len() as f64 + NAMES;
    let mut svg = open_sized(title, height);
    let label = |name: &String| -> String {
        let name: String = if name.chars().count() > 14 {
            name.chars().take(13).chain(['…']).collect()
        } else {
            name.clone()
        };
        escape(&name)
    };
    for (row, (name, values)) in rows.iter().zip(values).enumerate() {
        let top = TOP + side * row as f64;
        let sum: f64 = values.iter().sum();
        if side > 8.0 {
            let (x, y) = (NAMES - 5.0, top + side / 2.0 + 4.0);
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", label(name));
        }
        for (column, (other, value)) in columns.iter().zip(values).enumerate() {
            let share = if sum > 0.0 { value / sum } else { 0.0 };
            let _ = write!(
                svg,
                "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--c0)\" fill-opacity=\"{:.3}\" \
                 stroke=\"var(--line)\" stroke-width=\"0.5\"><title>{} as {}: {} ({:.1} %)</title></rect>",
                NAMES + side * column as f64,
                side,
                side,
                share,
                escape(name),
                escape(other),
                short(*value),
                100.0 * share
            );
        }
    }
    if side > 8.0 {
        for (column, name) in columns.iter().enumerate() {
            let (x, y) = (NAMES + side * (column as f64 + 0.5) + 4.0, TOP + side * rows.len() as f64 + 8.0);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-50 {x:.1} {y:.1})\">{}</text>",
                label(name)
            );
        }
    }
    svg + "</svg></figure>"
}

/// An axis that maps data to positions in the drawing.
struct Axis {
    low: f64,
    high: f64,
    place: [f64; 2],
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis for these values, with ticks at least `least` apart.
    fn new((low, high): (f64, f64), place: [f64; 2], least: f64) -> Axis {
        // A single value is placed in the middle.
        let alone = match (least > 0.0, low.abs()) {
            (true, _) => 2.0 * least,
            (false, 0.0) => 1.0,
            (false, size) => size,
        };
        let spread = if high > low { high - low } else { alone };
        let (low, high) = if high > low { (low, high) } else { (low - spread / 2.0, high + spread / 2.0) };
        let step = round_step((high - low) / 4.0).max(least);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        // There are no ticks for numbers so large or so close that steps cannot be told apart.
        let count = last.saturating_sub(first).clamp(-1, 20);
        Axis { low, high, place, ticks: (0..=count).map(|tick| (first + tick) as f64 * step).collect() }
    }

    fn at(&self, value: f64) -> f64 {
        self.place[0] + (value - self.low) / (self.high - self.low) * (self.place[1] - self.place[0])
    }
}

/// The next number of at least `step` that is 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= step * 0.999);
    times.unwrap_or(10.0) * power
}

fn open(title: &str) -> String {
    open_sized(title, HEIGHT)
}

fn open_sized(title: &str, height: f64) -> String {
    format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{0}\"><text class=\"title\" x=\"4\" y=\"15\">{0}</text>",
        escape(title)
    )
}

fn nothing(title: &str) -> String {
    format!("<figure><figcaption>{}: nothing to show</figcaption></figure>", escape(title))
}

fn grid(svg: &mut String, x: &Axis, y: &Axis, names: [&str; 2]) {
    for &tick in &y.ticks {
        let at = y.at(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            at + 4.0,
            short(tick)
        );
    }
    for &tick in &x.ticks {
        let at = x.at(tick);
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM + 14.0,
            short(tick)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"15\" text-anchor=\"end\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escape(names[0]),
        WIDTH - RIGHT,
        escape(names[1])
    );
}

/// A number as a short text.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        let cases = [
            (0.0, "0"),
            (0.12345, "0.1235"),
            (1.0, "1"),
            (1234.5, "1234"),
            (2.5e-7, "2.50e-7"),
            (-3.25, "-3.25"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn ticks_lie_within_the_axis_and_values_that_are_not_finite_are_gaps() {
        for (low, high) in
            [(0.0, 1.0), (3.0, 3.0), (-2e-9, 5e-9), (1e12, 3e12), (1e300, 1e300), (0.0, f64::MIN_POSITIVE)]
        {
            let axis = Axis::new((low, high), [0.0, 100.0], 0.0);
            assert!(axis.ticks.len() <= 21);
            assert!(
                axis.ticks.iter().all(|&tick| (-1.0..=101.0).contains(&axis.at(tick))),
                "{low} to {high}: {:?}",
                axis.ticks
            );
        }
        let points = vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, 2.0], [3.0, f64::INFINITY], [4.0, 0.5]];
        let svg = lines("t", ["x", "y"], &[Series::new("s", points)]);
        assert_eq!(svg.matches('M').count(), 3, "three pieces");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn whole_numbers_have_no_ticks_between_them() {
        let svg = lines("t", ["epoch", ""], &[Series::new("s", vec![[1.0, 0.5], [2.0, 0.25], [3.0, 0.125]])]);
        assert!(svg.contains(">2</text>") && !svg.contains(">1.5</text>"));
        let axis = Axis::new((7.0, 7.0), [0.0, 100.0], 1.0);
        assert_eq!(axis.ticks, [6.0, 7.0, 8.0]);
    }

    #[test]
    fn charts_of_nothing_say_so() {
        assert!(lines("t", ["x", "y"], &[]).contains("nothing to show"));
        assert!(bars("t", &[]).contains("nothing to show"));
        assert!(heat_map("t", [&[], &[]], &[]).contains("nothing to show"));
        assert!(bars("t", &[("a".into(), f64::NAN), ("b".into(), 0.0)]).contains("<rect"));
    }
}
