//! Runs that are killed at any moment lose nothing: every file is whole, and the resumed run ends with the same bits.
//!
//! `cargo test` kills a few; `cargo test --release --test killed -- --ignored --nocapture` kills two hundred.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn train(arguments: &[&str]) -> Command {
    program("train", arguments)
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let program: PathBuf = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built; run the whole of cargo test", program.display());
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(balance: &str, out: &Path) -> Command {
    let plan = "--epochs 3 --samples 8 --batch 4 --threads 1 --seed 5";
    let mut command = train(&plan.split(' ').collect::<Vec<_>>());
    command.args(["--balance", balance, "--out"]).arg(out);
    command
}

/// All tensors of the last checkpoint, byte by byte.
fn tensors(run: &Path) -> Vec<u8> {
    let bytes = std::fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// Every file under its final name must be complete.
fn assert_whole(run: &Path) {
    let files = ["config.json", "summary.json", "data.json"].map(|name| run.join(name));
    for path in files.iter().filter(|path| path.exists()) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", path.display());
    }
    for name in ["last", "best"] {
        let path = run.join(format!("checkpoints/{name}.safetensors"));
        if path.exists() {
            cerberus::train::load_model(&path).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    if let Ok(page) = std::fs::read_to_string(run.join("report.html")) {
        assert!(page.trim_end().ends_with("</html>"), "a page that breaks off");
    }
    if let Ok(settings) = std::fs::read_to_string(run.join("train.toml")) {
        assert!(
            settings.parse::<toml::Table>().is_ok_and(|table| table.contains_key("epochs")),
            "{settings}"
        );
    }
    if let Ok(text) = std::fs::read_to_string(run.join("metrics.csv")) {
        let columns: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert!(text.ends_with('\n') && columns.iter().all(|count| *count == columns[0]));
    }
}

/// Kills `kills` runs of a strategy, each at a different moment, resumes them and checks the result; returns how many
/// had begun.
fn kill(balance: &str, kills: usize, mut random: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(balance);
    let clock = Instant::now();
    assert!(start(balance, &run).status().unwrap().success());
    let (took, whole) = (clock.elapsed(), tensors(&run));
    let mut begun = 0;
    for number in 0..kills {
        let run = folder.path().join(number.to_string());
        // Knuth's linear congruential generator; its high bits are good enough for moments.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (random >> 33) as f64 / f64::from(1u32 << 31);
        let mut program = start(balance, &run).spawn().unwrap();
        std::thread::sleep(took.mul_f64(share));
        program.kill().unwrap();
        program.wait().unwrap();
        assert_whole(&run);
        // A run killed before it had a configuration is started again in its folder.
        let resumed = if run.join("config.json").exists() {
            begun += 1;
            train(&["--threads", "1", "--resume"]).arg(&run).status()
        } else {
            start(balance, &run).status()
        };
        assert!(resumed.unwrap().success(), "{balance}, killed after {share:.3} of {took:?}");
        assert!(
            tensors(&run) == whole,
            "{balance}, killed after {share:.3} of {took:?}, ends with other weights"
        );
        assert_whole(&run);
        let names = std::fs::read_dir(run.join("checkpoints")).unwrap().flatten();
        let names: Vec<String> =
            names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
        std::fs::remove_dir_all(&run).unwrap();
    }
    begun
}

#[test]
fn a_killed_run_of_fixed_weights_ends_with_the_same_weights() {
    kill("fixed", 1, 1);
}

#[test]
fn a_killed_run_of_a_strategy_that_stores_numbers_ends_with_the_same_weights() {
    kill("famo", 1, 2);
}

#[test]
fn a_killed_run_of_a_strategy_that_stores_gradients_ends_with_the_same_weights() {
    kill("gradvac", 1, 3);
}

/// The index of a personal store, and the file of numbers that it names; nothing if there is no store.
fn stored(store: &Path) -> Vec<Vec<u8>> {
    let Ok(index) = std::fs::read(store.join("store.json")) else { return Vec::new() };
    let text: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let numbers = text["learned"].as_str().map(|name| std::fs::read(store.join(name)).unwrap());
    std::iter::once(index).chain(numbers).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| word.to_string()).collect()
}

/// When a command is killed.
#[derive(Debug)]
enum Moment {
    /// After this share of the time that it takes.
    Share(f64),
    /// As soon as the folder has a file whose name begins so, and that was not there before.
    Appears(&'static str),
    /// As soon as the index is another one.
    Changed,
}

/// The steps of writing a store, as its folder shows them.
const STEPS: [Moment; 4] =
    [Moment::Appears(".learned-"), Moment::Appears("learned-"), Moment::Appears(".store"), Moment::Changed];

impl Moment {
    fn wait(&self, store: &Path, took: Duration, program: &mut Child) {
        let (clock, before, index) = (Instant::now(), names(store), stored(store).first().cloned());
        let is_new = |name: &String, start: &str| name.starts_with(start) && !before.contains(name);
        let come = || match self {
            Moment::Share(share) => clock.elapsed() >= took.mul_f64(*share),
            Moment::Appears(start) => names(store).iter().any(|name| is_new(name, start)),
            Moment::Changed => std::fs::read(store.join("store.json")).ok() != index,
        };
        while !come() && program.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}

/// A base, pictures, and a store with two classes, all in one folder.
struct Personal {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Personal {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        assert!(start("fixed", &run).status().unwrap().success());
        let own = Self { model: run.join("checkpoints/best.safetensors"), folder };
        for command in [own.teach("mug", 0), own.teach("hat", 1)] {
            assert!(own.program(&own.first(), &command).status().unwrap().success());
        }
        own
    }

    fn picture(&self, i: usize) -> String {
        self.folder.path().join(format!("run/samples/test_00{i}.png")).to_str().unwrap().to_string()
    }

    fn teach(&self, class: &str, i: usize) -> Vec<String> {
        words(&["teach", "--keep-pictures", "--class", class, &self.picture(i)])
    }

    fn program(&self, store: &Path, command: &[String]) -> Command {
        let (model, store) = (self.model.to_str().unwrap(), store.to_str().unwrap());
        let mut all = words(&["--threads", "1", "--model", model, "--user", store]);
        all.extend_from_slice(command);
        let mut program = program("personal", &all.iter().map(String::as_str).collect::<Vec<_>>());
        program.env("SOURCE_DATE_EPOCH", "1700000000");
        program
    }

    /// The store with two classes.
    fn first(&self) -> PathBuf {
        self.folder.path().join("first")
    }

    /// A copy of the store with two classes, or no store.
    fn begin(&self, store: &Path, taught: bool) {
        let _ = std::fs::remove_dir_all(store);
        for part in ["", "pictures"].iter().filter(|_| taught) {
            std::fs::create_dir_all(store.join(part)).unwrap();
            for entry in std::fs::read_dir(self.first().join(part)).unwrap().flatten() {
                if entry.path().is_file() {
                    std::fs::copy(entry.path(), store.join(part).join(entry.file_name())).unwrap();
                }
            }
        }
    }

    /// Every command that changes a store, and whether it needs one in which something was taught.
    fn commands(&self) -> Vec<(Vec<String>, bool)> {
        let other = self.folder.path().join("other");
        let exported = other.join("exported.safetensors");
        let export = words(&["export", exported.to_str().unwrap()]);
        for command in [self.teach("scarf", 0), self.teach("cap", 2), export] {
            assert!(self.program(&other, &command).status().unwrap().success());
        }
        vec![
            (self.teach("cap", 2), true),
            (words(&["correct", &self.picture(0), "--class", "hat"]), true),
            (words(&["forget", "mug"]), true),
            (words(&["undo", "2"]), true),
            (words(&["merge", other.to_str().unwrap()]), true),
            (words(&["import", exported.to_str().unwrap()]), false),
            (words(&["adapt", &self.picture(0), &self.picture(1)]), false),
        ]
    }
}

/// Kills every command that changes a store at each step of its writing and at `kills` other moments, and checks that the
/// store is the one before or the one after; returns how often it was which.
fn kill_personal(kills: usize, mut random: u64) -> [usize; 2] {
    let own = Personal::new();
    let store = own.folder.path().join("store");
    let mut counts = [0; 2];
    for (command, taught) in own.commands() {
        own.begin(&store, taught);
        let before = stored(&store);
        let clock = Instant::now();
        assert!(own.program(&store, &command).status().unwrap().success(), "{command:?}");
        let (took, after) = (clock.elapsed(), stored(&store));
        assert_ne!(before, after);
        let shares = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The end, where files are written, is met more often.
            Moment::Share(((random >> 33) as f64 / f64::from(1u32 << 31)).sqrt())
        });
        for moment in STEPS.into_iter().chain(shares.take(kills)) {
            own.begin(&store, taught);
            let mut program = own.program(&store, &command).spawn().unwrap();
            moment.wait(&store, took, &mut program);
            program.kill().unwrap();
            program.wait().unwrap();
            let found = stored(&store);
            assert!(found == before || found == after, "{command:?}, killed at {moment:?} of {took:?}");
            counts[usize::from(found == after)] += 1;
            // What was left behind is gone after the next change.
            let next = own.program(&store, &own.teach("scarf", 2)).stderr(Stdio::piped()).output().unwrap();
            assert!(next.status.success(), "{command:?}: {}", String::from_utf8_lossy(&next.stderr));
            let expected = ["base.json", "lock", "pictures", "store.json"];
            let left: Vec<String> =
                names(&store).into_iter().filter(|name| !expected.contains(&name.as_str())).collect();
            assert!(left.len() == 1 && left[0].starts_with("learned-"), "{command:?}, {moment:?}: {left:?}");
        }
    }
    counts
}

#[test]
fn a_killed_command_leaves_a_personal_store_as_before_or_as_after() {
    let [before, after] = kill_personal(1, 5);
    assert!(before > 0 && after > 0, "killed {before} times before the change, {after} times after it");
}

#[test]
#[ignore = "takes minutes; see the top of this file"]
fn two_hundred_killed_commands_leave_personal_stores_whole() {
    let [before, after] = kill_personal(25, 6);
    println!("the store was {before} times as before, {after} times as after");
}

#[test]
#[ignore = "takes minutes; see the top of this file"]
fn two_hundred_killed_runs_end_with_the_same_weights() {
    let begun =
        [("fixed", 67), ("famo", 67), ("gradvac", 66)].map(|(balance, kills)| kill(balance, kills, 4));
    println!("{} of 200 had begun when they were killed", begun.iter().sum::<usize>());
}
