//! HTML reports: one file with its tables, charts and pictures inside. It opens without a network, in light and dark
//! mode, on wide and narrow screens, and on paper.
//!
//! - [`Page`] collects sections, tables, charts and pictures;
//! - [`chart`] draws lines, bars and heat maps as SVG in the page's colours.
//!
//! This crate knows nothing of networks or data sets: callers pass names and numbers.
//!
//! ```
//! use cerberus_report::{Page, Table, chart};
//! let mut page = Page::new("Two runs");
//! page.section("Losses");
//! let lines = [chart::Series::new("first", vec![[1.0, 0.9], [2.0, 0.4]])];
//! page.charts(&[chart::lines("Loss", ["epoch", "loss"], &lines)]);
//! page.table(&Table::new(&["run", "loss"]).row(["first".into(), "0.4".into()]));
//! assert!(page.finish().contains("<svg"));
//! ```
#![forbid(unsafe_code)]

pub mod chart;
mod escape;
mod page;
mod table;

pub use page::{Cell, Page};
pub use table::Table;
