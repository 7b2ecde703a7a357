//! Draws how each strategy walks over the two-parameter problem of the CAGrad
//! paper, from the five starting points of the literature: one picture per
//! strategy in a single SVG, and a table of where the walks end.
//!
//! `cargo run --release --example toy -- --out toy.svg`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cerberus::balance::strategies::Famo;
use cerberus::balance::toy::{STARTS, above_bound, toy};
use cerberus::balance::{BalanceError, EpochFigures, Evidence, NAMES, Strategy, TaskGradients, by_name};
use cerberus::nn::files::write_atomically;
use cerberus_cli::say;
use clap::Parser;

/// Draw the walk of every balancing strategy over a two-parameter problem.
#[derive(Parser)]
#[command(name = "toy")]
struct Options {
    /// Strategies, separated by commas [default: all that two losses suffice for]
    #[arg(long, value_delimiter = ',')]
    strategies: Vec<String>,
    /// Steps of Adam at rate 0.001: 100,000 in the CAGrad authors' code, 35,000 in Nash-MTL's
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Factor of the first loss: 0.1 is the uneven variant
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The picture to write
    #[arg(long, default_value = "toy.svg")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mut names = options.strategies.clone();
    if names.is_empty() {
        // These two need more than two tasks.
        let possible = NAMES.iter().filter(|name| !matches!(**name, "krum" | "trimmed-mean"));
        names = possible.map(|name| name.to_string()).collect();
    }
    say!("{:<16} {:>9}  where the walks end", "strategy", "arrived");
    let mut panels = Vec::new();
    for name in &names {
        let mut walks = Vec::new();
        for start in STARTS {
            let mut strategy = by_name::<f64>(name, 2, &[1.0; 2]).map_err(|error| error.to_string())?;
            if name == "famo" {
                // Without weight decay, as its authors do here: the losses do not change their meaning over time.
                strategy = Box::new(Famo::new(2, 0.025, 0.0));
            }
            walks.push(walk(&mut *strategy, start, options).map_err(|error| error.to_string())?);
        }
        let ends: Vec<[f64; 2]> = walks.iter().map(|walk| walk[walk.len() - 1]).collect();
        let arrived = ends.iter().filter(|end| on_pareto_set(**end)).count();
        let places: Vec<String> = ends.iter().map(|[x, y]| format!("({x:.1}, {y:.1})")).collect();
        say!("{name:<16} {arrived:>4} of 5  {}", places.join(" "));
        panels.push((name.clone(), walks));
    }
    let picture = draw(&panels);
    write_atomically(&options.out, picture.as_bytes()).map_err(|error| error.to_string())?;
    say!("written: {}", options.out.display());
    Ok(())
}

/// Near the line between the two minima.
fn on_pareto_set([x, y]: [f64; 2]) -> bool {
    (y + 8.0).abs() < 0.5 && x.abs() < 7.5
}

/// The places after every hundredth step of Adam, the first and the last.
fn walk(
    strategy: &mut dyn Strategy<f64>,
    start: [f64; 2],
    options: &Options,
) -> Result<Vec<[f64; 2]>, BalanceError> {
    let mut x = start;
    let mut path = vec![x];
    let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
    for step in 0..options.steps {
        let (losses, rows) = toy(x, options.scale);
        let losses = above_bound(losses, options.scale);
        let gradients = TaskGradients::<f64>::of_numbers(&rows.map(|row| row.to_vec()));
        let gramian = gradients.gramian()?;
        let lookahead = [0, 1].map(|task| gramian.product(task, 0) + gramian.product(task, 1));
        let three = [gradients.clone(), gradients.clone(), gradients];
        let evidence = Evidence {
            tasks: &[0, 1],
            losses: &losses,
            preference: &[0.5; 2],
            gradients: &three,
            gramian: Some(&gramian),
            lookahead: Some(&lookahead),
            seed: [1, step],
        };
        let decision = strategy.decide(&evidence)?;
        let direction = decision.direction.unwrap_or_else(|| three[2].combine(&decision.weights));
        let direction = direction[0].to_vec();
        for k in 0..2 {
            first[k] += 0.1 * (direction[k] - first[k]);
            second[k] += 0.001 * (direction[k] * direction[k] - second[k]);
            let unbias = [0.9f64, 0.999].map(|beta| 1.0 - beta.powf(step as f64 + 1.0));
            x[k] -= 1e-3 * first[k] / unbias[0] / ((second[k] / unbias[1]).sqrt() + 1e-8);
        }
        strategy.after_step(&above_bound(toy(x, options.scale).0, options.scale));
        if (step + 1) % 100 == 0 {
            path.push(x);
            strategy.end_epoch(&EpochFigures { losses: &losses, metrics: &[Some(0.5); 2] });
        }
    }
    path.push(x);
    Ok(path)
}

const SIDE: f64 = 180.0;
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

fn draw(panels: &[(String, Vec<Vec<[f64; 2]>>)]) -> String {
    let columns = panels.len().clamp(1, 6);
    let rows = panels.len().div_ceil(columns);
    let (width, height) = (columns as f64 * (SIDE + 12.0) + 12.0, rows as f64 * (SIDE + 30.0) + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, (name, walks)) in panels.iter().enumerate() {
        let left = 12.0 + (index % columns) as f64 * (SIDE + 12.0);
        let top = 24.0 + (index / columns) as f64 * (SIDE + 30.0);
        // The plane from -11 to 11 in both directions.
        let place = |[x, y]: [f64; 2]| {
            let inside = |v: f64| v.clamp(-11.0, 11.0);
            (left + (inside(x) + 11.0) / 22.0 * SIDE, top + (11.0 - inside(y)) / 22.0 * SIDE)
        };
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">{name}</text>", top - 6.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"#f7f7f7\" stroke=\"#999\"/>"
        );
        let ((x1, y1), (x2, y2)) = (place([-7.0, -8.0]), place([7.0, -8.0]));
        let _ = writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#888\" stroke-width=\"4\"/>"
        );
        for (walk, colour) in walks.iter().zip(COLOURS) {
            let points: Vec<String> = walk
                .iter()
                .map(|&point| {
                    let (x, y) = place(point);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                points.join(" ")
            );
            let (x, y) = place(walk[0]);
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            let (x, y) = place(walk[walk.len() - 1]);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"white\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
        }
    }
    svg + "</svg>\n"
}
