//! Every tile kernel against its formula, and what the safe wrapper refuses.

use super::*;
use crate::conv::kernels;
use crate::conv::kernels::Kernels;

/// Every kernel of every set against the formula, ragged edges included.
fn check<T: Element>(sets: Vec<Kernels<T>>) {
    let value = |i: usize| T::from_f64(((i * 37 % 19) as f64 - 9.0) / 8.0);
    for set in sets {
        for vectors in 1..=2 {
            for rows in 0..=2 * set.tiles.rows + 1 {
                let width = vectors * set.lanes;
                for columns in [1, width - 1, width] {
                    let a: Vec<T> = (0..400).map(value).collect();
                    let b: Vec<T> = (0..40 * width + 60).map(|i| value(i + 5)).collect();
                    let bias: Vec<T> = (0..width).map(|i| value(i + 11)).collect();
                    let c_row = columns + 3;
                    let segments =
                        [Segment { a: 3, b: width, len: 7 }, Segment { a: 40, b: 12 * width, len: 11 }];
                    let kinds = [(5, 1, width), (1, 3, width), (1, 1, width + 2)];
                    let starts = [Start::Row(&bias[..]), Start::Stored, Start::Apart];
                    for (start, (a_row, a_step, b_step)) in
                        starts.into_iter().flat_map(|s| kinds.map(|k| (s, k)))
                    {
                        let stored: Vec<T> = (0..rows * c_row).map(|i| value(i + 2)).collect();
                        let mut c = stored.clone();
                        let tile = Tile {
                            a: &a,
                            a_row,
                            a_step,
                            b: &b,
                            b_step,
                            segments: &segments,
                            c_row,
                            columns,
                            start,
                            activation: Rectifier::Relu,
                            ahead: if vectors == 1 { &a } else { &[] },
                        };
                        set.tiles.run(rows, vectors, &tile, &mut c);
                        for i in 0..rows * c_row {
                            let (row, column) = (i / c_row, i % c_row);
                            let expected = if column >= columns {
                                stored[i]
                            } else {
                                let first = match start {
                                    Start::Row(bias) => bias[column],
                                    Start::Stored | Start::Apart => stored[i],
                                };
                                let sum = segments.iter().fold(first, |sum, s| {
                                    (0..s.len).fold(sum, |sum, p| {
                                        sum + a[s.a + p * a_step + row * a_row] * b[s.b + p * b_step + column]
                                    })
                                });
                                sum.max(T::ZERO)
                            };
                            // The sample values are eighths, so sums are exact in any order.
                            assert_eq!(
                                c[i],
                                expected,
                                "{} {rows}x{vectors}, {columns} columns",
                                set.isa.name()
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_kernel_of_every_instruction_set_equals_the_formula() {
    check(kernels::available::<f32>());
    check(kernels::available::<f64>());
}

#[test]
#[should_panic(expected = "a tile reaches outside its slice")]
fn a_tile_that_reaches_outside_its_slice_is_refused() {
    let set = f32::kernels();
    let (a, b) = ([0.0; 4], vec![0.0; 2 * set.lanes]);
    let segments = [Segment { a: 0, b: 0, len: 3 }];
    let tile = Tile {
        a: &a,
        a_row: 1,
        a_step: 1,
        b: &b,
        b_step: set.lanes,
        segments: &segments,
        c_row: set.lanes,
        columns: set.lanes,
        start: Start::Stored,
        activation: Rectifier::None,
        ahead: &[],
    };
    set.tiles.run(1, 1, &tile, &mut vec![0.0; set.lanes]);
}
