//! `--trunk`: which channels of the shared trunk the heads rely on, how much they share, and how alike two trunks are.

use std::path::Path;
use std::sync::Arc;

use cerberus::data::{Dataset, Split, normalise};
use cerberus::explain::trunk::{Ablation, Cka, Overlap, Reliance, maps_of, reliance_through};
use cerberus::multitask::MultiTaskModel;
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainConfig, TrainError};
use cerberus_report::{Page, Table, chart};
use serde_json::{Value, json};

use super::study::Study;
use super::{Options, SCORED, open, refused};
use crate::pictures::{advance, progress};
use crate::say;
use crate::shell::{make_folder, write_json};

/// Channels of each head that the page names.
const NAMED: usize = 12;

/// One head's reliance on the channels of one map, summed over pictures.
#[derive(Clone, Default)]
struct Sums {
    gradient: Vec<f64>,
    ablation: Vec<f64>,
    pictures: usize,
}

impl Sums {
    fn add(&mut self, more: &Reliance) {
        for (sums, more) in [(&mut self.gradient, &more.gradient), (&mut self.ablation, &more.ablation)] {
            sums.resize(more.len(), 0.0);
            sums.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
        }
        self.pictures += 1;
    }

    fn mean(&self, sums: &[f64]) -> Vec<f64> {
        sums.iter().map(|sum| sum / self.pictures.max(1) as f64).collect()
    }
}

/// What was found of one map.
struct MapFound {
    name: String,
    /// One for each task.
    heads: Vec<Sums>,
}

/// Prints the tables, and writes `trunk.json` and `trunk.html`.
pub(super) fn run(options: &Options, models: &[(TrainConfig, MultiTaskModel)]) -> Result<(), TrainError> {
    let (config, model) = &models[0];
    let (data, split) = open(options, config)?;
    let count = data.len(split).min(options.samples.unwrap_or(SCORED));
    let tasks = options.tasks(model);
    let maps = reliances(model, &tasks, &data, split, count)?;
    let overlaps = overlaps(&maps, &tasks);
    say!("{count} pictures of {} ({split})", data.info().name);
    say!("{}", markdown(&overlaps));
    let mut alike = Vec::new();
    for (path, (other_config, other)) in options.model.iter().zip(models).skip(1) {
        let found = likeness([(config, model), (other_config, other)], &data, split, count)?;
        say!("\nLinear CKA of the maps with those of {}\n", path.display());
        say!("| map | CKA |\n|---|---|");
        for (name, value) in &found {
            say!("| {name} | {} |", value.as_ref().map_or("-".to_string(), |value| format!("{value:.3}")));
        }
        alike.push((path.display().to_string(), found));
    }
    if let Some(out) = &options.out {
        make_folder(out)?;
        write_json(&out.join("trunk.json"), &to_json(&maps, &tasks, &overlaps, &alike))?;
        let page = page(&options.model[0], &maps, &tasks, &overlaps, &alike);
        write_atomically(&out.join("trunk.html"), page.as_bytes())?;
    }
    Ok(())
}

/// What the heads' predictions rely on, over pictures.
fn reliances(
    model: &MultiTaskModel,
    tasks: &[String],
    data: &Arc<dyn Dataset>,
    split: Split,
    count: usize,
) -> Result<Vec<MapFound>, TrainError> {
    let mut maps: Vec<MapFound> = Vec::new();
    let bar = progress(count);
    let wanted: Vec<(&str, &str)> = tasks.iter().map(|task| (task.as_str(), "")).collect();
    for index in 0..count {
        let sample = data.sample(split, 0, index)?;
        let x = normalise(&[&sample.image]);
        let study = Study::new(model, &x, &wanted, Some(""));
        let found = reliance_through(model, &x, &study.chosen, Ablation::Zero).map_err(refused)?;
        for (place, (name, heads)) in found.into_iter().enumerate() {
            if maps.len() <= place {
                maps.push(MapFound { name, heads: vec![Sums::default(); tasks.len()] });
            }
            for (&head, reliance) in study.wanted.iter().zip(heads) {
                maps[place].heads[head].add(&reliance);
            }
        }
        advance(&bar);
    }
    bar.finish_and_clear();
    Ok(maps)
}

/// Of one map and two heads: the overlap by gradients and by ablation.
struct Shared {
    map: String,
    heads: [String; 2],
    channels: usize,
    gradient: Overlap,
    ablation: Overlap,
}

/// The overlap of every two heads on every map that both use; the top is a tenth of the channels.
fn overlaps(maps: &[MapFound], tasks: &[String]) -> Vec<Shared> {
    let mut found = Vec::new();
    for map in maps {
        for first in 0..tasks.len() {
            for second in first + 1..tasks.len() {
                let (a, b) = (&map.heads[first], &map.heads[second]);
                // A head that does not read the map has no most important channels.
                if [a, b].iter().any(|sums| sums.gradient.iter().all(|&sum| sum == 0.0)) {
                    continue;
                }
                let channels = a.gradient.len();
                let top = channels.div_ceil(10);
                let of = |a: &[f64], b: &[f64]| Overlap::of(a, b, top);
                found.push(Shared {
                    map: map.name.clone(),
                    heads: [tasks[first].clone(), tasks[second].clone()],
                    channels,
                    gradient: of(&a.gradient, &b.gradient),
                    ablation: of(&a.ablation, &b.ablation),
                });
            }
        }
    }
    found
}

