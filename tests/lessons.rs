//! The lessons print what their comments promise.
//!
//! A line `// prints: ..` in a lesson stands for one line of its output, in the
//! order of the source; other lines may come in between. Words must be the same,
//! numbers agree to one unit of the last digit written, `<1e-9` is any number
//! that small, and `..` at the end allows any rest, for output that depends on
//! the CPU or the instruction set.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lessons that train for seconds: they assert their results, and `.ci/run` runs them.
const LONG: [&str; 3] = ["03_a_layer_from_scratch", "11_a_head_of_your_own", "13_two_senses"];

/// The names of the other lessons in `examples/`, in order.
fn lessons() -> Vec<String> {
    let files = std::fs::read_dir("examples").expect("tests run in the package's folder");
    let name = |file: PathBuf| file.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<String> = files.map(|entry| name(entry.expect("a file").path())).collect();
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_digit()) && !LONG.contains(&name.as_str()));
    names.sort();
    names
}

/// The program of a lesson, built by the same `cargo test` as this one.
fn program(lesson: &str) -> Command {
    let tests = std::env::current_exe().expect("this program has a path");
    let target = tests.parent().and_then(Path::parent).expect("it lies in target/PROFILE/deps");
    let program = target.join("examples").join(format!("{lesson}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built; run the whole of cargo test", program.display());
    Command::new(program)
}

/// What the comments of a lesson promise, in order.
fn promises(lesson: &str) -> Vec<String> {
    let source = read_to_string(format!("examples/{lesson}.rs")).expect("its source");
    let promise = |line: &str| line.trim().strip_prefix("// prints: ").map(str::to_string);
    source.lines().filter_map(promise).collect()
}

/// Whether a printed line is the promised one.
fn keeps(promise: &str, line: &str) -> bool {
    let (promised, open) = match promise.strip_suffix("..") {
        Some(start) => (start, true),
        None => (promise, false),
    };
    let (promised, printed): (Vec<&str>, Vec<&str>) =
        (promised.split_whitespace().collect(), line.split_whitespace().collect());
    (promised.len() == printed.len() || open && promised.len() <= printed.len())
        && promised.iter().zip(&printed).all(|(promised, printed)| agree(promised, printed))
}

/// Whether a printed word is the promised one, to one unit of the last digit if it is a number.
fn agree(promised: &str, printed: &str) -> bool {
    let bare = |word: &str| word.trim_matches(|c: char| "()[],:;".contains(c)).to_string();
    let (promise, number) = (bare(promised), bare(printed));
    let Ok(number) = number.parse::<f64>() else { return promised == printed };
    if let Some(bound) = promise.strip_prefix('<') {
        return number.abs() < bound.parse().expect("a number after <");
    }
    let around = |word: &str, bare: &str| word.replacen(bare, "", 1);
    let Ok(value) = promise.parse::<f64>() else { return false };
    let (digits, exponent) = promise.split_once('e').unwrap_or((&promise, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let unit = 10f64.powi(exponent.parse::<i32>().expect("an exponent") - decimals as i32);
    // A count must be exact, and the brackets around a number must agree, too.
    let within = if unit < 1.0 { 1.000001 * unit } else { 0.0 };
    (number - value).abs() <= within && around(promised, &promise) == around(printed, &bare(printed))
}

#[test]
fn every_lesson_prints_the_numbers_its_comments_promise() {
    for lesson in lessons() {
        let promises = promises(&lesson);
        let numbers =
            promises.iter().filter(|promise| promise.contains(|c: char| c.is_ascii_digit())).count();
        assert!(numbers >= 3, "{lesson} promises {numbers} numbers");
        let output = program(&lesson).output().expect("it runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{lesson}: {}", String::from_utf8_lossy(&output.stderr));
        let mut lines = printed.lines();
        for promise in promises {
            assert!(
                lines.any(|line| keeps(&promise, line)),
                "{lesson} promises, in this place,\n    {promise}\nand prints\n{printed}"
            );
        }
    }
}

#[test]
fn a_promise_is_broken_by_another_number_word_or_bracket() {
    assert!(keeps("step 3: error 0.25, at [1.5, -2.0]", "step 3: error 0.25, at [1.5, -2.0]"));
    assert!(keeps("step   3: error 0.25", "step 3: error 0.26"));
    assert!(!keeps("step 3: error 0.25", "step 3: error 0.27"));
    assert!(!keeps("step 3: error 0.25", "step 4: error 0.25"));
    assert!(!keeps("step 3: error 0.25", "step 3: loss 0.25"));
    assert!(!keeps("[0.25, 1.0]", "(0.25, 1.0)"));
    assert!(keeps("error 1.2e-3", "error 1.3e-3") && !keeps("error 1.2e-3", "error 1.2e-4"));
    assert!(keeps("at most <1e-9", "at most 3.1e-12") && !keeps("at most <1e-9", "at most 1.0e-8"));
    assert!(
        keeps("the same: true, ..", "the same: true, [3f, 3f]")
            && !keeps("the same: true, ..", "the same: false, 1")
    );
}

#[test]
fn a_lesson_ends_well_when_nobody_reads_its_output() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = program("06_gradients_of_gradients").stdout(writer).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
