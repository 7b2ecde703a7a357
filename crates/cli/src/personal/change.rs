//! Commands that change a store. All but `export` do the same: lock, change the log, learn, write.

use std::path::{Path, PathBuf};

use cerberus::data::Image;
use cerberus::personal::base::bytes_hash;
use cerberus::personal::store::{Lesson, check_class};
use cerberus::personal::{Log, PersonalError, Portable, Recogniser, Shown, Step, Store};

use super::failure::Failure;
use super::session::{Session, now};
use crate::say;

pub(super) fn teach(
    session: &Session,
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
    let embeddings = session.embeddings(&pictures);
    let mut shown: Vec<Shown> = Vec::with_capacity(images.len());
    let mut store = session.write(true)?;
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
    let mut log = store.log.clone();
    let lessons = vec![Lesson { class: class.into(), pictures: shown }];
    log.add(Step { what: what.into(), when: now(), lessons })?;
    let learned = save(session, &mut store, log)?;
    say!("{class:?}: {count} pictures learned; {}", told(session, &store, learned.as_ref()));
    if session.shared.knowledge.is_none() {
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
fn save(session: &Session, store: &mut Store, log: Log) -> Result<Option<Recogniser>, Failure> {
    let learned = session.learn(&log);
    store.save(log, learned.as_ref(), session.knowledge_hash())?;
    Ok(learned)
}

/// What a store now holds, in words.
fn told(session: &Session, store: &Store, learned: Option<&Recogniser>) -> String {
    let Some(found) = learned else { return "nothing is taught now".into() };
    let pictures = store.log.examples().labels.len();
    let beside = session.base.classes().len();
    format!(
        "{} classes of yours from {pictures} pictures, told by {} beside the base's {beside}; the store has {} bytes",
        found.classes.len(),
        found.way,
        store.size()
    )
}

pub(super) fn undo(session: &Session, steps: usize) -> Result<(), Failure> {
    let mut store = session.write(false)?;
    let mut log = store.log.clone();
    let undone = log.undo(steps)?;
    let learned = save(session, &mut store, log)?;
    for step in &undone {
        say!("undone: {}", super::list::in_words(step));
    }
    say!("{}", told(session, &store, learned.as_ref()));
    Ok(())
}

pub(super) fn forget(session: &Session, class: &str) -> Result<(), Failure> {
    let mut store = session.write(false)?;
    let mut log = store.log.clone();
    let count = log.forget(class)?;
    let learned = save(session, &mut store, log)?;
    say!("{class:?}: {count} pictures forgotten; {}", told(session, &store, learned.as_ref()));
    Ok(())
}

pub(super) fn export(session: &Session, file: &Path) -> Result<(), Failure> {
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

pub(super) fn import(session: &Session, file: &Path) -> Result<(), Failure> {
    let mut store = session.write(true)?;
    if !store.log.steps.is_empty() {
        return Err(Failure::usage(
            "the store holds something already; import begins a store, merge adds to one",
        ));
    }
    let log = Portable::load(file, &store.base)?.log;
    let learned = save(session, &mut store, log)?;
    say!("{}", told(session, &store, learned.as_ref()));
    Ok(())
}

pub(super) fn merge(session: &Session, other: &Path) -> Result<(), Failure> {
    let theirs = if other.is_dir() {
        Store::read(other, &session.base, session.width)?.log.clone()
    } else {
        let own = cerberus::personal::store::BaseName {
            name: session.base.name().into(),
            hash: session.base.hash().into(),
            width: session.width,
        };
        Portable::load(other, &own)?.log
    };
    let mut store = session.write(true)?;
    let lessons = store.log.new_lessons(&theirs);
    if lessons.is_empty() {
        say!("{}: nothing in it is new", other.display());
        return Ok(());
    }
    let mut log = store.log.clone();
    log.add(Step { what: "merge".into(), when: now(), lessons })?;
    let learned = save(session, &mut store, log)?;
    say!("{}", told(session, &store, learned.as_ref()));
    Ok(())
}
