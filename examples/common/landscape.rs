//! A picture of walks over a landscape: panels with contours, the paths of
//! several walks in each, and their names under it. The contours are found by
//! marching squares (Lorensen and Cline, 1987, in two dimensions): where a level
//! passes between two corners of a cell, the point between them is taken as if
//! the height were a straight line.

use std::fmt::Write;

/// One walk.
pub struct Walk {
    /// Its name in the legend.
    pub name: String,
    /// What the legend says after the name.
    pub note: String,
    /// Its places, from the start to the end.
    pub path: Vec<[f64; 2]>,
}

/// What part of the plane is drawn.
pub struct Picture<'a> {
    /// The first and the last x.
    pub x: [f64; 2],
    /// The first and the last y.
    pub y: [f64; 2],
    /// Places with a cross.
    pub minima: &'a [[f64; 2]],
}

/// A panel's size in pixels.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 300.0;
/// Between two panels.
const GAP: f64 = 24.0;
/// The height of a line of the legend.
const LINE: f64 = 20.0;
/// Panels in a row.
const COLUMNS: usize = 3;
/// Cells of the contours along one side.
const CELLS: usize = 110;
/// The heights of the contours.
const LEVELS: [f64; 9] = [0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0];
/// Told apart by eyes of any kind (Okabe and Ito, 2008); in grey, each is darker than the next.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#000000"];

/// The heights at some places.
pub type Heights<'a> = &'a dyn Fn(&[[f64; 2]]) -> Vec<f64>;

