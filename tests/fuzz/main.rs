//! Every reader of files on damaged ones: whatever they hold, the result is data or an error, never a panic, and never
//! more time or memory than is documented.
//!
//! For each [`Reader`](readers::Reader) a few valid sets are made in a folder, one of their files is
//! [damaged](mutate), and the set is read: opened, and its samples made. What is read must be valid as well: boxes
//! inside their picture, existing classes. `cargo test` tries a few hundred inputs of each reader. Many more:
//!
//! ```sh
//! FUZZ_SECONDS=600 FUZZ_READER=coco cargo test --release --test fuzz -- --ignored --nocapture
//! ```
//!
//! `FUZZ_SEED` chooses other inputs, or repeats a failure. A reader's input stays in its folder when it fails.

mod clips;
mod mutate;
mod photos;
mod readers;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::{Random, damage};
use readers::{READERS, Reader};

/// Inputs of each reader in every run of the tests.
const FEW: u64 = 60;

/// A file of a set.
pub struct Part {
    /// Where it lies in the set's folder.
    pub path: String,
    /// Its contents before the damage.
    pub bytes: Vec<u8>,
    /// Whether it is one that gets damaged.
    pub damaged: bool,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn write(folder: &Path, part: &str, bytes: &[u8]) {
    let path = folder.join(part);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A new file: shortening an existing one waits for the disk on some systems.
    let _ = std::fs::remove_file(&path);
    std::fs::write(path, bytes).unwrap();
}

/// Reads inputs from number `first` on until `last` or the time is over; returns how many and how many were accepted.
fn try_inputs(reader: &Reader, inputs: std::ops::Range<u64>, time: Duration) -> [u64; 2] {
    let (started, mut counts) = (Instant::now(), [0, 0]);
    let sets = (reader.sets)();
    let folders: Vec<tempfile::TempDir> = sets.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    for (set, folder) in sets.iter().zip(&folders) {
        set.iter().for_each(|part| write(folder.path(), &part.path, &part.bytes));
        (reader.read)(folder.path()).unwrap_or_else(|error| panic!("{}: a sound set: {error}", reader.name));
    }
    for input in inputs {
        if started.elapsed() > time {
            break;
        }
        let mut random = Random(input.wrapping_mul(0xD134_2543_DE82_EF95));
        let place = random.below(sets.len());
        let damaged = |place: usize| sets[place].iter().filter(|part| part.damaged).collect::<Vec<_>>();
        let part = *random.pick(&damaged(place));
        let other = random.below(sets.len());
        let other = *random.pick(&damaged(other));
        let mut bytes = part.bytes.clone();
        damage(&mut bytes, &other.bytes, reader.words, &mut random);
        let folder = folders[place].path();
        write(folder, &part.path, &bytes);
        counts[0] += 1;
        match attempt(reader, folder) {
            Ok(accepted) => counts[1] += u64::from(accepted),
            Err(problem) => {
                let kept = tempfile::tempdir().unwrap().keep();
                for sound in &sets[place] {
                    write(&kept, &sound.path, &sound.bytes);
                }
                write(&kept, &part.path, &bytes);
                let (name, kept) = (reader.name, kept.display());
                panic!(
                    "the reader {name} {problem}\ninput: {kept}/{}\nagain: FUZZ_READER={name} FUZZ_SEED={input}",
                    part.path
                );
            }
        }
        write(folder, &part.path, &part.bytes);
    }
    counts
}

/// Whether the input was accepted; an error if it was neither read nor refused properly.
fn attempt(reader: &Reader, folder: &Path) -> Result<bool, String> {
    let before = if watch::forget_peak() { watch::peak() } else { None };
    let start = Instant::now();
    watch::reading(Some(folder.into()));
    let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(folder)));
    watch::reading(None);
    let took = start.elapsed();
    let added = watch::peak().zip(before).map_or(0, |(peak, before)| peak.saturating_sub(before));
    match read {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
        }
        Ok(_) if took > watch::SLOWEST => Err(format!("took {took:?}")),
        Ok(_) if added > watch::LARGEST => Err(format!("took {} MB", added >> 20)),
        Ok(Err(message)) if message.trim().is_empty() => Err("refused it without a word".into()),
        Ok(read) => Ok(read.is_ok()),
    }
}

fn chosen() -> impl Iterator<Item = &'static Reader> {
    let name = std::env::var("FUZZ_READER").ok();
    let known = name.as_ref().is_none_or(|name| READERS.iter().any(|reader| reader.name == name));
    assert!(known, "FUZZ_READER must be one of {:?}", READERS.each_ref().map(|reader| reader.name));
    READERS.iter().filter(move |reader| name.as_ref().is_none_or(|name| reader.name == name))
}

/// Checks that faulty readers are found: one that panics and, where the system counts memory, one that takes too
/// much.
fn assert_faults_are_found() {
    let faulty = |read| Reader { name: "faulty", sets: Vec::new, words: &[], read };
    let panics = attempt(&faulty(|folder| panic!("{} as it should", folder.display())), Path::new("panics"));
    assert_eq!(panics, Err("panicked: panics as it should".into()));
    let large = |_: &Path| {
        // Touched, or it would not be in the resident set.
        let bytes = vec![1u8; watch::LARGEST + (64 << 20)];
        if bytes.iter().step_by(4096).all(|&byte| byte == 1) { Ok(()) } else { Err("memory".into()) }
    };
    let found = attempt(&faulty(large), Path::new("large"));
    assert!(
        !watch::forget_peak() || found.as_ref().is_err_and(|problem| problem.ends_with(" MB")),
        "{found:?}"
    );
}

#[test]
fn damaged_files_are_read_or_refused_by_every_reader() {
    assert_faults_are_found();
    watch::start();
    let first = setting("FUZZ_SEED").unwrap_or(0);
    for reader in chosen() {
        let [tried, accepted] = try_inputs(reader, first..first.saturating_add(FEW), Duration::MAX);
        assert!(accepted > 0 && accepted < tried, "{}: {accepted} of {tried} accepted", reader.name);
    }
}

#[test]
fn a_model_file_that_describes_more_than_it_holds_is_refused_before_memory_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let set = readers::described_model();
    set.iter().for_each(|part| write(folder.path(), &part.path, &part.bytes));
    let config = set.iter().find(|part| part.path == "config.json").unwrap();
    let sound: serde_json::Value = serde_json::from_slice(&config.bytes).unwrap();
    let most = 1 << 14;
    for (key, value) in [
        ("stages", serde_json::json!([[most, most], [most], [most]])),
        ("image", serde_json::json!([64, 64, 1u64 << 60])),
        ("image", serde_json::json!([64, 1u64 << 60, 3])),
    ] {
        let mut config = sound.clone();
        config["model"][key] = value;
        write(folder.path(), "config.json", &serde_json::to_vec(&config).unwrap());
        let message = readers::read_described_model(folder.path()).unwrap_err();
        let words = ["described", if key == "stages" { "tensors hold" } else { "larger than any" }];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
#[ignore = "runs as long as FUZZ_SECONDS says, for each reader"]
fn damaged_files_are_read_or_refused_for_a_long_time() {
    watch::start();
    let time = Duration::from_secs(setting("FUZZ_SECONDS").unwrap_or(60));
    let first = setting("FUZZ_SEED").unwrap_or(1 << 32);
    for reader in chosen() {
        let [tried, accepted] = try_inputs(reader, first..u64::MAX, time);
        println!("{}: {tried} inputs, {accepted} accepted", reader.name);
    }
}
