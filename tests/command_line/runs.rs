//! The program `runs` as a user runs it.

use std::process::Stdio;

use super::{example, fails, output};

#[test]
fn runs_are_listed_compared_and_printed_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    for seed in ["1", "2"] {
        let out = place(&format!("runs/seed-{seed}"));
        let options = ["--samples", "8", "--epochs", "1", "--batch", "4", "--seed", seed, "--out", &out];
        assert!(output("train", &options).status.success());
    }
    std::fs::create_dir_all(place("runs/broken")).unwrap();
    std::fs::write(place("runs/broken/config.json"), "no JSON").unwrap();
    let runs = place("runs");
    let listed = output("runs", &[&runs, "--sort", "classify", "--descending"]);
    let said = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(
        lines[1].contains("finished") && lines[1].contains("1/1") && lines[1].contains("accuracy"),
        "{said}"
    );
    assert!(lines[3].starts_with("broken") && lines[3].contains("config.json is not"), "{said}");

    let compared = place("compared");
    let chosen = ["--only", "seed-1,seed-2", "--json", "--out", &compared];
    let printed = output("runs", &[&[runs.as_str()][..], &chosen].concat());
    let json: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert!(json[0]["figures"]["classify"]["value"].is_number() && json[0]["problem"].is_null());
    let page = std::fs::read_to_string(folder.path().join("compared/runs.html")).unwrap();
    assert!(page.contains("seed-2") && !page.contains("broken"));

    fails("runs", &[&place("nowhere")], &[1], &["nowhere"]);
    fails("runs", &[&runs, "--sort", "colour"], &[2], &["colour", "images/s"]);
    fails("runs", &[&runs, "--only", "seed-3"], &[2], &["seed-3", "seed-1"]);
}

#[test]
fn a_list_that_nobody_reads_to_its_end_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    // More than a pipe holds.
    for place in 0..800 {
        let run = folder.path().join(format!("{}-{place}", "a".repeat(120)));
        std::fs::create_dir_all(run.join("checkpoints")).unwrap();
    }
    let mut program =
        example("runs").arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(program.stdout.take());
    let ended = program.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"));
    assert!(ended.status.success());
}
