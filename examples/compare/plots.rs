//! The page: the table, and plots as inline SVG.
//!
//! Metrics with their intervals; weights over time and conflicts over time of the
//! first seed, read from the runs' own logs; for two tasks the Pareto plot. A
//! plotting library would have to be built with every other example, for a few
//! dots and lines.

use std::fmt::Write;
use std::path::Path;

use super::rows::Rows;
use super::table::{Table, mains};

const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d3a9b", "#444444"];

/// The whole page; `runs` is the folder with the runs' folders.
pub fn page(table: &Table, rows: &Rows, runs: &Path) -> String {
    let mut html = String::from(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Comparison</title>\
         <style>body{font-family:sans-serif;margin:2em;max-width:75em}svg{margin:0 1em 1em 0}\
         pre{overflow-x:auto;background:#f4f4f4;padding:1em}</style></head><body><h1>Comparison of balancing strategies</h1>",
    );
    let _ = write!(html, "<pre>{}</pre>", table.text().join("\n"));
    html += "<p>Dots are means over the seeds, bars their 95 % intervals. Δm compares with single-task \
             training of the same seed, in percent: <i>by task</i> averages each task's metrics first (LibMTL), \
             <i>flat</i> averages all metrics and turns the sign (CAGrad, Nash-MTL, FAMO: negative is better), \
             <i>main</i> takes one metric per task (Vandenhende et al.). <i>Over equal</i> is the first against equal weights of \
             the same seed.</p><h2>Metrics</h2>";
    for (place, metric) in table.metrics.iter().enumerate() {
        let dots: Vec<(String, f64, f64)> = table
            .lines
            .iter()
            .filter_map(|line| line.metrics[place].map(|e| (line.strategy.clone(), e.mean, e.half)))
            .collect();
        html += &intervals(metric, &dots);
    }
    if let ([a, b], Some(volume)) = (&mains(&table.metrics)[..], table.hypervolume) {
        let _ = write!(
            html,
            "<h2>Pareto plot</h2><p>Hypervolume from (0, 0): {volume:.4}. Hollow dots are worse than another \
             strategy in both; dashed lines are single-task training.</p>"
        );
        let points: Vec<(String, f64, f64)> = table
            .lines
            .iter()
            .filter_map(|line| Some((line.strategy.clone(), line.metrics[*a]?.mean, line.metrics[*b]?.mean)))
            .collect();
        let alone = [*a, *b].map(|metric| {
            let mut single = table.lines.iter().filter(|line| line.strategy.starts_with("single-"));
            single.find_map(|line| line.metrics[metric].map(|e| e.mean))
        });
        html += &scatter([&table.metrics[*a], &table.metrics[*b]], &points, alone);
    }
    html += "<h2>Weights over time</h2>";
    for strategy in rows.strategies().iter().filter(|name| !name.starts_with("single-")) {
        let file = runs.join(format!("{strategy}-1")).join("balance.csv");
        html += &curves(strategy, &columns(&file, |name| name.starts_with("weight_")));
    }
    html += "<h2>Conflicts over time: cosines of the task gradients</h2>";
    for strategy in rows.strategies().iter().filter(|name| !name.starts_with("single-")) {
        let file = runs.join(format!("{strategy}-1")).join("conflicts.csv");
        html += &curves(strategy, &cosines(&file));
    }
    html + "</body></html>\n"
}

type Curve = (String, Vec<(f64, f64)>);

/// Columns of a CSV file against its first column.
fn columns(file: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Curve> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split(',').collect();
    let mut curves: Vec<(usize, Curve)> = header
        .iter()
        .enumerate()
        .filter(|(_, name)| wanted(name))
        .map(|(place, name)| (place, (name.to_string(), Vec::new())))
        .collect();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |place: usize| cells.get(place).and_then(|cell| cell.parse::<f64>().ok());
        for (place, (_, points)) in &mut curves {
            if let (Some(x), Some(y)) = (number(0), number(*place)) {
                points.push((x, y));
            }
        }
    }
    curves.into_iter().map(|(_, curve)| curve).collect()
}

/// The cosine of each pair over all shared variables.
fn cosines(file: &Path) -> Vec<Curve> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut curves: Vec<Curve> = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [step, "all", a, b, cosine, ..] = cells[..] else { continue };
        let (Ok(step), Ok(cosine)) = (step.parse::<f64>(), cosine.parse::<f64>()) else { continue };
        let name = format!("{a}-{b}");
        match curves.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push((step, cosine)),
            None => curves.push((name, vec![(step, cosine)])),
        }
    }
    curves
}

/// The range that an axis shows: all values with a margin, which is a tenth of their
/// size if they hardly differ.
fn scale(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let size = low.abs().max(high.abs());
    let margin = if high - low > 1e-3 * size { 0.08 * (high - low) } else { (0.1 * size).max(1e-6) };
    (low - margin, high + margin)
}

/// Round numbers within a range, three or more of them, and their labels.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let power = 10f64.powf((high - low).log10().floor());
    for (step, finer) in [(1.0, 0), (0.5, 1), (0.2, 1), (0.1, 1)] {
        let first = (low / (step * power)).ceil();
        let places = (0..20).map(|i| (first + f64::from(i)) * step * power);
        let inside: Vec<f64> = places.take_while(|tick| *tick <= high).collect();
        if inside.len() >= 3 {
            let digits = (finer - power.log10() as i32).clamp(0, 9) as usize;
            return inside.into_iter().map(|tick| (tick, format!("{tick:.digits$}"))).collect();
        }
    }
    Vec::new()
}

