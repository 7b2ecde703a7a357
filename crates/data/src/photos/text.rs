//! Text files of annotations: UTF-8, with or without a byte-order mark, with
//! any line ends, and errors that name the line.

use std::path::Path;

use crate::DataError;

/// A text file without its byte-order mark.
pub(super) fn read(path: &Path) -> Result<String, DataError> {
    let failed = |source, remedy: &str| DataError::Read { path: path.into(), source, remedy: remedy.into() };
    let bytes = std::fs::read(path).map_err(|e| failed(e, "check the path and the file's permissions"))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, e), "save it as UTF-8 text")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// The error of a line, counted from 1.
pub(super) fn wrong(path: &Path, line: usize, expected: &str, found: &str, remedy: &str) -> DataError {
    let short: String = found.chars().take(60).collect();
    DataError::Malformed {
        path: path.into(),
        place: format!("line {line}"),
        expected: expected.into(),
        found: format!("\"{short}\""),
        remedy: remedy.into(),
    }
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f32> {
    text.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}
