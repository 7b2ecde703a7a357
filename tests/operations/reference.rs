//! The page `docs/operations.md`, made from the list of operations.
//!
//! `CERBERUS_BLESS=1 cargo test --workspace --test operations reference` writes it; without
//! the variable the test fails when the page is not what the list gives.

use std::fmt::Write;

use cerberus_autograd::Group;
use cerberus_autograd::proof::OpInfo;

use crate::all;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

const HEAD: &str = "# Operations

Every operation, as the list in [`ops/mod.rs`](../crates/autograd/src/ops/mod.rs) (and, for losses,
[`losses/mod.rs`](../crates/nn/src/losses/mod.rs)) knows it. Made by

```sh
CERBERUS_BLESS=1 cargo test --workspace --test operations reference
```

and checked by the same test without the variable. The columns: what is computed and its vector-Jacobian product
(`dy` is the gradient of `y`; an input that was stretched gets the sum over what it was stretched to); the shapes;
the orders of gradient offered; the samples every check runs over, and the misuses that must be refused;
PyTorch's name.

What is checked on every sample: the gradient (and, where a second order is offered, the gradient's gradient)
against finite differences to 1e-6; value and gradient against PyTorch to 1e-10; `f32` against `f64`; transposed,
sliced and stretched inputs against contiguous ones; inputs used twice; and that the first two notice when the
gradient is negated, zeroed, scaled by 1.001, shifted along an axis or overwritten. Every operation has a further
sample that is large enough to be split among threads, and gives the same bits on one, two and three. Linear
operations (L) also satisfy the adjoint identity to 1e-12.
";

fn page() -> String {
    let mut page = HEAD.to_string();
    let titles = [
        (Group::Elementwise, "Arithmetic and element by element"),
        (Group::Reduction, "Reductions"),
        (Group::Shape, "Shape"),
        (Group::Algebra, "Linear algebra"),
        (Group::Vision, "Vision"),
        (Group::Normalisation, "Normalisation"),
        (Group::Loss, "Losses"),
    ];
    let all = all();
    for (group, title) in titles {
        write!(page, "\n## {title}\n\n").expect("memory");
        page.push_str("| operation | computes | gradient | shapes | orders | samples | PyTorch |\n|---|---|---|---|---|---|---|\n");
        for info in all.iter().filter(|info| info.facts.group == group) {
            page.push_str(&row(info));
        }
        let notes: Vec<String> =
            all.iter().filter(|info| info.facts.group == group).filter_map(note).collect();
        if !notes.is_empty() {
            write!(page, "\n{}\n", notes.join("\n")).expect("memory");
        }
    }
    page
}

fn row(info: &OpInfo) -> String {
    let facts = &info.facts;
    let cell = |text: &str| text.replace('|', "\\|");
    let mut checks = format!("{}", (info.cases)().len());
    let misuses = (info.error_cases)().len();
    if misuses > 0 {
        write!(checks, ", {misuses} refused").expect("memory");
    }
    if !facts.linear_in.is_empty() {
        checks.push_str(", L");
    }
    let orders = if facts.second_order { "1, 2" } else { "1" };
    format!(
        "| `{}` | {} | {} | {} | {orders} | {checks} | `{}` |\n",
        facts.name,
        cell(facts.formula),
        cell(facts.gradient),
        cell(facts.shapes),
        cell(facts.torch)
    )
}

/// The notes that do not fit the table: kinks, and what happens to NaN.
fn note(info: &OpInfo) -> Option<String> {
    let facts = &info.facts;
    let kinks = (!facts.kinks.is_empty()).then(|| format!("the subgradient at its kinks: {}", facts.kinks));
    let nan = (!facts.nan.is_empty()).then(|| format!("NaN: {}", facts.nan));
    let parts: Vec<String> = kinks.into_iter().chain(nan).collect();
    (!parts.is_empty()).then(|| format!("- `{}`: {}.", facts.name, parts.join("; ")))
}

#[test]
fn the_reference_page_is_what_the_list_gives() {
    let page = page();
    if std::env::var_os("CERBERUS_BLESS").is_some() {
        return std::fs::write(PAGE, page).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    assert!(
        found == page,
        "{PAGE} is stale; write it anew with\n\n    CERBERUS_BLESS=1 cargo test --workspace --test operations reference\n"
    );
}