fn intervals(title: &str, dots: &[(String, f64, f64)]) -> String {
    let half = |h: f64| if h.is_finite() { h } else { 0.0 };
    let (low, high) = scale(dots.iter().flat_map(|(_, mean, h)| [mean - half(*h), mean + half(*h)]));
    let height = 50 + 18 * dots.len();
    let x = |value: f64| 150.0 + (value - low) / (high - low) * 300.0;
    let mut svg = frame(title, 470, height);
    for (tick, label) in ticks(low, high) {
        let _ = write!(
            svg,
            "<line x1=\"{0:.1}\" y1=\"24\" x2=\"{0:.1}\" y2=\"{1}\" stroke=\"#ddd\"/>\
             <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
            x(tick),
            height - 18,
            height - 5
        );
    }
    for (row, (name, mean, h)) in dots.iter().enumerate() {
        let y = 36 + 18 * row;
        let _ = write!(
            svg,
            "<text x=\"144\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <line x1=\"{:.1}\" y1=\"{y}\" x2=\"{:.1}\" y2=\"{y}\" stroke=\"#888\" stroke-width=\"2\"/>\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"#0072b2\"><title>{mean:.4}</title></circle>",
            y + 4,
            x(mean - half(*h)),
            x(mean + half(*h)),
            x(*mean),
        );
    }
    svg + "</svg>"
}

/// Strategies by two figures; hollow dots are worse than another in both. `alone`
/// holds what single-task training reaches in each figure.
fn scatter([xlabel, ylabel]: [&str; 2], points: &[(String, f64, f64)], alone: [Option<f64>; 2]) -> String {
    let (x0, x1) = scale(points.iter().map(|p| p.1).chain(alone[0]));
    let (y0, y1) = scale(points.iter().map(|p| p.2).chain(alone[1]));
    let across = |x: f64| 60.0 + (x - x0) / (x1 - x0) * 400.0;
    let up = |y: f64| 360.0 - (y - y0) / (y1 - y0) * 330.0;
    let mut svg = frame(&format!("{ylabel} over {xlabel}"), 560, 400);
    let (xs, ys) = (ticks(x0, x1), ticks(y0, y1));
    let mut line = |from: [f64; 2], to: [f64; 2], style: &str| {
        let _ = write!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke={style}/>",
            from[0], from[1], to[0], to[1]
        );
    };
    xs.iter().for_each(|&(x, _)| line([across(x), 30.0], [across(x), 360.0], "\"#ddd\""));
    ys.iter().for_each(|&(y, _)| line([60.0, up(y)], [460.0, up(y)], "\"#ddd\""));
    let dashed = "\"#888\" stroke-dasharray=\"5 4\"";
    alone[0].iter().for_each(|&x| line([across(x), 30.0], [across(x), 360.0], dashed));
    alone[1].iter().for_each(|&y| line([60.0, up(y)], [460.0, up(y)], dashed));
    for (tick, text) in xs {
        let x = across(tick);
        let _ =
            write!(svg, "<text x=\"{x:.1}\" y=\"376\" text-anchor=\"middle\" fill=\"#666\">{text}</text>");
    }
    for (tick, text) in ys {
        let y = up(tick) + 4.0;
        let _ = write!(svg, "<text x=\"54\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"#666\">{text}</text>");
    }
    for (index, (name, x, y)) in points.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let dominated = points.iter().any(|(_, a, b)| a > x && b > y);
        let _ = write!(
            svg,
            "<circle cx=\"{0:.1}\" cy=\"{1:.1}\" r=\"5\" fill=\"{2}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{3:.1}\" y=\"{4:.1}\">{name}</text>",
            across(*x),
            up(*y),
            if dominated { "#fbfbfb" } else { colour },
            across(*x) + 8.0,
            up(*y) + 4.0
        );
    }
    svg + "</svg>"
}

fn curves(title: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points);
    if points().next().is_none() {
        return String::new();
    }
    let (x0, x1) = scale(points().map(|p| p.0));
    let (y0, y1) = scale(points().map(|p| p.1));
    // Names side by side, as many in a row as fit.
    let mut end = [45, 212];
    let legend: Vec<([usize; 2], &str)> = curves
        .iter()
        .map(|(name, _)| {
            let name = name.trim_start_matches("weight_");
            let width = 14 + 6 * name.len();
            if end[0] > 45 && end[0] + width > 360 {
                end = [45, end[1] + 14];
            }
            let start = end;
            end[0] += width;
            (start, name)
        })
        .collect();
    let mut svg = frame(title, 360, end[1] + 8);
    let place =
        |(x, y): (f64, f64)| (45.0 + (x - x0) / (x1 - x0) * 300.0, 190.0 - (y - y0) / (y1 - y0) * 160.0);
    for (tick, label) in ticks(y0, y1) {
        let y = place((x0, tick)).1;
        let _ = write!(
            svg,
            "<line x1=\"45\" y1=\"{y:.1}\" x2=\"345\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"40\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">{label}</text>",
            y + 4.0
        );
    }
    for (index, ((_, points), ([x, y], name))) in curves.iter().zip(legend).enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        // More points than pixels add nothing.
        let step = points.len().div_ceil(300).max(1);
        let path: Vec<String> = points
            .iter()
            .step_by(step)
            .map(|&point| {
                let (x, y) = place(point);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{name}</text>",
            path.join(" ")
        );
    }
    svg + "</svg>"
}

fn frame(title: &str, width: usize, height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fbfbfb\" stroke=\"#ddd\"/><text x=\"8\" y=\"16\" font-weight=\"bold\">{title}</text>"
    )
}
