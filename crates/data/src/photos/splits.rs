//! Decides which photos (or clips) are for training and which are held back: by the parts in the files, and for the
//! others by name.

use std::collections::BTreeMap;

use super::digest;
use crate::Split;

/// What decides the part that a photo is in.
pub(crate) struct Item<'a> {
    /// Its name.
    pub name: &'a str,
    /// The part that the files put it into, if any.
    pub part: Option<Split>,
    /// Its class: a share of each is held back.
    pub class: Option<usize>,
}

/// Indices of train, validation and test; see the description of [`super`].
pub(crate) fn split(photos: &[Item], hold_back: f64) -> [Vec<usize>; 3] {
    if hold_back >= 1.0 {
        return [Vec::new(), Vec::new(), (0..photos.len()).collect()];
    }
    let of = |part: Split| {
        (0..photos.len()).filter(move |&place| photos[place].part.unwrap_or(Split::Train) == part)
    };
    let (validation, mut test): (Vec<usize>, Vec<usize>) =
        (of(Split::Validation).collect(), of(Split::Test).collect());
    let mut by_class: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for place in of(Split::Train) {
        by_class.entry(photos[place].class).or_default().push(place);
    }
    let by_hash = |&place: &usize| (name_hash(photos[place].name), photos[place].name);
    by_class.values_mut().for_each(|places| places.sort_by_key(by_hash));
    let mut train = Vec::new();
    for (places, held) in by_class.values().zip(shares(hold_back, by_class.values(), by_hash)) {
        test.extend(&places[..held]);
        train.extend(&places[held..]);
    }
    train.sort_unstable();
    test.sort_unstable();
    [train, validation, test]
}

/// How many photos of each group are held back: in total the share of all, and in each group as near to its own share
/// as whole numbers allow (the largest remainders are rounded up; among equal ones, the one with the smaller hash).
fn shares<'a, K: Ord>(
    hold_back: f64,
    groups: impl Iterator<Item = &'a Vec<usize>>,
    by_hash: impl Fn(&usize) -> K,
) -> Vec<usize> {
    let groups: Vec<&Vec<usize>> = groups.collect();
    let own: Vec<f64> = groups.iter().map(|places| hold_back * places.len() as f64).collect();
    // Rounding can make a product such as 0.2 * 15 slightly less than a whole number.
    let mut held: Vec<usize> = own.iter().map(|share| (share + 1e-9).floor() as usize).collect();
    let total = (own.iter().sum::<f64>()).round() as usize;
    let mut order: Vec<usize> =
        (0..groups.len()).filter(|&group| held[group] < groups[group].len()).collect();
    order.sort_by(|&a, &b| {
        let rest = |group: usize| own[group] - held[group] as f64;
        let next = |group: usize| by_hash(&groups[group][held[group]]);
        rest(b).total_cmp(&rest(a)).then_with(|| next(a).cmp(&next(b)))
    });
    let missing = total.saturating_sub(held.iter().sum());
    order.into_iter().take(missing).for_each(|group| held[group] += 1);
    held
}

/// FNV-1a and the last step of SplitMix64. Without that step, names that differ only in their last letter have
/// neighbouring hashes.
pub(crate) fn name_hash(name: &str) -> u64 {
    let hash = digest::fnv(name.as_bytes());
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
