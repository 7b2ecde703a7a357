//! Commands that change a store. All but `export` do the same: lock, change the log, learn, write.

use std::path::{Path, PathBuf};

use cerberus::data::Image;
use cerberus::personal::hash::bytes_hash;
use cerberus::personal::store::{BaseName, Lesson, check_class};
use cerberus::personal::{Adapted, AdapterKind, Log, PersonalError, Portable, Shown, Step, Store, Style};

use super::failure::Failure;
use super::session::{Session, now};
use crate::say;

pub(super) fn teach(
    session: &mut Session,
    what: &str,
    class: &str,
    images: &[PathBuf],
    keep: bool,
) -> Result<(), Failure> {
    check_class(class)?;
    let files: Vec<Vec<u8>> = images
        .iter()
        .map(|path| {
            let action = "read";
            std::fs::read(path).map_err(|source| PersonalError::Io { action, path: path.clone(), source })
        })
        .collect::<Result<_, _>>()?;
    let pictures: Vec<Image> = images.iter().map(|path| Image::read(path)).collect::<Result<_, _>>()?;
    let mut store = session.write(true)?;
    let embeddings = session.embeddings(&pictures);
    let mut shown: Vec<Shown> = Vec::with_capacity(images.len());
    for ((path, bytes), embedding) in images.iter().zip(&files).zip(embeddings) {
        let digest = bytes_hash(bytes)[..32].to_string();
        if shown.iter().any(|other| other.digest == digest) {
            continue;
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let kept = keep.then(|| kept_name(&digest, path));
        if let Some(file) = &kept {
            store.keep(file, bytes)?;
        }
        shown.push(Shown { name, digest, kept, embedding });
    }
    let count = shown.len();
    let task = session.image_task().to_string();
    let lessons = vec![Lesson { task, class: class.into(), pictures: shown }];
    learned(session, &mut store, Step { what: what.into(), when: now(), lessons, ..Step::default() })?;
    say!("{class:?}: {count} pictures learned; {}", told(session, &store));
    Ok(())
}

/// Teaches what labelled data show of a class.
pub(super) fn teach_data(
    session: &mut Session,
    class: &str,
    data: &str,
    samples: usize,
) -> Result<(), Failure> {
    check_class(class)?;
    let mut store = session.write(true)?;
    session.know_all()?;
    let lessons = super::lessons::of_data(session, data, class, samples)?;
    learned(session, &mut store, Step { what: "teach".into(), when: now(), lessons, ..Step::default() })?;
    say!("{class:?}: learned from {data}; {}", told(session, &store));
    Ok(())
}

/// Adds a step to a store, and says what would make it better.
fn learned(session: &Session, store: &mut Store, step: Step) -> Result<(), Failure> {
    let mut log = store.log.clone();
    log.add(step)?;
    save(session, store, log)?;
    if session.image_shared().knowledge.is_none() {
        eprintln!(
            "note: what this base knows of its own classes was never measured, so that yours are told from them less \
             surely, and what is neither is not recognised; run the command prepare once"
        );
    }
    Ok(())
}

/// The name of a copy: the digest, so that it tells nothing, and the ending.
fn kept_name(digest: &str, path: &Path) -> String {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = !ending.is_empty() && ending.chars().all(|c| c.is_ascii_alphanumeric());
    format!("{digest}.{}", if plain { &ending } else { "picture" })
}

/// Learns from a log and writes the store.
pub(super) fn save(session: &Session, store: &mut Store, log: Log) -> Result<(), Failure> {
    let learned = session.learn(&log);
    for task in log.tasks().iter().filter(|task| !learned.recognisers.contains_key(*task)) {
        eprintln!("note: {task} cannot tell what was taught; run the command prepare once, which it needs");
    }
    Ok(store.save(log, learned)?)
}

/// What a store now holds, in words.
pub(super) fn told(session: &Session, store: &Store) -> String {
    let style = store
        .log
        .style()
        .map_or_else(String::new, |style| format!("your style from {} pictures, ", style.pictures));
    let adapters = store.log.adapters().map_or_else(String::new, |own| {
        format!("{} adapters from {} pictures, ", own.kind.name(), own.pictures)
    });
    let mut words: Vec<String> = Vec::new();
    for slot in session.base.slots() {
        let Some(found) = store.learned.recognisers.get(&slot.task) else { continue };
        let shown = store.log.examples(&slot.task).labels.len();
        let (count, beside) = (found.classes.len(), slot.classes.len());
        words.push(format!(
            "{}: {count} classes of yours from {shown} examples, told by {} beside {beside}",
            slot.task, found.way
        ));
    }
    if words.is_empty() {
        words.push("no class is taught now".into());
    }
    format!("{style}{adapters}{}; the store has {} bytes", words.join("; "), store.size())
}

pub(super) fn undo(session: &mut Session, steps: usize) -> Result<(), Failure> {
    let mut store = session.write(false)?;
    let mut log = store.log.clone();
    let undone = log.undo(steps)?;
    save(session, &mut store, log)?;
    for step in &undone {
        say!("undone: {}", super::list::in_words(step));
    }
    say!("{}", told(session, &store));
    Ok(())
}

pub(super) fn forget(session: &mut Session, class: &str) -> Result<(), Failure> {
    let mut store = session.write(false)?;
    let mut log = store.log.clone();
    let count = log.forget(class)?;
    save(session, &mut store, log)?;
    say!("{class:?}: {count} pictures forgotten; {}", told(session, &store));
    Ok(())
}

pub(super) fn export(session: &mut Session, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::usage(format!(
            "{} is there already; give the name of a new file",
            file.display()
        )));
    }
    let store = session.read()?;
    Portable::of(&store).save(file)?;
    say!(
        "{}: {} steps, {} pictures' embeddings",
        file.display(),
        store.log.steps.len(),
        store.log.pictures().count()
    );
    Ok(())
}

