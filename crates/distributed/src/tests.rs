//! Sums over shards by groups of threads.

use std::sync::Arc;
use std::thread;

use crate::{Alone, Counted, Group, Meeting, Message, Parts, Shards, Sum, thread_groups};

/// What `work` gives on every rank of a group.
fn on_each<R: Send>(size: usize, work: impl Fn(Arc<dyn Group>) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let ranks: Vec<_> =
            thread_groups(size).into_iter().map(|group| scope.spawn(|| work(group))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Numbers whose sum depends on the order.
fn leaf(shard: usize, len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((shard * 7919 + i * 104_729) as f32 * 0.618).sin() * 10f32.powi(shard as i32 % 5))
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn sums_have_the_same_bits_for_any_number_of_processes() {
    for message in [Message::Exact, Message::Bf16] {
        for count in [1, 2, 3, 5, 8, 13] {
            for len in [0, 1, 5, 1000] {
                let sum = |group| {
                    let shards = Shards::new(group, count).unwrap();
                    shards.sum(shards.own().map(|shard| leaf(shard, len)), message)
                };
                let alone = sum(Arc::new(Alone));
                for size in 1..=count.min(8) {
                    for other in on_each(size, sum) {
                        assert_eq!(bits(&other), bits(&alone), "{count} shards of {len} in {size} processes");
                    }
                }
            }
        }
    }
}

#[test]
fn another_order_gives_other_bits() {
    let tree = {
        let shards = Shards::new(Arc::new(Alone), 8).unwrap();
        shards.sum(shards.own().map(|shard| leaf(shard, 1000)), Message::Exact)
    };
    let in_a_row =
        (0..8).map(|shard| leaf(shard, 1000)).reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect());
    assert_ne!(bits(&in_a_row.unwrap()), bits(&tree));
}

#[test]
fn a_vector_that_comes_in_parts_in_any_order_gives_the_same_sum() {
    let len = (1 << 20) + 100;
    let sum = |group: Arc<dyn Group>, in_parts: bool| {
        let shards = Shards::new(group, 2).unwrap();
        let mut sum = Sum::new(&shards, len, Message::Exact);
        for shard in shards.own() {
            let mut values = leaf(shard, len);
            values[7..50].fill(0.0);
            if !in_parts {
                sum.push(values);
                continue;
            }
            let mut parts: Vec<std::ops::Range<usize>> = vec![50..700_000, 700_000..len, 0..7];
            parts.rotate_left(shard);
            let mut leaf = sum.leaf();
            parts.into_iter().for_each(|part| leaf.put(part.start, &values[part.clone()]));
            leaf.finish();
        }
        sum.finish()
    };
    let alone = sum(Arc::new(Alone), false);
    assert!(sum(Arc::new(Alone), true) == alone);
    assert!(on_each(2, |group| sum(group, true)).iter().all(|sum| *sum == alone));
}

#[test]
fn sums_longer_than_a_bucket_are_put_together() {
    let sums = on_each(2, |group| {
        let shards = Shards::new(group, 2).unwrap();
        shards.sum(shards.own().map(|shard| vec![shard as f32 + 1.0; (1 << 20) + 3]), Message::Exact)
    });
    assert!(sums.iter().all(|sum| sum.len() == (1 << 20) + 3 && sum.iter().all(|&x| x == 3.0)));
}

#[test]
fn numbers_of_64_bits_are_sent_as_they_are() {
    let sums = on_each(3, |group| {
        let shards = Shards::new(group, 3).unwrap();
        shards.sum(shards.own().map(|shard| vec![0.1f64 * shard as f64]), Message::Exact)
    });
    assert!(sums.iter().all(|sum| sum[0] == (0.0 + 0.1) + 0.2));
}

#[test]
fn every_sample_is_in_one_shard_and_every_shard_in_one_process() {
    for (size, count, batch) in [(1, 1, 5), (2, 8, 32), (3, 8, 33), (5, 7, 100)] {
        let runs = on_each(size, |group| {
            let shards = Shards::new(group, count).unwrap();
            assert!(shards.own().all(|shard| shards.owner(shard) == shards.group().rank()));
            shards.own_samples(batch)
        });
        let places: Vec<usize> = runs.into_iter().flatten().collect();
        assert_eq!(places, (0..batch).collect::<Vec<_>>());
    }
}

#[test]
fn what_each_shard_has_is_known_to_all() {
    let all = on_each(3, |group| {
        let shards = Shards::new(group, 5).unwrap();
        shards.gather(shards.own().map(|shard| vec![shard as u8; shard]).collect())
    });
    assert!(
        all.iter().all(|all| *all == (0..5).map(|shard| vec![shard; shard as usize]).collect::<Vec<_>>())
    );
}

#[test]
fn rank_0_tells_the_others_and_hears_from_them() {
    let heard = on_each(3, |group| {
        let rank = group.rank() as u8;
        group.barrier();
        assert_eq!(group.broadcast(vec![rank + 7]), [7]);
        assert!(group.any(rank == 2) && !group.any(false));
        let all = group.gather_at_first(vec![rank; rank as usize]);
        all.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>()
    });
    assert_eq!(heard, [vec![vec![], vec![1], vec![2, 2]], vec![vec![]; 3], vec![vec![]; 3]]);
}

#[test]
fn a_sum_sends_twice_its_length_less_the_own_share() {
    for (message, bytes) in [(Message::Exact, 4), (Message::Bf16, 2)] {
        for size in [2, 4, 8] {
            let sent = on_each(size, |group| {
                let counted = Arc::new(Counted::new(group));
                let shards = Shards::new(counted.clone(), 8).unwrap();
                shards.sum(shards.own().map(|shard| leaf(shard, 4000)), message);
                counted.take()
            });
            assert!(
                sent.iter().all(|&sent| sent == 2 * (size - 1) * 4000 * bytes / size),
                "{size}: {sent:?}"
            );
        }
    }
}

/// Runs of different lengths, dealt to the ranks one after another; the last rank may have none.
fn dealt(len: usize, size: usize) -> Parts {
    let ends = (0..).map(|run| run * run * 37).take_while(|end| *end < len).chain([len]).collect::<Vec<_>>();
    Parts::new(ends.windows(2).enumerate().map(|(run, ends)| (ends[1] - ends[0], run % size)))
}

#[test]
fn an_owner_gets_the_bits_of_the_whole_sum_for_half_of_the_bytes() {
    // Less than a run for each rank, and more than a bucket.
    for (message, bytes, len) in
        [(Message::Exact, 4, 20), (Message::Exact, 4, 3000), (Message::Bf16, 2, (1 << 19) + 1000)]
    {
        let whole = |group: Arc<dyn Group>| {
            let shards = Shards::new(group, 8).unwrap();
            shards.sum(shards.own().map(|shard| leaf(shard, len)), message)
        };
        let expected = whole(Arc::new(Alone));
        for size in [1, 2, 4, 8] {
            let parts = dealt(len, size);
            let found = on_each(size, |group| {
                let counted = Arc::new(Counted::new(group));
                let shards = Shards::new(counted.clone(), 8).unwrap();
                let mut sum = Sum::to_owners(&shards, &parts, message);
                shards.own().for_each(|shard| sum.push(leaf(shard, len)));
                let mut own = Vec::new();
                sum.finish_own(|part| own.extend_from_slice(&part));
                let sent = counted.take();
                // All get the rest from the owners, exactly.
                let mut all = Vec::new();
                let (first, rest) = own.split_at(own.len() / 3);
                parts.gather(&*counted, &[first, &[], rest], |some| all.extend_from_slice(some));
                (own, all, sent, counted.take())
            });
            for (rank, (own, all, sent, told)) in found.iter().enumerate() {
                let numbers = parts.within(0..len).filter(|(_, owner)| *owner == rank);
                let numbers: Vec<f32> = numbers.flat_map(|(run, _)| expected[run].to_vec()).collect();
                assert!(bits(own) == bits(&numbers) && bits(all) == bits(&expected), "rank {rank} of {size}");
                assert_eq!(own.len(), parts.len_of(rank));
                assert_eq!((*sent, *told), ((len - own.len()) * bytes, (size - 1) * own.len() * 4));
            }
            let sent: usize = found.iter().map(|(_, _, sent, _)| sent).sum();
            assert_eq!(sent, (size - 1) * len * bytes);
        }
    }
}

#[test]
fn numbers_that_are_handed_over_come_in_the_order_of_the_vector() {
    let len = (1 << 19) + 777;
    let numbers: Vec<f64> = (0..len).map(|place| place as f64).collect();
    for size in [1, 2, 5] {
        let from = dealt(len, size);
        let to =
            Parts::new((0..size).map(|rank| ((rank + 1) * len / size - rank * len / size, size - 1 - rank)));
        for (from, to) in [(&from, &to), (&to, &from), (&from, &Parts::new([(len, 0)]))] {
            let of = |parts: &Parts, rank: usize| -> Vec<f64> {
                let runs = parts.within(0..len).filter(|(_, owner)| *owner == rank);
                runs.flat_map(|(run, _)| numbers[run].to_vec()).collect()
            };
            let found = on_each(size, |group| from.hand_over(&*group, &[&of(from, group.rank())], to));
            assert!((0..size).all(|rank| found[rank] == of(to, rank)));
        }
    }
}

#[test]
fn neighbours_of_one_rank_are_one_run_and_empty_runs_none() {
    let parts = Parts::new([(3, 1), (0, 2), (2, 1), (4, 0)]);
    assert_eq!(parts, Parts::new([(5, 1), (4, 0)]));
    assert_eq!((parts.len(), parts.len_of(0), parts.len_of(1), parts.len_of(2)), (9, 4, 5, 0));
    assert_eq!(parts.within(2..7).collect::<Vec<_>>(), [(2..5, 1), (5..7, 0)]);
    assert_eq!(parts.within(5..5).count() + parts.within(9..9).count(), 0);
    assert!(Parts::default().is_empty());
}

#[test]
fn fewer_shards_than_processes_are_refused() {
    let group = thread_groups(4).remove(0);
    let told = Shards::new(group, 2).err().unwrap();
    assert!(told.contains("4 processes cannot share 2 shards") && told.contains("--shards 4"), "{told}");
}

/// What two have, in order.
fn side_by_side(a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
    [a, b].concat()
}

#[test]
fn passes_meet_where_they_come_to_and_not_where_they_do_not() {
    // Shard 1 skips place 3, shard 2 all but place 7, shard 4 everything.
    let places = |shard: usize| match shard {
        1 => vec![0, 5, 7],
        2 => vec![7],
        4 => vec![],
        _ => vec![0, 3, 5, 7],
    };
    for is_backward in [false, true] {
        for size in [1, 2, 3, 5] {
            let groups =
                if size == 1 { vec![Arc::new(Alone) as Arc<dyn Group>] } else { thread_groups(size) };
            let run = |group| {
                let shards = Shards::new(group, 5).unwrap();
                let meeting = Meeting::new(shards.clone());
                meeting.run(shards.own().collect(), is_backward, |seat, shard| {
                    let mut places = places(shard);
                    if is_backward {
                        places.reverse();
                    }
                    let join = |place| meeting.joined(seat, place, vec![shard as f64], side_by_side);
                    places.into_iter().map(join).collect::<Vec<_>>()
                })
            };
            let found: Vec<Vec<Vec<f64>>> = thread::scope(|scope| {
                let ranks: Vec<_> = groups.into_iter().map(|group| scope.spawn(|| run(group))).collect();
                ranks.into_iter().flat_map(|rank| rank.join().unwrap()).collect()
            });
            for (shard, found) in found.into_iter().enumerate() {
                let mut places = places(shard);
                if is_backward {
                    places.reverse();
                }
                let expected = places.iter().map(|place| match place {
                    3 => vec![0.0, 3.0],
                    7 => vec![0.0, 1.0, 2.0, 3.0],
                    _ => vec![0.0, 1.0, 3.0],
                });
                assert!(found.into_iter().eq(expected), "shard {shard} of {size} processes");
            }
        }
    }
}

#[test]
fn a_meeting_sends_what_is_brought_once_to_each_other_process() {
    let sent = on_each(2, |group| {
        let counted = Arc::new(Counted::new(group));
        let shards = Shards::new(counted.clone(), 4).unwrap();
        let meeting = Meeting::new(shards.clone());
        meeting.run(shards.own().collect(), false, |seat, _| {
            meeting.joined(seat, 0, vec![0.5; 5], |a, b| a.iter().zip(b).map(|(a, b)| a + b).collect())
        });
        counted.take()
    });
    // The place, the length of the sum of both shards, and its numbers; then that all is done.
    assert_eq!(sent, [8 * (2 + 5) + 16; 2]);
}

#[test]
fn a_pass_that_panics_ends_all_with_its_own_words() {
    let shards = Shards::new(Arc::new(Alone), 3).unwrap();
    let meeting = Meeting::new(shards);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        meeting.run(vec![0, 1, 2], false, |seat, shard| {
            meeting.joined(seat, 1, vec![0.0], side_by_side);
            assert!(shard != 1, "shard {shard} is broken");
            meeting.joined(seat, 2, vec![0.0], side_by_side);
        })
    }));
    let words = ended.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*words, "shard 1 is broken");
}

#[test]
fn passes_that_come_to_places_in_different_orders_are_told() {
    let meeting = Meeting::new(Shards::new(Arc::new(Alone), 2).unwrap());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        meeting.run(vec![[1, 2], [2, 1]], false, |seat, places| {
            places.map(|place| meeting.joined(seat, place, vec![0.0], side_by_side))
        })
    }));
    let words = ended.unwrap_err().downcast::<String>().unwrap();
    assert!(words.contains("different orders: place 1"), "{words}");
}
