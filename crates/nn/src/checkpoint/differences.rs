//! How the tensors of a file and those of a model differ, and what was taken of them.

use std::fmt::{Display, Formatter, Result};

/// A tensor that a file and a model have with different shapes: the name, the shape in the file and the shape in the
/// model.
pub type Reshaped = (String, Vec<usize>, Vec<usize>);

/// All differences between a file and a model, by the names in the file. Displayed with the first few of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// In the model, not in the file.
    pub missing: Vec<String>,
    /// In the file, not in the model.
    pub unexpected: Vec<String>,
    /// In both, with different shapes.
    pub reshaped: Vec<Reshaped>,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.reshaped.is_empty()
    }
}

/// How many names of a kind are displayed.
const SHOWN: usize = 4;

/// The first few of a list, and how many more there are.
pub fn shortened<S: Display>(list: &[S]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN).map(S::to_string).collect();
    let more = list.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

impl Display for Differences {
    fn fmt(&self, f: &mut Formatter) -> Result {
        let verb = |count: usize| if count == 1 { "is" } else { "are" };
        let mut kinds = Vec::new();
        let Self { missing, unexpected, reshaped } = self;
        if !missing.is_empty() {
            kinds.push(format!("{} {} missing", shortened(missing), verb(missing.len())));
        }
        if !unexpected.is_empty() {
            kinds.push(format!("{} {} unexpected", shortened(unexpected), verb(unexpected.len())));
        }
        if !reshaped.is_empty() {
            let shapes = reshaped.iter().map(|(name, found, wanted)| {
                format!("{name} has shape {found:?}, not the model's {wanted:?}")
            });
            kinds.push(shortened(&shapes.collect::<Vec<_>>()));
        }
        f.write_str(&kinds.join("; "))
    }
}

/// What of a file was loaded into a model and what was not, by the names of the model's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Loaded: in the model and in the file, with the same shape.
    pub taken: Vec<String>,
    /// In the model, not in the file.
    pub missing: Vec<String>,
    /// In both, but with different shapes.
    pub reshaped: Vec<Reshaped>,
    /// In the file, not in the model.
    pub unused: Vec<String>,
    /// In the model, and left as they were because they were not asked for.
    pub left: Vec<String>,
}
