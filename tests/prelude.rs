//! The prelude's page lists everything in the prelude and nothing else.

use std::collections::BTreeSet;

#[test]
fn the_page_of_the_prelude_names_everything_in_it_and_nothing_else() {
    let source = include_str!("../src/lib.rs");
    let prelude = source.split("pub mod prelude {").nth(1).and_then(|rest| rest.split("\n}").next());
    let uses = prelude.expect("the module").split("pub use crate::").skip(1);
    let imported: BTreeSet<(String, String)> = uses
        .flat_map(|import| {
            let (module, rest) = import.split_once("::{").expect("a list of names");
            let names = rest.split('}').next().expect("its end").split(',').map(str::trim);
            names
                .filter(|name| !name.is_empty())
                .map(|name| (module.to_string(), name.to_string()))
                .collect::<Vec<_>>()
        })
        .collect();

    let page = include_str!("../docs/prelude.md");
    let mut listed = BTreeSet::new();
    for section in page.split("\n## [`").skip(1) {
        let module = section.split('`').next().expect("its name");
        for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
            let name = row.split('`').next().expect("its end");
            assert!(listed.insert((module.to_string(), name.to_string())), "{name} is listed twice");
        }
    }
    assert!(imported.len() > 40, "the prelude was not understood");
    assert_eq!(listed, imported, "docs/prelude.md (left) and the prelude in src/lib.rs (right)");
}
