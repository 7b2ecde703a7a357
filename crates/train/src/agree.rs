//! What all processes of a group must have in common before they train together: the program, the CPU's kernels, the
//! data, the configuration.

use std::path::Path;

use cerberus_data::{Dataset, Split};
use cerberus_distributed::Group;
use cerberus_tensor::Element;
use sha2::{Digest, Sha256};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// Something that must be the same: what it is, its value, and what to do where it differs.
type Fact = (String, String, &'static str);

/// The part of a long value that is shown.
const SHOWN: usize = 60;

/// Refuses a group whose processes were not started alike.
///
/// # Errors
/// The same in every process: the first rank that differs from rank 0, and in what.
pub(crate) fn agree(
    group: &dyn Group,
    config: &TrainConfig,
    dataset: &dyn Dataset,
    checkpoint: Option<&Path>,
) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    let mut facts = vec![
        fact("build of the program", program(), "start the same file everywhere"),
        fact("set of kernels", f32::kernel_name().into(), "choose one that all have with CERBERUS_ISA"),
        fact("choice of convolutions", variable("CERBERUS_WINOGRAD"), "set it for all or for none"),
        fact("content of the data", data(config, dataset)?, "give all the same data"),
    ];
    facts.extend(options(config));
    if let Some(path) = checkpoint {
        let hash = std::fs::read(path).map_or_else(|error| format!("none ({error})"), |bytes| hash(&bytes));
        facts.push(fact("checkpoint to continue from", hash, "keep the run's folder where all can read it"));
    }
    let told: Vec<(&str, &str)> = facts.iter().map(|(name, value, _)| (&**name, &**value)).collect();
    let all = group.gather(postcard::to_allocvec(&told).unwrap_or_default()).wait();
    // Another program may say anything.
    let said = |bytes: &[u8]| postcard::from_bytes::<Vec<(String, String)>>(bytes).unwrap_or_default();
    let first = said(&all[0]);
    for (rank, bytes) in all.iter().enumerate().skip(1) {
        let theirs = said(bytes);
        let differs = first.iter().position(|fact| !theirs.contains(fact));
        let Some(place) = differs.or((first.len() != theirs.len()).then_some(0)) else { continue };
        let (name, value) = &first[place];
        let their = theirs.iter().find(|(their, _)| their == name).map_or("none", |(_, value)| value);
        let remedy = facts.iter().find(|(fact, _, _)| fact == name).map_or("", |(_, _, remedy)| remedy);
        let [value, their] = around_the_difference([value, their]);
        return Err(TrainError::Option(format!(
            "rank {rank} has another {name} than rank 0: {their} instead of {value}; {remedy}"
        )));
    }
    Ok(())
}

fn fact(name: &str, value: String, remedy: &'static str) -> Fact {
    (name.into(), value, remedy)
}

fn hash(bytes: &[u8]) -> String {
    short(Sha256::new_with_prefix(bytes))
}

/// The first eight bytes of a hash.
fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The program's file, by its content: another build may compute other bits.
fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::read);
    file.map_or_else(|_| env!("CARGO_PKG_VERSION").into(), |bytes| hash(&bytes))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "not set".into())
}

/// The sizes of the splits, what was found when files were opened, and a few samples as they are trained on.
fn data(config: &TrainConfig, dataset: &dyn Dataset) -> Result<String, TrainError> {
    let mut found = Sha256::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        found.update((dataset.len(split) as u64).to_le_bytes());
    }
    dataset.info().accounts.iter().for_each(|account| found.update(account.fingerprint.as_bytes()));
    let samples = config.samples_of(dataset, Split::Train);
    for index in [0, samples / 2, samples.saturating_sub(1)].into_iter().filter(|&index| index < samples) {
        found.update(format!("{:?}", dataset.sample(Split::Train, 0, index)?).as_bytes());
    }
    Ok(short(found))
}

/// Every option by its name in `config.json`.
fn options(config: &TrainConfig) -> Vec<Fact> {
    let Ok(serde_json::Value::Object(options)) = serde_json::to_value(config) else { return Vec::new() };
    // Data may be at another place on each machine.
    let kept = options.into_iter().filter(|(name, _)| name != "places" && name != "fingerprints");
    kept.map(|(name, value)| (format!("option {name}"), value.to_string(), "give the same options to all"))
        .collect()
}

/// Two values, cut to where they differ.
fn around_the_difference(values: [&str; 2]) -> [String; 2] {
    let same = values[0].chars().zip(values[1].chars()).take_while(|(a, b)| a == b).count();
    let start = if values.iter().all(|value| value.chars().count() <= SHOWN) {
        0
    } else {
        same.saturating_sub(SHOWN / 3)
    };
    values.map(|value| {
        let shown: String = value.chars().skip(start).take(SHOWN).collect();
        let rest = value.chars().count() > start + SHOWN;
        format!("{}{shown}{}", if start > 0 { ".." } else { "" }, if rest { ".." } else { "" })
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use cerberus_data::FashionScenes;
    use cerberus_distributed::thread_groups;

    use super::*;

    /// What each of two ranks is told.
    fn told(change: impl Fn(usize, &mut TrainConfig) + Sync, seeds: [u64; 2]) -> Vec<Option<String>> {
        thread::scope(|scope| {
            let ranks = thread_groups(2).into_iter().map(|group| {
                let change = &change;
                scope.spawn(move || {
                    let data = FashionScenes::embedded(seeds[group.rank()]);
                    let mut config = TrainConfig::for_data("fashion-scenes", data.info());
                    change(group.rank(), &mut config);
                    agree(&*group, &config, &data, None).err().map(|error| error.to_string())
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn ranks_that_were_started_alike_agree() {
        assert_eq!(told(|_, config| config.places = vec![None], [1, 1]), [None, None]);
    }

    #[test]
    fn another_option_or_other_data_are_named_to_all() {
        let option = told(|rank, config| config.epochs += rank, [1, 1]);
        let expected =
            "rank 1 has another option epochs than rank 0: 9 instead of 8; give the same options to all";
        assert_eq!(option, [Some(expected.into()), Some(expected.into())]);
        let data = told(|_, _| (), [1, 2]);
        assert!(
            data.iter().all(|told| told.as_ref().unwrap().contains("rank 1 has another content of the data"))
        );
    }

    #[test]
    fn a_long_value_is_cut_to_its_difference() {
        let long = "x".repeat(100);
        let cut = around_the_difference([&format!("{long}a{long}"), &format!("{long}b")]);
        assert!(cut[0].starts_with("..xxxx") && cut[0].contains("xa") && cut[1].ends_with("xb"), "{cut:?}");
    }
}
