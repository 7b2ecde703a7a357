//! The cheapest assignment of rows to columns.
//!
//! The Hungarian method in the form of Jonker and Volgenant ("A Shortest Augmenting Path Algorithm for Dense and Sparse
//! Linear Assignment Problems", 1987, without its heuristics for a start). Rows are added one by one. Every row and
//! column has a price such that no cost is below the sum of its row's and its column's, and that assigned pairs cost
//! exactly this sum; the new row then searches the shortest way to a free column, and all rows on that way change their
//! columns.

/// Assigns rows to columns, one to one, so that the sum of their costs is the smallest possible. `cost` is `[rows,
/// columns]`; of a matrix that is not square, the smaller side is assigned completely. Returns the column of each row,
/// if it has one.
///
/// Takes time in proportion to `rows * columns * min(rows, columns)`.
///
/// ```
/// use cerberus_metrics::tracking::assign;
/// assert_eq!(assign(&[1.0, 2.0, 3.0, 1.0, 4.0, 9.0], 2, 3), [Some(1), Some(0)]); // 2 + 1, not 1 + 4
/// ```
///
/// # Panics
/// When the matrix does not have `rows * columns` costs, or one is not finite.
#[track_caller]
pub fn assign(cost: &[f64], rows: usize, columns: usize) -> Vec<Option<usize>> {
    assert!(
        cost.len() == rows * columns && cost.iter().all(|cost| cost.is_finite()),
        "assign: {rows} rows and {columns} columns need as many finite costs, there are {} of {}",
        cost.iter().filter(|cost| cost.is_finite()).count(),
        cost.len()
    );
    if rows <= columns {
        return assign_wide(rows, columns, &|row, column| cost[row * columns + column]);
    }
    turned(&assign_wide(columns, rows, &|column, row| cost[row * columns + column]), rows)
}

/// The place of each number below `count` in a list.
fn turned(list: &[Option<usize>], count: usize) -> Vec<Option<usize>> {
    let mut places = vec![None; count];
    for (place, number) in list.iter().enumerate() {
        if let Some(number) = number {
            places[*number] = Some(place);
        }
    }
    places
}

/// The same for at most as many rows as columns; each row gets a column.
fn assign_wide(rows: usize, columns: usize, cost: &dyn Fn(usize, usize) -> f64) -> Vec<Option<usize>> {
    let (mut row_price, mut column_price) = (vec![0.0; rows], vec![0.0; columns]);
    let mut row_of: Vec<Option<usize>> = vec![None; columns];
    for new in 0..rows {
        // For each column: how far it is from the new row, the column before it on the way, and whether the shortest
        // way to it is known.
        let mut distance = vec![f64::INFINITY; columns];
        let mut before: Vec<Option<usize>> = vec![None; columns];
        let mut done = vec![false; columns];
        let (mut row, mut last) = (new, None);
        let free = loop {
            let way = last.map_or(0.0, |column: usize| distance[column]);
            for column in (0..columns).filter(|&column| !done[column]) {
                let through = way + cost(row, column) - row_price[row] - column_price[column];
                if through < distance[column] {
                    (distance[column], before[column]) = (through, last);
                }
            }
            let open = (0..columns).filter(|&column| !done[column]);
            let Some(nearest) = open.min_by(|&a, &b| distance[a].total_cmp(&distance[b])) else {
                unreachable!("there is a free column, because there are at least as many as rows");
            };
            done[nearest] = true;
            match row_of[nearest] {
                Some(next) => (row, last) = (next, Some(nearest)),
                None => break nearest,
            }
        };
        // Prices change by what the way is shorter than that to the free column.
        row_price[new] += distance[free];
        for column in (0..columns).filter(|&column| done[column] && column != free) {
            let change = distance[free] - distance[column];
            column_price[column] -= change;
            if let Some(row) = row_of[column] {
                row_price[row] += change;
            }
        }
        // Everybody on the way moves on by one column.
        let mut column = free;
        while let Some(previous) = before[column] {
            row_of[column] = row_of[previous];
            column = previous;
        }
        row_of[column] = Some(new);
    }
    turned(&row_of, rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least sum, by trying everything: the smaller side is assigned completely.
    fn least(cost: &[Vec<f64>]) -> f64 {
        fn rest(cost: &[Vec<f64>], used: &mut [bool], skips: usize) -> f64 {
            let Some((row, below)) = cost.split_first() else { return 0.0 };
            let mut best = if skips > 0 { rest(below, used, skips - 1) } else { f64::INFINITY };
            for column in 0..row.len() {
                if !used[column] {
                    used[column] = true;
                    best = best.min(row[column] + rest(below, used, skips));
                    used[column] = false;
                }
            }
            best
        }
        let columns = cost.first().map_or(0, Vec::len);
        rest(cost, &mut vec![false; columns], cost.len().saturating_sub(columns))
    }

    proptest! {
        #[test]
        fn the_assignment_is_the_cheapest_of_all(
            cost in (0usize..6, 1usize..6).prop_flat_map(|(rows, columns)| {
                // Whole numbers and few of them, so that many sums are equal, and exact.
                prop::collection::vec(prop::collection::vec((-4i32..8).prop_map(f64::from), columns), rows)
            })
        ) {
            let (rows, columns) = (cost.len(), cost.first().map_or(3, Vec::len));
            let found = assign(&cost.concat(), rows, columns);
            let used: Vec<usize> = found.iter().flatten().copied().collect();
            let mut distinct = used.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(found.len(), rows);
            prop_assert_eq!((distinct.len(), used.len()), (used.len(), rows.min(columns)));
            let sum: f64 = found.iter().zip(&cost).filter_map(|(column, row)| Some(row[(*column)?])).sum();
            prop_assert_eq!(sum, least(&cost));
        }
    }

    #[test]
    fn empty_and_large_problems_are_solved() {
        assert_eq!(assign(&[], 0, 4), []);
        assert_eq!(assign(&[], 3, 0), [None; 3]);
        // The best is on the other diagonal: every new row moves all those before it.
        let size = 60;
        let cost: Vec<f64> = (0..size * size).map(|at| ((at / size) * (at % size)) as f64).collect();
        let expected: Vec<Option<usize>> = (0..size).rev().map(Some).collect();
        assert_eq!(assign(&cost, size, size), expected);
    }
}
