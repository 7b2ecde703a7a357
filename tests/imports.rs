//! Imports only go down: crates use only crates below them, and no two modules of a
//! crate use each other, directly or in a cycle.
//!
//! Modules are files. A folder's own file (`mod.rs`, `lib.rs`) and the files in it
//! count as one module for the others, so imports between them do not count, and
//! neither do tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The crates, each with those that it may use.
const LAYERS: [(&str, &[&str]); 17] = [
    ("tensor", &[]),
    ("audio", &[]),
    ("metrics", &[]),
    ("report", &[]),
    ("autograd", &["tensor"]),
    ("data", &["audio", "tensor"]),
    ("nn", &["autograd", "distributed", "tensor"]),
    ("balance", &["autograd", "tensor"]),
    ("distributed", &["tensor"]),
    ("launch", &["distributed"]),
    ("draw", &["data", "metrics"]),
    ("multitask", &["audio", "autograd", "balance", "data", "distributed", "metrics", "nn", "tensor"]),
    ("onnx", &["autograd", "multitask", "nn", "tensor"]),
    ("explain", &["autograd", "metrics", "multitask", "nn", "tensor"]),
    ("personal", &["autograd", "data", "metrics", "multitask", "nn", "tensor"]),
    (
        "train",
        &[
            "audio",
            "autograd",
            "balance",
            "data",
            "distributed",
            "draw",
            "explain",
            "metrics",
            "multitask",
            "nn",
            "report",
            "tensor",
        ],
    ),
    (
        "cli",
        &[
            "audio",
            "autograd",
            "balance",
            "data",
            "distributed",
            "draw",
            "explain",
            "launch",
            "metrics",
            "multitask",
            "nn",
            "onnx",
            "personal",
            "report",
            "tensor",
            "train",
        ],
    ),
];

#[test]
fn crates_depend_only_on_crates_below_them() {
    for (name, allowed) in LAYERS {
        let manifest = read_to_string(format!("crates/{name}/Cargo.toml")).expect("its manifest");
        let start = manifest.find("[dependencies]").expect("a list of dependencies");
        let list = manifest[start..].split("\n[").next().expect("it ends");
        let used = list.lines().filter_map(|line| line.strip_prefix("cerberus-")?.split(['.', ' ']).next());
        let forbidden: Vec<&str> = used.filter(|used| !allowed.contains(used)).collect();
        assert!(forbidden.is_empty(), "cerberus-{name} depends on {forbidden:?}, which are not below it");
    }
    let crates = std::fs::read_dir("crates").expect("the crates' folder").count();
    assert_eq!(crates, LAYERS.len(), "a crate is missing in the list above");
}

#[test]
fn no_two_modules_of_a_crate_use_each_other() {
    for (name, _) in LAYERS {
        let root = PathBuf::from(format!("crates/{name}/src"));
        let modules = modules(&root);
        assert!(modules.len() > 2, "cerberus-{name} has {} modules", modules.len());
        let uses: BTreeMap<&Module, BTreeSet<Module>> =
            modules.iter().map(|(module, file)| (module, imports(module, file, &modules))).collect();
        for module in modules.keys() {
            if let Some(way) = way_back(module, &uses) {
                let way: Vec<String> = way.iter().map(|module| module.join("::")).collect();
                panic!("cerberus-{name}: modules use each other in a circle: {}", way.join(" -> "));
            }
        }
    }
}

/// The path of a module inside its crate; empty for the crate itself.
type Module = Vec<String>;

/// Every module of a crate except its tests, with its source.
fn modules(root: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(root).expect("inside").with_extension("");
            let mut module: Module =
                inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| ["mod", "lib"].contains(&last.as_str())) {
                module.pop();
            }
            let is_test = |part: &String| ["tests", "testing", "limits"].contains(&part.as_str());
            if !module.iter().any(is_test) {
                found.insert(module, read_to_string(&path).expect("its source"));
            }
        }
    }
    found
}

/// The modules that a module's `use` lines and paths lead to.
fn imports(module: &Module, source: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().expect("the part before the tests");
    let lines = code.lines().map(|line| line.split("//").next().expect("a part")).collect::<Vec<_>>();
    let code = lines.join("\n");
    let mut paths: Vec<Vec<String>> = Vec::new();
    for statement in code.split("use ").skip(1) {
        spread(&[], statement.split(';').next().expect("a statement"), &mut paths);
    }
    for start in ["crate::", "super::"] {
        for (place, _) in code.match_indices(start) {
            let rest = &code[place..];
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            paths.push(parts(&rest[..end]));
        }
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let base: Module = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("super" | "self") => module.clone(),
            _ => continue,
        };
        let ups = path.iter().take_while(|part| *part == "super").count();
        let kept = base.len().saturating_sub(ups);
        let names = path.iter().skip_while(|part| ["crate", "super", "self"].contains(&part.as_str()));
        let mut target: Module = base[..kept].iter().chain(names).cloned().collect();
        while !modules.contains_key(&target) {
            target.pop();
        }
        // A folder and its files count as one module for the others.
        if !target.is_empty() && !target.starts_with(module) && !module.starts_with(&target) {
            found.insert(target);
        }
    }
    found
}

/// The single paths of a `use` statement, with braces expanded.
fn spread(before: &[String], statement: &str, paths: &mut Vec<Vec<String>>) {
    let (start, list) = match statement.split_once('{') {
        Some((start, list)) => (start, list.trim_end().strip_suffix('}').unwrap_or(list)),
        None => return paths.push([before, &parts(statement)].concat()),
    };
    let before = [before, &parts(start)].concat();
    let (mut depth, mut from) = (0, 0);
    for (place, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                spread(&before, list[from..place].trim(), paths);
                from = (place + 1).min(list.len());
            }
            _ => {}
        }
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect()
}

/// A path of imports from a module back to itself.
fn way_back(start: &Module, uses: &BTreeMap<&Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in uses.get(way.last().expect("a way has a start")).into_iter().flatten() {
            let way: Vec<Module> = way.iter().chain([next]).cloned().collect();
            if next == start {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                ways.push(way);
            }
        }
    }
    None
}

#[test]
fn a_circle_is_found() {
    let source = |text: &str| text.to_string();
    let module = |name: &str| vec![name.to_string()];
    let modules = BTreeMap::from([
        (Vec::new(), source("mod a; mod b; mod c; pub use a::X;")),
        (module("a"), source("use super::{b::{Y, Z}, c};")),
        (module("b"), source("use crate::c::deep::W;")),
        (module("c"), source("fn f() { crate::a::g() }")),
    ]);
    let uses: BTreeMap<&Module, BTreeSet<Module>> =
        modules.iter().map(|(module, file)| (module, imports(module, file, &modules))).collect();
    assert_eq!(uses[&module("a")], BTreeSet::from([module("b"), module("c")]));
    assert_eq!(uses[&module("c")], BTreeSet::from([module("a")]));
    assert!(way_back(&module("a"), &uses).is_some());
    assert!(way_back(&Vec::new(), &uses).is_none());
}
