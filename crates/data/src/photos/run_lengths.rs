//! COCO's run-length coded masks, uncompressed and compressed.
//!
//! Pixels are counted column by column, from the top left corner down: first a run outside, then a
//! run inside, and so on in turn. `counts` is a list of the run lengths, or a string. In the
//! string, each number from the fourth on is stored as the difference to the number two places
//! before it. A number is a sequence of characters from `'0'` on with five bits each, the lowest
//! bits first; a sixth bit says that more follow, and the highest bit of the last character is the
//! sign (`rleToString` in COCO's `maskApi.c`).

use serde::Deserialize;

use crate::ClassId;

/// A mask as it is in the files.
#[derive(Deserialize)]
pub(super) struct RunLengths {
    /// Rows and columns.
    size: [usize; 2],
    counts: Counts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counts {
    Plain(Vec<i64>),
    Compressed(String),
}

impl RunLengths {
    /// Lengths of the runs outside and inside in turn, which fill `size` rows and columns.
    ///
    /// # Errors
    /// The expected value and the value found.
    pub fn runs(&self, size: [usize; 2]) -> Result<Vec<usize>, (String, String)> {
        if self.size != size {
            let expected = format!("run lengths for the image's {} rows and {} columns", size[0], size[1]);
            return Err((expected, format!("a size of {:?}", self.size)));
        }
        let counts = match &self.counts {
            Counts::Plain(counts) => counts.clone(),
            Counts::Compressed(text) => numbers(text)?,
        };
        let runs: Option<Vec<usize>> = counts.iter().map(|&count| usize::try_from(count).ok()).collect();
        let pixels = size[0] * size[1];
        let sum = runs.as_ref().and_then(|r| r.iter().try_fold(0usize, |sum, &run| sum.checked_add(run)));
        match (runs, sum) {
            (Some(runs), Some(sum)) if sum == pixels => Ok(runs),
            (_, sum) => {
                let found =
                    sum.map_or("a negative or an impossible one".into(), |sum| format!("{sum} in all"));
                Err((format!("run lengths that sum to the image's {pixels} pixels"), found))
            }
        }
    }
}

/// Decodes the numbers of a compressed string.
fn numbers(text: &str) -> Result<Vec<i64>, (String, String)> {
    let fail = |found: String| Err(("counts as COCO compresses them".to_string(), found));
    let mut all: Vec<i64> = Vec::new();
    let (mut value, mut shift) = (0i64, 0);
    for (place, byte) in text.bytes().enumerate() {
        let bits = i64::from(byte) - 48;
        // Seven characters hold more than any number of pixels.
        if !(0..64).contains(&bits) || shift > 35 {
            return fail(format!("the character {:?} at place {place}", char::from(byte)));
        }
        value |= (bits & 31) << shift;
        shift += 5;
        if bits & 32 != 0 {
            continue;
        }
        if bits & 16 != 0 {
            value |= -1 << shift;
        }
        let before = if all.len() > 2 { all[all.len() - 2] } else { 0 };
        all.push(value + before);
        (value, shift) = (0, 0);
    }
    if shift > 0 { fail("a number without its end".into()) } else { Ok(all) }
}

/// The box around the pixels inside, for a picture of `height` rows; without area if there are none.
pub(super) fn bounds(runs: &[usize], height: usize) -> [f32; 4] {
    let height = height.max(1);
    let (mut start, mut bounds) = (0, [usize::MAX, usize::MAX, 0, 0]);
    for pair in runs.chunks(2) {
        start += pair[0];
        let Some(&inside) = pair.get(1).filter(|&&inside| inside > 0) else { continue };
        let last = start + inside - 1;
        // A run that continues in the next column touches the bottom of its column and the top of the next.
        let (left, right) = (start / height, last / height);
        let (top, bottom) = if left == right { (start % height, last % height) } else { (0, height - 1) };
        bounds =
            [bounds[0].min(left), bounds[1].min(top), bounds[2].max(right + 1), bounds[3].max(bottom + 1)];
        start += inside;
    }
    if bounds[2] == 0 { [0.0; 4] } else { bounds.map(|side| side as f32) }
}

/// Writes `value` to the pixels inside the runs; `classes` is `[height, width]`.
pub(super) fn fill(classes: &mut [ClassId], runs: &[usize], value: ClassId, [height, width]: [usize; 2]) {
    let mut start = 0;
    for (index, &run) in runs.iter().enumerate() {
        if index % 2 == 1 {
            (start..start + run).for_each(|place| classes[place % height * width + place / height] = value);
        }
        start += run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(json: &str, size: [usize; 2]) -> Result<Vec<usize>, (String, String)> {
        serde_json::from_str::<RunLengths>(json).unwrap().runs(size)
    }

    /// Results of pycocotools 2.0's `mask.encode`.
    #[test]
    fn plain_and_compressed_counts_are_those_of_pycocotools() {
        for (size, text, expected) in [
            ([5, 7], ";32000004", &[11, 3, 2, 3, 2, 3, 2, 3, 6][..]),
            ([4, 6], "031O0O20N0140L", &[0, 3, 1, 2, 1, 1, 3, 1, 1, 1, 2, 5, 2, 1]),
            ([3, 3], "09", &[0, 9]),
            ([2, 5], ":", &[10]),
        ] {
            let size_text = format!("[{}, {}]", size[0], size[1]);
            let json = format!(r#"{{"size": {size_text}, "counts": "{text}"}}"#);
            assert_eq!(runs(&json, size).unwrap(), expected, "{text}");
            let json = format!(r#"{{"size": {size_text}, "counts": {expected:?}}}"#);
            assert_eq!(runs(&json, size).unwrap(), expected);
        }
        // A large one with a hole: a rectangle of 77 columns and 106 rows.
        let text = format!("_;Z3>{}gM6d0J{}e1{}YU1", "0".repeat(32), "\\O6d0J".repeat(9), "0".repeat(98));
        let json = format!(r#"{{"size": [120, 90], "counts": {}}}"#, serde_json::to_string(&text).unwrap());
        let found = runs(&json, [120, 90]);
        let found = found.unwrap();
        let inside: usize = found.iter().skip(1).step_by(2).sum();
        assert_eq!((&found[..4], inside), (&[367, 106, 14, 106][..], 7962));
    }

    #[test]
    fn runs_go_down_the_columns() {
        let mut classes = vec![0; 6];
        fill(&mut classes, &[1, 2, 3], 7, [2, 3]);
        assert_eq!(classes, [0, 7, 0, 7, 0, 0]);
    }

    #[test]
    fn runs_that_do_not_fit_are_refused_with_what_was_found() {
        let refused = |json: &str| {
            let (expected, found) = runs(json, [2, 3]).unwrap_err();
            format!("{expected}; {found}")
        };
        assert!(refused(r#"{"size": [3, 2], "counts": [6]}"#).contains("[3, 2]"));
        assert!(refused(r#"{"size": [2, 3], "counts": [1, 2]}"#).contains("3 in all"));
        assert!(refused(r#"{"size": [2, 3], "counts": [7, -1]}"#).contains("negative"));
        assert!(refused(r#"{"size": [2, 3], "counts": "6 "}"#).contains("' '"));
        assert!(refused(r#"{"size": [2, 3], "counts": "6P"}"#).contains("without its end"));
        assert!(refused(r#"{"size": [2, 3], "counts": "oooooooooo"}"#).contains("place"));
        assert!(
            refused(r#"{"size": [2, 3], "counts": [9223372036854775807, 9223372036854775807, 2]}"#)
                .contains("impossible")
        );
    }
}
