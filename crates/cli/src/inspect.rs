//! Shows what a data set holds before time is spent on training: what was found, read, labelled and left out, how
//! classes and sizes are distributed, and what looks suspicious. `--deep` decodes every picture and mask as well.
//!
//! `cargo run --release --example inspect -- --data FOLDER --out report` writes `data.json` and `inspect.html`, one page with
//! samples, their labels drawn, and every problem with its picture.

use crate::say;
use crate::shell::make_folder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cerberus::data::augment::{OPERATIONS, sheet};
use cerberus::data::{
    Account, DataError, Dataset, DatasetInfo, Finding, Image, MASK, OBJECTS, PhotoOptions, Sample, Split,
    open_photos,
};
use cerberus::draw::{Annotated, DrawnBox, RgbImage, comfortable_scale, encode_png, overlay, strip};
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainError, load_model, picture_of};
use cerberus_report::{Page, Table, chart};
use clap::Parser;
use rayon::prelude::*;

/// Look at a data set: what is read, what is left out, and what is suspicious.
#[derive(Parser)]
#[command(name = "inspect")]
struct Options {
    /// Data set name, folder or file, as for train
    #[arg(long, value_name = "NAME|PATH", required_unless_present = "model")]
    data: Option<String>,
    /// A checkpoint: look at the model's training data as they were used in training
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hold_back", "size", "format", "skip_broken"])]
    model: Option<PathBuf>,
    /// Folder for data.json and inspect.html; made if missing [default: no files]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the account as JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Decode every picture and mask, to find problems that file headers do not show
    #[arg(long)]
    deep: bool,
    /// Draw what each augmentation does to a training sample: into the page, and with --out into augment/NAME.png
    #[arg(long, requires = "out")]
    augment: bool,
    /// Samples of each part that the page shows
    #[arg(long, value_name = "N", default_value_t = 12)]
    samples: usize,
    /// Photographs: the share that would be kept from training
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    hold_back: f64,
    /// Photographs: the format to read, if a folder could be of several
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Photographs: leave out pictures that cannot be read and missing parts for validation or testing, instead of
    /// refusing them
    #[arg(long)]
    skip_broken: bool,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];
/// The most problems of `--deep` that are printed one by one.
const TOLD: usize = 20;

/// Looks at a data set; see the top of this file.
pub fn main() -> ExitCode {
    let options = Options::parse();
    crate::shell::run_on(options.threads, || run(&options))
}

fn run(options: &Options) -> Result<(), TrainError> {
    let dataset = open(options)?;
    let info = dataset.info();
    let broken = if options.deep { decode_all(&*dataset) } else { Vec::new() };
    if options.json {
        let json = serde_json::to_string_pretty(&*info.accounts).expect("accounts are valid JSON");
        say!("{json}");
    } else {
        for line in lines(&*dataset) {
            say!("{line}");
        }
        if options.deep && broken.is_empty() {
            say!("  every picture and mask could be decoded");
        }
    }
    if let Some(out) = &options.out {
        make_folder(out)?;
        let json = serde_json::to_string_pretty(&*info.accounts).expect("accounts are valid JSON");
        write_atomically(&out.join("data.json"), (json + "\n").as_bytes())?;
        let sheets = if options.augment { sheets(&*dataset, out)? } else { Vec::new() };
        let page = page(&*dataset, options.samples, &broken, &sheets);
        write_atomically(&out.join("inspect.html"), page.as_bytes())?;
    }
    for error in broken.iter().take(TOLD) {
        eprintln!("error: {error}");
    }
    match broken.len() {
        0 => Ok(()),
        1..=TOLD => Err(TrainError::Option(format!("{} samples cannot be decoded", broken.len()))),
        count => {
            Err(TrainError::Option(format!("{count} samples cannot be decoded; the first {TOLD} are named")))
        }
    }
}

