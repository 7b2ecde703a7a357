//! What a base knows of its own classes, in embeddings: measured once on its own data and kept in a file beside it, or, if
//! nobody measured it, imagined from its last layer.
//!
//! A person's classes must be told from the base's, of which the person has shown nothing. [`Knowledge::measure`] keeps of
//! the base's data the mean of each class, the covariance within classes, and some embeddings: some to learn
//! against, others to judge by. The file is everybody's, and nothing of a person is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cerberus_nn::{checkpoint, join};
use cerberus_tensor::Tensor;

use crate::base::{Base, Slot};
use crate::error::PersonalError;
use crate::hash::bytes_hash;
use crate::heads::Linear;
use crate::heads::gaussian::Whitening;
use crate::matrix::{Matrix, add_scaled, dot};

/// Embeddings with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// `[n, D]`.
    pub embeddings: Matrix,
    /// `[n]`, indices into the base's classes.
    pub labels: Vec<usize>,
}

/// What a base knows of its own classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Knowledge {
    /// The mean of the classes' means, `[D]`.
    pub centre: Vec<f64>,
    /// The classes' means, `[classes, D]`; no rows if they were only imagined.
    pub means: Matrix,
    /// How many embeddings each mean is of.
    pub counts: Vec<f64>,
    /// The map to coordinates in which the covariance within classes is 1; `None` if it was not measured.
    pub whitening: Option<Whitening>,
    /// Embeddings to learn against.
    pub rehearsal: Known,
    /// Embeddings to set thresholds by.
    pub judged: Known,
    /// Tells knowledge from other knowledge.
    pub hash: String,
}

/// How much of what a base knows is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, to learn.
    All,
    /// What recognisers compare with, to answer; not the embeddings that are kept to learn against and to judge by.
    Answers,
}

/// The names under which embeddings are kept.
const KEPT_ONES: [&str; 2] = ["rehearsal", "judged"];
/// The prefix of the entries with the hashes.
const HASH: &str = "hash";

/// Embeddings of each class that are kept, to learn against and to judge by.
pub const KEPT: usize = 50;
/// Embeddings that are kept of all classes together, to learn against and to judge by: learning takes time that grows
/// with the cube of the first.
const MOST_KEPT: [usize; 2] = [200, 800];
/// The share of a ball in the covariance.
const SHRINKAGE: f64 = 0.1;
/// Imagined classes at most: the ones that the person's pictures resemble most.
const MOST_IMAGINED: usize = 40;
/// How sure the base is of a picture that it imagines.
const SURE: f64 = 0.9;
/// How far that lies from what the person has shown at most, in lengths of that.
const FARTHEST: f64 = 4.0;

impl Knowledge {
    /// From embeddings with their classes, of `classes` classes: those that the base learned from, and others that it did
    /// not, to judge by. A base is surer of what it learned from. Without others, half of the kept ones judge.
    ///
    /// # Errors
    /// A sentence if a class has no embedding, or they do not vary.
    pub fn measure(
        (embeddings, labels): (&[Vec<f32>], &[usize]),
        (others, their_labels): (&[Vec<f32>], &[usize]),
        classes: usize,
    ) -> Result<Self, String> {
        let width = embeddings.first().map_or(0, Vec::len);
        let rows: Vec<Vec<f64>> = embeddings.iter().map(|row| wide(row)).collect();
        let mut means = Matrix::zeros(classes, width);
        let mut counts = vec![0.0; classes];
        for (row, &label) in rows.iter().zip(labels) {
            add_scaled(&mut means.data[label * width..(label + 1) * width], row, 1.0);
            counts[label] += 1.0;
        }
        if let Some(class) = counts.iter().position(|&count| count == 0.0) {
            return Err(format!("class number {class} of the base has no picture in these data"));
        }
        let mut centre = vec![0.0; width];
        for (class, &count) in counts.iter().enumerate() {
            let row = &mut means.data[class * width..(class + 1) * width];
            row.iter_mut().for_each(|sum| *sum /= count);
            add_scaled(&mut centre, row, 1.0 / classes as f64);
        }
        let mut deviations = Matrix::of_rows(&rows);
        for (i, &label) in labels.iter().enumerate() {
            add_scaled(&mut deviations.data[i * width..(i + 1) * width], means.row(label), -1.0);
        }
        let whitening = Whitening::of_deviations(&deviations, SHRINKAGE)
            .ok_or("the embeddings of these data do not vary, or are not finite")?;
        let [each, judging] = MOST_KEPT.map(|most| KEPT.min(most / classes.max(1)).max(2));
        let each = if others.is_empty() { 2 * each } else { each };
        let mut seen = vec![0_usize; classes];
        let mut kept: [(Vec<Vec<f64>>, Vec<usize>); 2] = Default::default();
        for (row, &label) in rows.iter().zip(labels) {
            if seen[label] < each {
                let part = if others.is_empty() { seen[label] % 2 } else { 0 };
                kept[part].0.push(row.clone());
                kept[part].1.push(label);
                seen[label] += 1;
            }
        }
        let mut seen = vec![0_usize; classes];
        for (row, &label) in others.iter().zip(their_labels) {
            if seen[label] < judging {
                kept[1].0.push(wide(row));
                kept[1].1.push(label);
                seen[label] += 1;
            }
        }
        let [rehearsal, judged] = kept.map(|(rows, labels)| Known {
            embeddings: Matrix { columns: width, ..Matrix::of_rows(&rows) },
            labels,
        });
        let knowledge = Self {
            centre,
            means,
            counts,
            whitening: Some(whitening),
            rehearsal,
            judged,
            hash: String::new(),
        };
        Ok(knowledge.rounded())
    }

