//! Many people at once: each is answered as if alone, with a style or without.

use cerberus_nn::Context;
use cerberus_tensor::Tensor;

use super::{batch, model};
use crate::base::Base;
use crate::people::{People, Person};
use crate::recogniser::{Examples, Recogniser, Shared, Way, fit};
use crate::style::Style;

const PICTURES: usize = 24;

fn base() -> Base {
    Base::with_hash(model::<f32>(), "small", "0".repeat(64))
}

fn shared(base: &Base) -> Shared {
    Shared::new(base.image().rows.clone(), None)
}

/// Two classes of two pictures each.
fn taught(base: &Base, embeddings: &[Vec<f32>], person: usize) -> Recogniser {
    let places: Vec<usize> = (0..4).map(|i| (person * 7 + i * (person % 5 + 1)) % PICTURES).collect();
    let examples = Examples {
        classes: vec![format!("a {person}"), format!("b {person}")],
        embeddings: places.iter().map(|&place| embeddings[place].clone()).collect(),
        labels: vec![0, 0, 1, 1],
    };
    fit(&shared(base), &base.image().classes, &examples, Way::Ridge).unwrap()
}

#[test]
fn a_thousand_people_are_answered_from_one_base_as_each_would_be_alone() {
    let shown = batch(PICTURES).images;
    let picture = |place: usize| shown.narrow(0, place % PICTURES, 1).contiguous();
    let one = base();
    let embeddings = one.look(shown.clone()).embeddings;
    let mut people = People::new(base(), shared(&one));
    for person in 0..1000 {
        people.add(&person.to_string(), taught(&one, &embeddings, person)).unwrap();
    }
    assert_eq!(people.len(), 1000);
    let alone: Vec<Vec<f32>> = (0..PICTURES)
        .map(|place| one.embeddings(picture(place), &mut Context::evaluation()).remove(0))
        .collect();
    let mut own = 0;
    for group in (0..984).step_by(PICTURES) {
        let names: Vec<String> = (group..group + PICTURES).map(|person| person.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let answers = people.answers(&names, shown.clone());
        for (place, answer) in answers.into_iter().enumerate() {
            let answer = answer.unwrap();
            own += usize::from(answer.class.is_some());
            let person = taught(&one, &embeddings, group + place);
            assert_eq!(answer, person.recognise(&shared(&one), &alone[place]), "person {}", group + place);
        }
    }
    assert!(own > 100, "only {own} pictures are of a class of their person");
    assert_eq!(people.answers(&["nobody"], picture(0)), [None]);
}

#[test]
fn people_with_styles_are_answered_among_others_as_each_would_be_alone() {
    let shown = batch(PICTURES).images;
    let picture = |place: usize| shown.narrow(0, place % PICTURES, 1).contiguous();
    let mut one = base();
    let plain = Style::of(one.model());
    let persons: Vec<Person> = (0..6)
        .map(|person| {
            // Every other one in a light of their own.
            let style = (person % 2 == 1).then(|| {
                let bright =
                    shown.narrow(0, person, 4).contiguous().map(|value| 1.2 * value + 0.2 * person as f32);
                Style::measure(one.model_mut(), &[bright]).unwrap()
            });
            if let Some(style) = &style {
                style.apply(one.model_mut()).unwrap();
            }
            let embeddings = one.look(shown.clone()).embeddings;
            plain.apply(one.model_mut()).unwrap();
            Person { recogniser: Some(taught(&one, &embeddings, person)), style, adapters: None }
        })
        .collect();
    let mut together = People::new(base(), shared(&one));
    for (place, person) in persons.iter().enumerate() {
        together.add(&place.to_string(), person.clone()).unwrap();
    }
    // Each several times, and somebody who taught nothing.
    let names: Vec<String> = (0..PICTURES).map(|place| (place * 5 % 7).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answers = together.answers(&names, shown.clone());
    for (place, (name, answer)) in names.iter().zip(&answers).enumerate() {
        let number: usize = name.parse().unwrap();
        let mut alone = People::new(base(), shared(&one));
        if let Some(person) = persons.get(number) {
            alone.add(name, person.clone()).unwrap();
        }
        assert_eq!(alone.answers(&[name], picture(place)).pop().unwrap(), *answer, "{name}");
        assert_eq!(answer.is_some(), number < persons.len());
    }
    // A style counts: without it, the margins are others.
    let mut bare = People::new(base(), shared(&one));
    bare.add("1", Person { style: None, ..persons[1].clone() }).unwrap();
    let place = names.iter().position(|name| *name == "1").unwrap();
    assert_ne!(bare.answers(&["1"], picture(place))[0], answers[place]);
    // Nobody's style stays on.
    let again: Vec<(String, Tensor)> = cerberus_nn::Module::tensors(together.base().model());
    let before = cerberus_nn::Module::tensors(one.model());
    assert!(again.iter().zip(&before).all(|((_, a), (_, b))| a.to_vec() == b.to_vec()));
    assert!(persons[1].bytes() > persons[0].bytes());
    let strange = Style { pictures: 1, statistics: vec![("trunk.nothing.running_mean".into(), vec![0.0])] };
    assert!(together.add("x", Person { style: Some(strange), ..Person::default() }).is_err());
}
