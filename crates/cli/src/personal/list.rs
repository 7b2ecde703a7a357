//! What a store holds, in words or as JSON.

use cerberus::personal::Step;
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use crate::say;

pub(super) fn run(session: &Session, as_json: bool) -> Result<(), Failure> {
    let store = session.read()?;
    let found = session.recogniser(&store);
    if as_json {
        let line = json!({
            "base": store.base,
            "classes": store.log.examples().classes,
            "way": found.as_ref().map(|found| found.way),
            "steps": store.log.steps,
            "bytes": store.size(),
        });
        say!("{line}");
        return Ok(());
    }
    let examples = store.log.examples();
    for (class, count) in examples.classes.iter().zip(examples.counts()) {
        say!("{class:?}: {count} pictures");
    }
    for (place, step) in store.log.steps.iter().enumerate() {
        say!("{}. {}", place + 1, in_words(step));
    }
    let way = found.map_or_else(|| "nothing learned".into(), |found| format!("told by {}", found.way));
    say!("{way}; {} bytes beside {} ({:.16})", store.size(), store.base.name, store.base.hash);
    Ok(())
}

/// A step in words.
pub(super) fn in_words(step: &Step) -> String {
    let lessons = step.lessons.iter().map(|lesson| {
        let names: Vec<&str> = lesson.pictures.iter().map(|picture| picture.name.as_str()).collect();
        format!("{:?} ({})", lesson.class, names.join(", "))
    });
    format!("{} {} at {} seconds", step.what, lessons.collect::<Vec<_>>().join("; "), step.when)
}