fn open(options: &Options) -> Result<Arc<dyn Dataset>, TrainError> {
    let plain = |photos: PhotoOptions| PhotoOptions { repeats: 1, augment: 0.0, ..photos };
    if let Some(model) = &options.model {
        let (config, _) = load_model(model)?;
        let name = options.data.clone().unwrap_or_else(|| config.data_names()[0].clone());
        let photos = plain(config.photos.clone().unwrap_or_default());
        return Ok(open_photos(&name, config.seed, &photos)?);
    }
    let photos = PhotoOptions {
        hold_back: options.hold_back,
        format: options.format.clone(),
        skip_broken: options.skip_broken,
        ..PhotoOptions::default()
    };
    let data = options.data.as_deref().unwrap_or("fashion-scenes");
    Ok(open_photos(data, 1, &plain(photos))?)
}

/// The account in lines; for generated data, their parts.
fn lines(dataset: &dyn Dataset) -> Vec<String> {
    let info = dataset.info();
    if info.accounts.is_empty() {
        let labels: Vec<String> = info
            .labels
            .iter()
            .map(|label| format!("{} ({} classes)", label.name, label.classes.len()))
            .collect();
        let parts = SPLITS.map(|split| format!("{split} {}", dataset.len(split))).join(", ");
        return vec![format!("{}: {parts}; labels: {}", info.name, labels.join(", "))];
    }
    info.accounts.iter().flat_map(Account::lines).collect()
}

/// Reads or generates every sample, on all cores, and returns what failed.
fn decode_all(dataset: &dyn Dataset) -> Vec<DataError> {
    let places =
        SPLITS.into_iter().flat_map(|split| (0..dataset.len(split)).map(move |index| (split, index)));
    let places: Vec<(Split, usize)> = places.collect();
    places.into_par_iter().filter_map(|(split, index)| dataset.sample(split, 0, index).err()).collect()
}

fn page(dataset: &dyn Dataset, samples: usize, broken: &[DataError], sheets: &[Sheet]) -> String {
    let info = dataset.info();
    let mut page = Page::new(&format!("Data: {}", info.name));
    page.section("Account");
    page.lines(&lines(dataset).join("\n"));
    for account in info.accounts.iter() {
        coverage(&mut page, account);
        balance(&mut page, account);
        sizes(&mut page, account);
        problems(&mut page, account);
    }
    if !broken.is_empty() {
        page.section("Samples that cannot be decoded");
        page.lines(&broken.iter().map(|error| error.to_string()).collect::<Vec<_>>().join("\n"));
    }
    for split in SPLITS.into_iter().filter(|&split| !dataset.is_empty(split)) {
        page.section(&format!("Samples: {split}"));
        let all = dataset.len(split);
        let count = samples.min(all);
        // Samples from the whole part, not only the first ones.
        let pictures: Vec<(Vec<u8>, String)> = (0..count)
            .filter_map(|place| {
                dataset.sample(split, 0, place * all / count).ok().map(|sample| (place * all / count, sample))
            })
            .filter_map(|(index, sample)| {
                Some((drawn(&sample, info)?, format!("{split} {index}: {}", told(&sample, info))))
            })
            .collect();
        page.pictures(&pictures);
    }
    if !sheets.is_empty() {
        page.section("Augmentation");
        page.text("A training sample, and what each operation makes of it at strength 1, five times.");
    }
    for (name, png) in sheets {
        page.heading(name);
        page.pictures(&[(png.clone(), name.to_string())]);
    }
    page.finish()
}