const COLUMNS: [&str; 7] =
    ["map", "channels", "heads", "cosine", "top tenth", "ablated: cosine", "ablated: top tenth"];

fn row(shared: &Shared) -> [String; 7] {
    let number = |value: f64| format!("{value:.2}");
    [
        shared.map.clone(),
        shared.channels.to_string(),
        shared.heads.join(" and "),
        number(shared.gradient.cosine),
        number(shared.gradient.top),
        number(shared.ablation.cosine),
        number(shared.ablation.top),
    ]
}

fn markdown(overlaps: &[Shared]) -> String {
    let head = format!("| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    let rows = overlaps.iter().map(|shared| format!("\n| {} |", row(shared).join(" | ")));
    std::iter::once(head).chain(rows).collect()
}

/// Linear CKA of each map that both models have, over the pictures.
fn likeness(
    [(config, first), (other_config, second)]: [(&TrainConfig, &MultiTaskModel); 2],
    data: &Arc<dyn Dataset>,
    split: Split,
    count: usize,
) -> Result<Vec<(String, Option<f64>)>, TrainError> {
    if config.model.image != other_config.model.image {
        return Err(TrainError::Option(format!(
            "one model takes images of {:?}, the other of {:?}; their maps cannot be compared",
            config.model.image, other_config.model.image
        )));
    }
    let mut all: Vec<(String, Cka)> = Vec::new();
    for index in 0..count {
        let x = normalise(&[&data.sample(split, 0, index)?.image]);
        let others = maps_of(second, &x);
        for (name, map) in maps_of(first, &x) {
            let Some((_, other)) = others.iter().find(|(other, _)| *other == name) else { continue };
            let place = all.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
                all.push((name, Cka::new()));
                all.len() - 1
            });
            all[place].1.add(&map, other).map_err(refused)?;
        }
    }
    Ok(all.into_iter().map(|(name, cka)| (name, cka.value())).collect())
}

/// The CKA of each map with that of another model, named by its file.
type Alike = (String, Vec<(String, Option<f64>)>);

fn to_json(maps: &[MapFound], tasks: &[String], overlaps: &[Shared], alike: &[Alike]) -> Value {
    let overlap = |overlap: &Overlap| json!({ "cosine": overlap.cosine, "top_tenth": overlap.top });
    let heads = |map: &MapFound| -> Vec<Value> {
        let of = |(task, sums): (&String, &Sums)| {
            json!({
                "task": task,
                "pictures": sums.pictures,
                "gradient": sums.mean(&sums.gradient),
                "ablation": sums.mean(&sums.ablation),
            })
        };
        tasks.iter().zip(&map.heads).map(of).collect()
    };
    let maps: Vec<Value> = maps.iter().map(|map| json!({ "map": map.name, "heads": heads(map) })).collect();
    let overlaps: Vec<Value> = overlaps
        .iter()
        .map(|shared| {
            json!({
                "map": shared.map,
                "heads": shared.heads,
                "gradient": overlap(&shared.gradient),
                "ablation": overlap(&shared.ablation),
            })
        })
        .collect();
    let alike: Vec<Value> =
        alike.iter().map(|(model, maps)| json!({ "model": model, "cka": maps })).collect();
    json!({ "maps": maps, "overlaps": overlaps, "alike": alike })
}

fn page(model: &Path, maps: &[MapFound], tasks: &[String], overlaps: &[Shared], alike: &[Alike]) -> String {
    let mut page = Page::new("What the heads take from the trunk");
    page.text(&format!("Model: {}.", model.display()));
    page.section("What heads share");
    page.text(
        "How much two heads rely on the same channels of a map: the cosine, and the share of the most important tenth that both \
         have. First by the map times its gradient, then by how much the answer changes when a channel is set to 0; both \
         through all layers between the map and the answer.",
    );
    let mut table = Table::new(&COLUMNS);
    overlaps.iter().for_each(|shared| table.push(row(shared)));
    page.table(&table);
    for map in maps {
        page.section(&map.name);
        let chart = |(task, sums): (&String, &Sums)| {
            let mut channels: Vec<(usize, f64)> = sums.mean(&sums.gradient).into_iter().enumerate().collect();
            channels.sort_by(|a, b| b.1.total_cmp(&a.1));
            let bars: Vec<(String, f64)> = channels
                .into_iter()
                .take(NAMED)
                .map(|(channel, value)| (format!("channel {channel}"), value))
                .collect();
            chart::bars(&format!("{task}: map times gradient"), &bars)
        };
        let used = tasks.iter().zip(&map.heads).filter(|(_, sums)| sums.pictures > 0);
        page.charts(&used.map(chart).collect::<Vec<_>>());
    }
    for (other, maps) in alike {
        page.section(&format!("Linear CKA with {other}"));
        let mut table = Table::new(&["map", "CKA"]);
        for (name, value) in maps {
            table.push([name.clone(), value.map_or("-".into(), |value| format!("{value:.3}"))]);
        }
        page.table(&table);
    }
    page.finish()
}
