//! Code that a document quotes without compiling it must be in a file that the
//! document links to.

use std::fs::read_to_string;
use std::path::Path;

/// A text without indentation and empty lines.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("\n{}\n", lines.join("\n"))
}

#[test]
fn a_block_that_is_not_compiled_stands_in_a_file_that_its_page_links_to() {
    let mut quoted = 0;
    for page in std::fs::read_dir("docs").expect("the documents").map(|entry| entry.expect("a file").path()) {
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = read_to_string(&page).expect("a page");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files: Vec<String> = links
            .filter(|link| link.ends_with(".rs"))
            .filter_map(|link| read_to_string(Path::new("docs").join(link)).ok())
            .map(|source| lines(&source))
            .collect();
        for block in text.split("```rust,ignore\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let found = files.iter().any(|file| file.contains(&lines(block)));
            assert!(found, "{} quotes what no file that it links to says:\n{block}", page.display());
            quoted += 1;
        }
    }
    assert!(quoted > 1, "no page quotes anything");
}