    /// From nothing but the base's last layer: starting at the mean `from: [D]` of what a person has shown, one embedding
    /// of each class, as far towards the class's row as makes the base sure of it. At most 40 classes are imagined, those
    /// that it finds in `from` most.
    pub fn imagine(rows: &Linear, from: &[f64]) -> Self {
        let classes = rows.weight.rows;
        let mean_row: Vec<f64> = rows.weight.transposed_times(&vec![1.0 / classes.max(1) as f64; classes]);
        let logits = rows.scores(from);
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order.truncate(MOST_IMAGINED);
        let mut found = Known::default();
        let mut embeddings = Vec::new();
        for class in order {
            let mut direction = rows.weight.row(class).to_vec();
            add_scaled(&mut direction, &mean_row, -1.0);
            let along = rows.weight.times(&direction);
            let chance = |t: f64| {
                let shifted: Vec<f64> =
                    logits.iter().zip(&along).map(|(logit, along)| logit + t * along).collect();
                let most = shifted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                (shifted[class] - most).exp() / shifted.iter().map(|logit| (logit - most).exp()).sum::<f64>()
            };
            // Doubled until it is far enough, then halved between. A base that can hardly tell its classes is never
            // sure; what it imagines must not lie where no picture does.
            let [reach, step] = [from, &direction].map(|x| dot(x, x).sqrt());
            let most = FARTHEST * reach / step.max(f64::MIN_POSITIVE);
            let mut high = 1e-3 * most;
            while chance(high) < SURE && high < most {
                high *= 2.0;
            }
            let mut low = 0.0;
            for _ in 0..40 {
                let middle = 0.5 * (low + high);
                if chance(middle) < SURE { low = middle } else { high = middle }
            }
            let mut imagined = from.to_vec();
            add_scaled(&mut imagined, &direction, high);
            embeddings.push(imagined);
            found.labels.push(class);
        }
        let width = from.len();
        found.embeddings = Matrix { columns: width, ..Matrix::of_rows(&embeddings) };
        Self {
            centre: from.to_vec(),
            means: Matrix::zeros(0, width),
            counts: Vec::new(),
            whitening: None,
            rehearsal: found.clone(),
            judged: found,
            hash: "imagined".into(),
        }
    }

    /// Whether it was measured, not imagined.
    pub fn is_measured(&self) -> bool {
        self.whitening.is_some()
    }

    /// The file beside a base that holds its knowledge: `best.personal.safetensors` for `best.safetensors`.
    pub fn path(base: &Path) -> PathBuf {
        base.with_extension("personal.safetensors")
    }

    /// The tensors as they are saved: everything that is read back is rounded to them.
    fn tensors(&self) -> Vec<(String, Tensor)> {
        let matrix = |m: &Matrix| Tensor::from_vec(narrow(&m.data), &[m.rows, m.columns]);
        let list = |values: &[f64]| Tensor::from_vec(narrow(values), &[values.len()]);
        let labels = |known: &Known| {
            Tensor::from_vec(known.labels.iter().map(|&label| label as f32).collect(), &[known.labels.len()])
        };
        let mut all = vec![
            ("centre".to_string(), list(&self.centre)),
            ("means".to_string(), matrix(&self.means)),
            ("counts".to_string(), list(&self.counts)),
            ("rehearsal".to_string(), matrix(&self.rehearsal.embeddings)),
            ("rehearsal.labels".to_string(), labels(&self.rehearsal)),
            ("judged".to_string(), matrix(&self.judged.embeddings)),
            ("judged.labels".to_string(), labels(&self.judged)),
        ];
        all.extend(self.whitening.as_ref().map(|w| ("whitening".to_string(), matrix(&w.inverse))));
        all
    }

    /// With every number as it is saved, and their hash.
    fn rounded(mut self) -> Self {
        let round =
            |values: &mut Vec<f64>| values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        round(&mut self.centre);
        round(&mut self.means.data);
        round(&mut self.rehearsal.embeddings.data);
        round(&mut self.judged.embeddings.data);
        if let Some(whitening) = &mut self.whitening {
            round(&mut whitening.inverse.data);
        }
        self.hash = self.hashed();
        self
    }

