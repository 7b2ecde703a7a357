//! Patterns that name parameters by their paths.

use glob::{MatchOptions, Pattern};

/// A pattern for parameters: the path of one (`head.bias`) or of a part that holds some (`trunk`), or either with `*` and
/// `?` (`*.norm*`).
///
/// ```
/// let pattern = cerberus_nn::PathPattern::new("trunk.stage*").unwrap();
/// assert!(pattern.names("trunk.stage1.conv.weight") && !pattern.names("heads.stage.weight"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Pattern);

impl PathPattern {
    /// The pattern in a text.
    ///
    /// # Errors
    /// A sentence that says where it cannot be understood.
    pub fn new(text: &str) -> Result<Self, String> {
        Pattern::new(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whether it names the parameter at `path`, or a part that holds it.
    pub fn names(&self, path: &str) -> bool {
        let matches = |path: &str| self.0.matches_with(path, MatchOptions::default());
        path.match_indices('.').any(|(end, _)| matches(&path[..end])) || matches(path)
    }
}
