//! Teaches a base model one person's own things from a few pictures, in about a second, into a small folder that only
//! they have; the base is never written.
//!
//! `cargo run --release --example personal -- --model BASE --user DIR teach --class "my mug" a.jpg b.jpg`

mod change;
mod failure;
mod lessons;
mod list;
mod predict;
mod prepare;
mod score;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Failure;
pub use lessons::lessons;
pub use predict::with_own;
pub use prepare::measured;
use session::Session;

/// Teach a model your own things, and take back what it learned.
#[derive(Parser)]
#[command(name = "personal")]
struct Options {
    /// The base: a checkpoint written by the train or the import example; it is only read
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The folder with what you taught; made by teach, correct and import if missing
    #[arg(long, value_name = "DIR")]
    user: Option<PathBuf>,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Teach a class from pictures of it
    Teach {
        /// The class's name
        #[arg(long, value_name = "NAME")]
        class: String,
        #[command(flatten)]
        learning: Learning,
        /// Labelled data instead of pictures, of which the objects and masks of the class are taught, too
        #[arg(long, value_name = "NAME|PATH", conflicts_with_all = ["images", "keep_pictures"])]
        data: Option<String>,
        /// The number of pictures of the data, the first that show the class
        #[arg(long, value_name = "N", default_value_t = 5, requires = "data")]
        samples: usize,
        /// Pictures, folders of pictures, or patterns such as 'photos/*.jpg'
        #[arg(required_unless_present = "data", value_name = "IMAGE")]
        images: Vec<PathBuf>,
    },
    /// Tell what a picture shows that was answered wrongly
    Correct {
        /// The picture
        #[arg(value_name = "FILE")]
        image: PathBuf,
        /// What it shows
        #[arg(long, value_name = "NAME")]
        class: String,
        #[command(flatten)]
        learning: Learning,
    },
    /// Learn your style from pictures without labels: camera, light and colours; before anything is taught
    Adapt {
        /// Tune adapters on labelled data of the base's classes instead, in your style if you have one
        #[arg(long, value_name = "NAME|PATH", conflicts_with = "images")]
        labelled: Option<String>,
        /// What is tuned: film, residual, norms or lora
        #[arg(
            long,
            value_name = "KIND",
            default_value = "film",
            requires = "labelled",
            conflicts_with = "images"
        )]
        by: String,
        /// The number of labelled pictures, the first of the data
        #[arg(long, value_name = "N", default_value_t = 5, requires = "labelled", conflicts_with = "images")]
        samples: usize,
        /// Folders of pictures, pictures, or patterns such as 'photos/*.jpg'
        #[arg(required_unless_present = "labelled", value_name = "FOLDER")]
        images: Vec<PathBuf>,
    },
    /// Print one JSON line per picture: the base's predictions, and the answer with your classes
    Predict {
        /// Objects less certain than this are left out
        #[arg(long, default_value_t = 0.3)]
        threshold: f32,
        /// Pictures, folders of pictures, or patterns such as 'photos/*.jpg'
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<PathBuf>,
    },
    /// Score the answers on labelled pictures, with and without what was taught
    Evaluate {
        /// Data set name or folder, with classes of the base and of yours
        #[arg(long, value_name = "NAME|PATH")]
        data: String,
        /// At most this many images
        #[arg(long, value_name = "N")]
        samples: Option<usize>,
    },
    /// Show what was taught, and when
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take back the last steps, exactly
    Undo {
        /// How many
        #[arg(value_name = "N", default_value_t = 1)]
        steps: usize,
    },
    /// Remove everything that was learned from a class
    Forget {
        /// The class's name
        #[arg(value_name = "CLASS")]
        class: String,
    },
    /// Write what was taught to one file, without pictures
    Export {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Begin a store with what was exported
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Learn what another store, or an exported file, holds
    Merge {
        /// A --user folder, or an exported file
        #[arg(value_name = "OTHER")]
        other: PathBuf,
    },
    /// Measure once what the base knows of its own classes, into a file beside it that all people share: answers are much
    /// surer with it
    Prepare {
        /// Data set name or folder [default: the training data of the base]
        #[arg(long, value_name = "NAME|PATH")]
        data: Option<String>,
        /// At most this many images
        #[arg(long, value_name = "N", default_value_t = 2000)]
        samples: usize,
    },
}

/// How something is learned.
#[derive(Args)]
struct Learning {
    /// Keep copies of the pictures in the folder
    #[arg(long)]
    keep_pictures: bool,
}

/// Runs one command; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let pool = crate::shell::thread_pool(options.threads).map_err(Failure::usage);
    match pool.and_then(|pool| pool.install(|| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(if failure.is_usage() { 2 } else { 1 })
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut session = Session::start(&options.model, options.user.as_deref())?;
    match &options.command {
        Command::Teach { class, data: Some(data), samples, .. } => {
            change::teach_data(&mut session, class, data, *samples)
        }
        Command::Teach { class, learning, images, .. } => {
            let images = crate::pictures::inputs(images)?;
            change::teach(&mut session, "teach", class, &images, learning.keep_pictures)
        }
        Command::Correct { image, class, learning } => {
            let image = std::slice::from_ref(image);
            change::teach(&mut session, "correct", class, image, learning.keep_pictures)
        }
        Command::Adapt { labelled: Some(data), by, samples, .. } => {
            change::adapt_labelled(&mut session, data, by, *samples)
        }
        Command::Adapt { images, .. } => {
            let images = crate::pictures::inputs(images)?;
            change::adapt(&mut session, &images)
        }
        Command::Predict { threshold, images } => predict::run(&mut session, *threshold, images),
        Command::Evaluate { data, samples } => score::run(&mut session, data, *samples),
        Command::List { json } => list::run(&mut session, *json),
        Command::Undo { steps } => change::undo(&mut session, *steps),
        Command::Forget { class } => change::forget(&mut session, class),
        Command::Export { file } => change::export(&mut session, file),
        Command::Import { file } => change::import(&mut session, file),
        Command::Merge { other } => change::merge(&mut session, other),
        Command::Prepare { data, samples } => prepare::run(&session, data.as_deref(), *samples),
    }
}