    fn hashed(&self) -> String {
        let tensors = self.tensors();
        let values = tensors.iter().flat_map(|(_, tensor)| tensor.to_vec());
        bytes_hash(&values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())[..16].to_string()
    }

    /// Writes what is known for each task beside the base.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(all: &BTreeMap<String, Self>, path: &Path, base: &Base) -> Result<(), PersonalError> {
        let hashes = all.iter().map(|(task, own)| (join(HASH, task), own.hash.clone()));
        let base = ("base".to_string(), base.hash().to_string());
        let metadata: BTreeMap<String, String> = hashes.chain([base]).collect();
        let named = |task: &String, own: &Self| {
            let task = task.clone();
            own.tensors().into_iter().map(move |(name, tensor)| (join(&task, &name), tensor))
        };
        let tensors: Vec<(String, Tensor)> = all.iter().flat_map(|(task, own)| named(task, own)).collect();
        Ok(checkpoint::save(path, &tensors, &metadata)?)
    }

    /// Reads what was written for this base, for each of these tasks; nothing if there is no such file.
    ///
    /// # Errors
    /// If the file is damaged or of another base.
    pub fn load(
        path: &Path,
        base: &Base,
        tasks: &BTreeSet<String>,
        part: Part,
    ) -> Result<BTreeMap<String, Self>, PersonalError> {
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        let wanted = |name: &str| {
            let of = |task: &String| name.strip_prefix(task.as_str())?.strip_prefix('.');
            let is_kept = |own: &str| KEPT_ONES.iter().any(|kept| own.starts_with(kept));
            tasks.iter().filter_map(of).any(|own| part == Part::All || !is_kept(own))
        };
        let file = checkpoint::load_only::<f32>(path, wanted)?;
        let fail = |expected: &str, found: String| PersonalError::Malformed {
            path: path.into(),
            expected: expected.into(),
            found,
            remedy: "measure it again with prepare, or remove the file".into(),
        };
        let of = file.metadata().get("base").cloned().unwrap_or_default();
        if of != base.hash() {
            return Err(fail("what was measured of this base", format!("that of one with hash {of:.16}")));
        }
        let mut all = BTreeMap::new();
        for slot in base.slots().iter().filter(|slot| tasks.contains(&slot.task)) {
            let tensors: BTreeMap<String, Tensor> = file.under(&slot.task).into_iter().collect();
            if tensors.is_empty() {
                continue;
            }
            let mut found = Self::of_tensors(&tensors, slot, part, &fail)?;
            found.hash = match file.metadata().get(&join(HASH, &slot.task)) {
                Some(hash) => hash.clone(),
                // Written by an older program.
                None if part == Part::All => found.hashed(),
                None => return Self::load(path, base, tasks, Part::All),
            };
            all.insert(slot.task.clone(), found);
        }
        Ok(all)
    }

    fn of_tensors(
        tensors: &BTreeMap<String, Tensor>,
        slot: &Slot,
        part: Part,
        fail: &dyn Fn(&str, String) -> PersonalError,
    ) -> Result<Self, PersonalError> {
        let (width, classes) = (slot.width, slot.known().len());
        let get = |name: &str, shape: &[Option<usize>]| {
            let found =
                tensors.get(name).ok_or_else(|| fail(&format!("a tensor {name:?}"), "none".into()))?;
            let fits = found.shape().len() == shape.len()
                && found
                    .shape()
                    .iter()
                    .zip(shape)
                    .all(|(found, wanted)| wanted.is_none_or(|wanted| wanted == *found))
                && found.all_finite();
            match fits {
                true => Ok(found),
                false => Err(fail(
                    &format!("finite numbers of shape {shape:?} in {name:?}"),
                    format!("{:?}", found.shape()),
                )),
            }
        };
        let matrix = |name: &str, rows: Option<usize>| {
            let found = get(name, &[rows, Some(width)])?;
            Ok::<_, PersonalError>(Matrix {
                rows: found.shape()[0],
                columns: width,
                data: wide(&found.to_vec()),
            })
        };
        let known = |name: &str| {
            if part == Part::Answers {
                return Ok(Known::default());
            }
            let embeddings = matrix(name, None)?;
            let labels = get(&format!("{name}.labels"), &[Some(embeddings.rows)])?.to_vec();
            if labels.iter().any(|&label| label < 0.0 || label as usize >= classes) {
                return Err(fail(&format!("labels below {classes}"), format!("{labels:?}")));
            }
            Ok(Known { embeddings, labels: labels.into_iter().map(|label| label as usize).collect() })
        };
        Ok(Self {
            centre: wide(&get("centre", &[Some(width)])?.to_vec()),
            means: matrix("means", Some(classes))?,
            counts: wide(&get("counts", &[Some(classes)])?.to_vec()),
            whitening: Some(Whitening { inverse: matrix("whitening", Some(width))? }),
            rehearsal: known(KEPT_ONES[0])?,
            judged: known(KEPT_ONES[1])?,
            hash: String::new(),
        })
    }
}

/// In 64 bits.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Rounded to 32 bits.
pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}
