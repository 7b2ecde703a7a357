//! Text files of annotations: UTF-8 or, with its byte-order mark, UTF-16, with any line endings, and errors that name
//! the line.

use std::path::Path;

use crate::DataError;

/// Reads a text file without its byte-order mark and with `\n` as the only line ending.
pub(crate) fn read(path: &Path) -> Result<String, DataError> {
    let failed = |source, remedy: &str| DataError::Read { path: path.into(), source, remedy: remedy.into() };
    let invalid = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let bytes = std::fs::read(path).map_err(|e| failed(e, "check the path and the file's permissions"))?;
    let text = match utf16(&bytes) {
        Some(text) => text,
        None => String::from_utf8(bytes).ok(),
    };
    let text = text.ok_or_else(|| failed(invalid("it is not UTF-8 text"), "save it as UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.contains('\0') {
        return Err(failed(invalid("it holds zero bytes: no text"), "save it as UTF-8 text"));
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_string() })
}

/// The text of a file that begins with UTF-16's byte-order mark; `Some(None)` if it is damaged.
fn utf16(bytes: &[u8]) -> Option<Option<String>> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    Some(String::from_utf16(&units).ok().filter(|_| bytes.len().is_multiple_of(2)))
}

/// The error for a line, counted from 1.
pub(crate) fn wrong(path: &Path, line: usize, expected: &str, found: &str, remedy: &str) -> DataError {
    DataError::malformed(path, &format!("line {line}"), expected, &format!("\"{}\"", short(found)), remedy)
}

/// The separator of a table's cells: comma, semicolon or tab, whichever is most frequent in the first line.
pub(crate) fn delimiter(content: &str) -> u8 {
    let first = content.lines().next().unwrap_or("");
    let often = |delimiter: u8| first.bytes().filter(|&byte| byte == delimiter).count();
    // In a tie, the last one is taken.
    [b'\t', b';', b','].into_iter().max_by_key(|&delimiter| often(delimiter)).unwrap_or(b',')
}

/// The first 60 characters.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A finite number.
pub(crate) fn number(text: &str) -> Option<f32> {
    text.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}

/// A whole number that is not negative, also written as `3.0` or `3.000e+00`.
pub(super) fn id(text: &str) -> Option<usize> {
    if let Ok(id) = text.trim().parse::<usize>() {
        return Some(id);
    }
    let value = text.trim().parse::<f64>().ok()?;
    (value >= 0.0 && value.fract() == 0.0 && value < 1e15).then_some(value as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_encodings_of_other_systems_are_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        let utf16: Vec<u8> = "\u{feff}é 1\r\n2".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [
            &b"\xc3\xa9 1\n2"[..],
            b"\xc3\xa9 1\r\n2",
            b"\xc3\xa9 1\r2",
            b"\xef\xbb\xbf\xc3\xa9 1\n2",
            &utf16,
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), "é 1\n2");
        }
        for bytes in [&b"\xe9 1"[..], b"a\0b", &utf16[..utf16.len() - 1]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("labels.txt"));
        }
    }

    #[test]
    fn ids_may_be_written_as_decimals() {
        assert_eq!(
            ["7", " 7 ", "7.0", "7.000e+00", "7.5", "-1", "nan", "x", "1e30"].map(id),
            [Some(7), Some(7), Some(7), Some(7), None, None, None, None, None]
        );
    }
}