/// An operation's name and a picture of what it does.
type Sheet = (&'static str, Vec<u8>);

/// A picture for each operation: a sample, and what the operation makes of it, five times.
fn sheets(dataset: &dyn Dataset, out: &Path) -> Result<Vec<Sheet>, TrainError> {
    const SHOWN: usize = 5;
    const LOOKED_AT: usize = 40;
    /// Pixels of a picture's longer side, at least.
    const SIDE: u32 = 150;
    let info = dataset.info();
    let mut samples = Vec::new();
    for index in 0..dataset.len(Split::Train).min(LOOKED_AT) {
        samples.push(dataset.sample(Split::Train, 0, index)?);
    }
    // A sample with one or two objects, because more names would hide the change; among equals the first.
    let seen = |sample: &Sample| match sample.objects.as_ref().map_or(0, Vec::len) {
        objects @ 0..=2 => objects,
        _ => 0,
    };
    let Some(sample) = samples.iter().rev().max_by_key(|sample| seen(sample)) else {
        return Err(TrainError::Option(format!("{} has no training sample to change", info.name)));
    };
    let folder = out.join("augment");
    make_folder(&folder)?;
    let names = drawn_classes(info);
    let mut sheets = Vec::with_capacity(OPERATIONS.len());
    for operation in OPERATIONS {
        let changed = sheet(operation, sample, SHOWN, 1);
        let titles = std::iter::once(operation.name).chain(std::iter::repeat(""));
        let pictures: Vec<_> =
            std::iter::once(sample).chain(&changed).zip(titles).map(|(s, t)| shown(s, t)).collect();
        let scale = SIDE.div_ceil(pictures[0].0.width().max(pictures[0].0.height()).max(1));
        let png = encode_png(&strip(&pictures, names, scale)).map_err(|error| TrainError::Folder {
            path: folder.clone(),
            problem: format!("cannot draw {}: {error}", operation.name),
        })?;
        write_atomically(&folder.join(format!("{}.png", operation.name)), &png)?;
        sheets.push((operation.name, png));
    }
    Ok(sheets)
}

/// The names of the classes that are drawn.
fn drawn_classes(info: &DatasetInfo) -> &[String] {
    info.label(OBJECTS).or(info.label(MASK)).map_or(&[][..], |label| &label.classes)
}

/// A sample as a picture and what is drawn over it.
fn shown(sample: &Sample, title: &str) -> (RgbImage, Annotated) {
    let boxes = sample.objects.iter().flatten();
    let annotated = Annotated {
        title: title.into(),
        mask: sample.mask.as_ref().map(|mask| (mask.height, mask.width, mask.classes.clone())),
        boxes: boxes.map(|object| DrawnBox { class: object.class, bbox: object.bbox, score: None }).collect(),
        ..Annotated::default()
    };
    (picture_of(sample), annotated)
}

fn coverage(page: &mut Page, account: &Account) {
    page.section("Label coverage");
    let mut labels: Vec<&str> = Vec::new();
    for count in account.parts.iter().flat_map(|part| &part.labels) {
        if !labels.contains(&count.label.as_str()) {
            labels.push(&count.label);
        }
    }
    let header: Vec<&str> = ["part", "pictures"].into_iter().chain(labels.iter().copied()).collect();
    let mut table = Table::new(&header);
    for part in &account.parts {
        let of = |label: &&str| {
            part.labels
                .iter()
                .find(|count| count.label == **label)
                .map_or("0".into(), |count| count.pictures.to_string())
        };
        table.push([part.part.clone(), part.pictures.to_string()].into_iter().chain(labels.iter().map(of)));
    }
    page.table(&table);
}

/// How often each class occurs in each part.
type PartCounts<'a> = BTreeMap<&'a str, Vec<(&'a str, usize)>>;

/// How often each class occurs in each part: the most frequent as bars, all of them in a table.
fn balance(page: &mut Page, account: &Account) {
    const BARS: usize = 30;
    page.section("Class balance");
    let mut charts = Vec::new();
    let mut tables: BTreeMap<&str, PartCounts> = BTreeMap::new();
    for part in &account.parts {
        for label in part.labels.iter().filter(|label| !label.classes.is_empty()) {
            let mut bars: Vec<(String, f64)> =
                label.classes.iter().map(|class| (class.class.clone(), class.count as f64)).collect();
            bars.sort_by(|a, b| b.1.total_cmp(&a.1));
            bars.truncate(BARS);
            charts.push(chart::bars(&format!("{}, {}", label.label, part.part), &bars));
            let classes = tables.entry(&label.label).or_default();
            for class in &label.classes {
                classes.entry(&class.class).or_default().push((&part.part, class.count));
            }
        }
    }
    page.charts(&charts);
    for (label, classes) in tables {
        page.heading(label);
        let mut table = Table::new(&["class", "train", "validation", "test"]);
        for (class, counts) in classes {
            let of = |part: &str| {
                counts
                    .iter()
                    .find(|(name, _)| *name == part)
                    .map_or(String::new(), |(_, count)| count.to_string())
            };
            table.push([class.to_string(), of("train"), of("validation"), of("test")]);
        }
        page.table(&table);
    }
}

fn sizes(page: &mut Page, account: &Account) {
    page.section("Sizes");
    let mut often: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    account.pictures.iter().for_each(|picture| *often.entry(picture.size).or_default() += 1);
    let mut sizes: Vec<([usize; 2], usize)> = often.into_iter().collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let (kinds, most) = (sizes.len(), sizes.iter().take(15));
    let bars: Vec<(String, f64)> =
        most.map(|([rows, columns], count)| (format!("{columns}x{rows}"), *count as f64)).collect();
    let shapes =
        [("wide", 1.05, f64::MAX), ("square", 0.95, 1.05), ("tall", 0.0, 0.95)].map(|(name, from, to)| {
            let ratio =
                |picture: &&cerberus::data::Picture| picture.size[1] as f64 / picture.size[0].max(1) as f64;
            let inside =
                account.pictures.iter().filter(|picture| (from..to).contains(&ratio(picture))).count();
            (name.to_string(), inside as f64)
        });
    page.charts(&[
        chart::bars(&format!("Commonest of {kinds} sizes, width x height"), &bars),
        chart::bars("Shapes", &shapes),
    ]);
}

/// Every problem, with its pictures as they are on disk.
fn problems(page: &mut Page, account: &Account) {
    page.section("Problems");
    if account.findings.is_empty() {
        page.text("None was found.");
    }
    for finding in &account.findings {
        page.heading(&format!("{} {}", finding.count, finding.what));
        page.lines(&finding.first.join("\n"));
        let pictures: Vec<(Vec<u8>, String)> =
            finding.pictures.iter().filter_map(|path| thumbnail(path, finding)).collect();
        page.pictures(&pictures);
    }
}

fn thumbnail(path: &Path, finding: &Finding) -> Option<(Vec<u8>, String)> {
    const SIDE: usize = 240;
    let image = Image::read(path).ok()?;
    let longer = image.height.max(image.width).max(1);
    let side = |side: usize| (side * SIDE.min(longer) / longer).max(1);
    let png = image.resized(side(image.height), side(image.width)).to_png().ok()?;
    Some((png, format!("{}: {}", path.display(), finding.what)))
}

/// A sample with its labels drawn over it.
fn drawn(sample: &Sample, info: &DatasetInfo) -> Option<Vec<u8>> {
    let (picture, annotated) = shown(sample, "");
    let scale = comfortable_scale(picture.width(), picture.height());
    encode_png(&overlay(&picture, &annotated, drawn_classes(info), scale)).ok()
}

/// A sample's class and how many objects it shows.
fn told(sample: &Sample, info: &DatasetInfo) -> String {
    let classes = info.label(cerberus::data::CLASS).map_or(&[][..], |label| &label.classes);
    let class = sample.class.and_then(|class| classes.get(class).cloned());
    let objects = sample.objects.as_ref().map(|objects| format!("{} objects", objects.len()));
    let parts: Vec<String> = class.into_iter().chain(objects).collect();
    if parts.is_empty() { "no label that is counted".into() } else { parts.join(", ") }
}
