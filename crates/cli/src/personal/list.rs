//! What a store holds, in words or as JSON.

use std::collections::BTreeMap;

use cerberus::personal::{Step, Way};
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use crate::say;

pub(super) fn run(session: &mut Session, as_json: bool) -> Result<(), Failure> {
    let store = session.read()?;
    let found = &store.learned.recognisers;
    if as_json {
        let ways: BTreeMap<&String, Way> = found.iter().map(|(task, found)| (task, found.way)).collect();
        let line = json!({
            "base": store.base,
            "classes": store.log.classes(),
            "ways": ways,
            "steps": store.log.steps,
            "bytes": store.size(),
        });
        say!("{line}");
        return Ok(());
    }
    for (task, found) in found {
        let counts = store.log.examples(task).counts();
        for (class, count) in found.classes.iter().zip(counts) {
            say!("{task}: {class:?} from {count} examples, told by {}", found.way);
        }
    }
    for (place, step) in store.log.steps.iter().enumerate() {
        say!("{}. {}", place + 1, in_words(step));
    }
    say!("{} bytes beside {} ({:.16})", store.size(), store.base.name, store.base.hash);
    Ok(())
}

/// A step in words.
pub(super) fn in_words(step: &Step) -> String {
    let style = step.style.as_ref().map(|style| format!("to the style of {} pictures", style.pictures));
    let adapters = step.adapters.as_ref();
    let adapters =
        adapters.map(|own| format!("by {} adapters from {} pictures", own.kind.name(), own.pictures));
    let lessons = step.lessons.iter().map(|lesson| {
        let names: Vec<&str> = lesson.pictures.iter().map(|picture| picture.name.as_str()).collect();
        format!("{} {:?} ({})", lesson.task, lesson.class, names.join(", "))
    });
    let words: Vec<String> = style.into_iter().chain(adapters).chain(lessons).collect();
    format!("{} {} at {} seconds", step.what, words.join("; "), step.when)
}