pub(super) fn import(session: &mut Session, file: &Path) -> Result<(), Failure> {
    let mut store = session.write(true)?;
    if !store.log.steps.is_empty() {
        return Err(Failure::usage(
            "the store holds something already; import begins a store, merge adds to one",
        ));
    }
    session.know_all()?;
    let log = Portable::load(file, &store.base)?.log;
    save(session, &mut store, log)?;
    say!("{}", told(session, &store));
    Ok(())
}

pub(super) fn merge(session: &mut Session, other: &Path) -> Result<(), Failure> {
    let theirs = if other.is_dir() {
        Store::read(other, &session.base)?.log.clone()
    } else {
        Portable::load(other, &BaseName::of(&session.base))?.log
    };
    let mut store = session.write(true)?;
    session.know_all()?;
    let lessons = store.log.new_lessons(&theirs)?;
    let first = store.log.steps.is_empty();
    let style = theirs.style().filter(|_| first).cloned();
    let adapters = theirs.adapters().filter(|_| first).cloned();
    if lessons.is_empty() && style.is_none() && adapters.is_none() {
        say!("{}: nothing in it is new", other.display());
        return Ok(());
    }
    let mut log = store.log.clone();
    log.add(Step { what: "merge".into(), when: now(), lessons, style, adapters })?;
    save(session, &mut store, log)?;
    say!("{}", told(session, &store));
    Ok(())
}

/// Measures the style of pictures without labels.
pub(super) fn adapt(session: &mut Session, images: &[PathBuf]) -> Result<(), Failure> {
    let pictures: Vec<Image> = images.iter().map(|path| Image::read(path)).collect::<Result<_, _>>()?;
    // Not in the style of an earlier time: that of the base and of all pictures given now.
    let own = Style::of(session.base.model());
    let mut store = session.write(true)?;
    store.log.check_adapt()?;
    own.apply(session.base.model_mut()).map_err(Failure::usage)?;
    let batches = session.batches(&pictures);
    let style = Style::measure(session.base.model_mut(), &batches);
    let style =
        style.ok_or_else(|| Failure::usage("this base has no batch norm whose statistics could be yours"))?;
    let mut log = store.log.clone();
    log.add(Step { what: "adapt".into(), when: now(), style: Some(style), ..Step::default() })?;
    save(session, &mut store, log)?;
    say!("{}", told(session, &store));
    Ok(())
}

/// Tunes adapters on the first `samples` pictures of data that are labelled for a task of the base.
pub(super) fn adapt_labelled(
    session: &mut Session,
    data: &str,
    by: &str,
    samples: usize,
) -> Result<(), Failure> {
    let kind = AdapterKind::find(by).map_err(Failure::usage)?;
    let mut store = session.write(true)?;
    store.log.check_adapt()?;
    let dataset = session.config.open_other(data)?;
    for (task, why) in session.config.check_to_score(dataset.info())? {
        eprintln!("note: the task {task} is not adapted: {why}");
    }
    let batch = super::lessons::labelled_batch(&session.base, &*dataset, samples)?;
    let adapted = batch.and_then(|batch| Adapted::tune(&mut session.base, kind, &batch));
    let adapted = adapted.ok_or_else(|| {
        Failure::usage(format!(
            "{data} shows nothing that {by} adapters of this base could be tuned on; give pictures with labels \
             of its classes"
        ))
    })?;
    let mut log = store.log.clone();
    log.add(Step { what: "adapt".into(), when: now(), adapters: Some(adapted), ..Step::default() })?;
    save(session, &mut store, log)?;
    say!("{}", told(session, &store));
    Ok(())
}