impl Picture<'_> {
    /// The picture as SVG.
    pub fn draw(&self, panels: &[Vec<Walk>], heights: Heights) -> String {
        let lines = panels.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let (across, down) = (WIDTH + GAP, HEIGHT + LINE * lines + GAP);
        let (columns, rows) = (COLUMNS.min(panels.len()), panels.len().div_ceil(COLUMNS));
        let (width, height) = (columns as f64 * across + GAP, rows as f64 * down + GAP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <defs><clipPath id=\"panel\"><rect width=\"{WIDTH}\" height=\"{HEIGHT}\"/></clipPath>\n\
             <path id=\"contours\" d=\"{}\" fill=\"none\" stroke=\"#b8b8b8\" stroke-width=\"0.8\"/></defs>\n",
            self.contours(heights)
        );
        for (index, walks) in panels.iter().enumerate() {
            let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
            let _ = write!(
                svg,
                "<g transform=\"translate({} {})\">\n<g clip-path=\"url(#panel)\"><use href=\"#contours\"/>\n",
                GAP + column * across,
                GAP + row * down
            );
            for (walk, colour) in walks.iter().zip(COLOURS) {
                self.path(&mut svg, walk, colour);
            }
            for &minimum in self.minima {
                let (x, y) = self.place(minimum);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{:.1} {y:.1}h12m-6 -6v12\" stroke=\"#009e73\" stroke-width=\"2.5\"/>",
                    x - 6.0
                );
            }
            let _ = writeln!(
                svg,
                "</g><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#777\"/>"
            );
            for (line, (walk, colour)) in walks.iter().zip(COLOURS).enumerate() {
                let y = HEIGHT + LINE * (line as f64 + 1.0);
                let _ = writeln!(
                    svg,
                    "<path d=\"M2 {0}h26\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                     <text x=\"36\" y=\"{y}\">{1}: {2}</text>",
                    y - 5.0,
                    walk.name,
                    walk.note
                );
            }
            svg += "</g>\n";
        }
        if !panels.len().is_multiple_of(COLUMNS) {
            let (column, row) = ((panels.len() % COLUMNS) as f64, (rows - 1) as f64);
            self.key(&mut svg, [GAP + column * across, GAP + row * down]);
        }
        svg + "</svg>\n"
    }

    /// What the signs mean, in the room that the last row has left.
    fn key(&self, svg: &mut String, [left, top]: [f64; 2]) {
        let ([x1, x2], [y1, y2]) = (self.x, self.y);
        let levels: Vec<String> = LEVELS.iter().map(f64::to_string).collect();
        let signs = [
            ("<circle cx=\"12\" cy=\"-5\" r=\"4\" fill=\"#555\"/>", "start".to_string()),
            (
                "<circle cx=\"12\" cy=\"-5\" r=\"5\" fill=\"none\" stroke=\"#555\" stroke-width=\"2.5\"/>",
                "end".into(),
            ),
            ("<path d=\"M6 -5h12m-6 -6v12\" stroke=\"#009e73\" stroke-width=\"2.5\"/>", "minimum".into()),
            ("<circle cx=\"12\" cy=\"-5\" r=\"2\" fill=\"#555\"/>", "a step that can be seen".into()),
            ("", format!("x from {x1} to {x2}, y from {y1} to {y2}")),
            ("", "contours where the loss is".into()),
            ("", levels.join(", ")),
        ];
        for (line, (sign, text)) in signs.iter().enumerate() {
            let (indent, y) = (if sign.is_empty() { 0.0 } else { 28.0 }, top + LINE * (line as f64 + 1.0));
            let _ = writeln!(
                svg,
                "<g transform=\"translate({left} {y})\">{sign}<text x=\"{indent}\">{text}</text></g>"
            );
        }
    }

    /// Where a place of the plane is in its panel.
    fn place(&self, [x, y]: [f64; 2]) -> (f64, f64) {
        let share = |value: f64, [first, last]: [f64; 2]| (value - first) / (last - first);
        // A walk that flies away has places that no drawing program reads.
        let inside = |pixels: f64| pixels.clamp(-1e4, 1e4);
        (inside(share(x, self.x) * WIDTH), inside((1.0 - share(y, self.y)) * HEIGHT))
    }

    /// A line through the places, a dot at each, a disc where it starts and a ring where it ends.
    fn path(&self, svg: &mut String, walk: &Walk, colour: &str) {
        let places: Vec<(f64, f64)> = walk.path.iter().map(|&place| self.place(place)).collect();
        let (Some(start), Some(end)) = (places.first(), places.last()) else { return };
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{0}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-opacity=\"0.8\"/>",
            points.join(" ")
        );
        // Dots that touch would only make the line thicker.
        for step in
            places.windows(2).filter(|step| (step[1].0 - step[0].0).hypot(step[1].1 - step[0].1) > 5.0)
        {
            let (x, y) = step[1];
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            svg,
            "\n<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#555\"/>\
             <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"white\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            start.0, start.1, end.0, end.1
        );
    }

    /// All contours as one path of short lines.
    fn contours(&self, heights: Heights) -> String {
        let corner =
            |index: usize, [first, last]: [f64; 2]| first + (last - first) * index as f64 / CELLS as f64;
        let places: Vec<[f64; 2]> = (0..=CELLS)
            .flat_map(|row| (0..=CELLS).map(move |column| [column, row]))
            .map(|[column, row]| [corner(column, self.x), corner(row, self.y)])
            .collect();
        let heights = heights(&places);
        let mut path = String::new();
        for row in 0..CELLS {
            for column in 0..CELLS {
                let at = |down: usize, right: usize| (row + down) * (CELLS + 1) + column + right;
                // The corners around the cell.
                let around = [at(0, 0), at(0, 1), at(1, 1), at(1, 0)];
                for level in LEVELS {
                    let mut ends = (0..4).filter_map(|side| {
                        let (from, to) = (around[side], around[(side + 1) % 4]);
                        let (low, high) = (heights[from] - level, heights[to] - level);
                        let share = low / (low - high);
                        let between = |axis: usize| {
                            places[from][axis] + share * (places[to][axis] - places[from][axis])
                        };
                        (low.is_sign_negative() != high.is_sign_negative())
                            .then(|| self.place([between(0), between(1)]))
                    });
                    while let (Some(from), Some(to)) = (ends.next(), ends.next()) {
                        let _ = write!(path, "M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1);
                    }
                }
            }
        }
        path
    }
}
