//! Whether a map lies on an object, whose pixels are known.

use cerberus_tensor::Element;

/// The pointing game (Zhang et al., "Top-Down Neural Attention by Excitation Backprop", 2018): whether the
/// largest value of a map lies on the object or within `tolerance` pixels of it, along the rows or the columns. Of
/// equal values the first counts. `inside` says for each of the map's values, row by row, whether it is the object's;
/// the map has `columns` columns. A map without a largest value, the same everywhere, points nowhere.
///
/// # Panics
/// If there are not as many values in `map` as in `inside`, or no whole rows.
#[track_caller]
pub fn points_inside<T: Element>(map: &[T], inside: &[bool], columns: usize, tolerance: usize) -> bool {
    assert_same_size(map, inside);
    assert!(columns > 0 && map.len().is_multiple_of(columns), "points_inside: no rows of {columns} columns");
    let (Some(most), Some(least)) = (best(map, |a, b| a > b), best(map, |a, b| a < b)) else { return false };
    let has_contrast = map[most] > map[least];
    if !has_contrast {
        return false;
    }
    let (y, x) = (most / columns, most % columns);
    let reach = |at: usize, extent: usize| at.saturating_sub(tolerance)..(at + tolerance + 1).min(extent);
    reach(y, map.len() / columns).any(|y| reach(x, columns).any(|x| inside[y * columns + x]))
}

/// The first place that beats all before it.
fn best<T: Element>(map: &[T], beats: impl Fn(T, T) -> bool) -> Option<usize> {
    (0..map.len()).reduce(|best, place| if beats(map[place], map[best]) { place } else { best })
}

/// The share of a map's positive values that lies on the object, 0 to 1 (the energy-based pointing game: Wang et al.,
/// "Score-CAM", 2020, section 4.3). A map of no object has the object's share of the pixels. `None` without a positive
/// value.
///
/// # Panics
/// If there are not as many values in `map` as in `inside`.
#[track_caller]
pub fn energy_inside<T: Element>(map: &[T], inside: &[bool]) -> Option<f64> {
    assert_same_size(map, inside);
    let positive = map.iter().map(|value| value.as_f64().max(0.0));
    let (mut on, mut all) = (0.0, 0.0);
    for (value, &inside) in positive.zip(inside) {
        all += value;
        on += if inside { value } else { 0.0 };
    }
    (all > 0.0).then(|| on / all)
}

#[track_caller]
fn assert_same_size<T>(map: &[T], inside: &[bool]) {
    assert_eq!(map.len(), inside.len(), "a map and an object of different sizes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_points_and_a_tolerance_reaches_along_rows_and_columns() {
        // Three rows of four; the object is the last column.
        let inside: Vec<bool> = (0..12).map(|i| i % 4 == 3).collect();
        let mut map = [0.0; 12];
        map[7] = 1.0;
        assert!(points_inside(&map, &inside, 4, 0));
        map[5] = 2.0;
        assert!(!points_inside(&map, &inside, 4, 1));
        assert!(points_inside(&map, &inside, 4, 2));
        // A neighbour in memory is not a neighbour in the picture.
        map[8] = 3.0;
        assert!(!points_inside(&map, &inside, 4, 1));
        assert!(!points_inside(&[0.5; 12], &inside, 4, 9), "the same everywhere");
    }

    #[test]
    fn energy_is_the_share_of_what_is_positive() {
        let inside = [true, true, false, false];
        assert_eq!(energy_inside(&[3.0, -5.0, 1.0, 0.0], &inside), Some(0.75));
        assert_eq!(energy_inside(&[1.0; 4], &inside), Some(0.5));
        assert_eq!(energy_inside(&[-1.0, 0.0, -2.0, 0.0], &inside), None);
    }
}
