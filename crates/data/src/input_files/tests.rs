//! Data sets of clips: both layouts, their parts, and what is wrong with them.

use std::fs;
use std::path::Path;

use cerberus_audio::{Sound, WavFormat, write_wav};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{Clip, Image};

/// A clip whose frames have their number in blue, and `colour` in red.
fn made(colour: u8, frames: usize) -> Clip {
    let frame = |number: usize| {
        let pixels = [colour, 0, 10 * number as u8].repeat(6 * 8);
        Image { height: 6, width: 8, channels: 3, pixels: pixels.into() }
    };
    Clip { frames: (0..frames).map(frame).collect(), rate: 10.0 }
}

/// Writes a clip as the path's extension says; without one, as a folder of pictures.
fn write(root: &Path, path: &str, clip: &Clip) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match path.extension().and_then(|end| end.to_str()) {
        Some("gif") => fs::write(path, clip.to_gif().unwrap()).unwrap(),
        Some("y4m") => fs::write(path, clip.to_y4m().unwrap()).unwrap(),
        _ => {
            fs::create_dir_all(&path).unwrap();
            for (number, frame) in clip.frames.iter().enumerate() {
                fs::write(path.join(format!("{number}.png")), frame.to_png().unwrap()).unwrap();
            }
        }
    }
}

fn options() -> InputFileOptions {
    InputFileOptions { frames: 3, size: [6, 8], ..InputFileOptions::default() }
}

fn opened(path: &Path) -> InputFiles {
    InputFiles::open(path, 1, options()).unwrap()
}

fn refused(path: &Path) -> String {
    InputFiles::open(path, 1, options()).err().unwrap().to_string()
}

fn classes() -> TempDir {
    let root = tempdir().unwrap();
    write(root.path(), "walk/a.gif", &made(10, 6));
    write(root.path(), "walk/b", &made(20, 9));
    write(root.path(), "jump/a.y4m", &made(30, 3));
    fs::write(root.path().join("jump/notes.txt"), "no clip").unwrap();
    fs::write(root.path().join("jump/film.mp4"), "no clip").unwrap();
    fs::create_dir(root.path().join("empty")).unwrap();
    root
}

#[test]
fn the_folder_of_a_clip_is_its_class() {
    let root = classes();
    let data = opened(root.path());
    let info = data.info();
    assert_eq!(info.labels, [LabelInfo::new(CLASS, LabelKind::Class, &["jump".into(), "walk".into()])]);
    assert_eq!(SPLITS.map(|split| data.len(split)), [3, 0, 0]);
    let mut classes = Vec::new();
    for index in 0..3 {
        let sample = data.sample(Split::Train, 0, index).unwrap();
        let Input::Clip(frames) = &sample.inputs[VIDEO] else { panic!("a clip is a clip") };
        assert_eq!((frames.len(), frames.last()), (3, Some(&sample.image)));
        assert_eq!((sample.image.height, sample.image.width), (6, 8));
        assert_eq!(data.sample(Split::Train, 5, index).unwrap(), sample);
        classes.push((sample.class, frames[0].pixels[0] / 10));
    }
    // Y4M rounds colours.
    assert!(matches!(classes[..], [(Some(0), 2 | 3), (Some(1), 1), (Some(1), 2)]), "{classes:?}");
    assert!(data.sample(Split::Train, 0, 3).is_err() && data.sample(Split::Test, 0, 0).is_err());
    let account = &info.accounts[0];
    assert_eq!((account.found, account.used, account.pictures.len()), (4, 3, 3));
    let lines = account.lines().join("\n");
    for words in ["jump 1, walk 2", ".mp4", "notes.txt", "without clips"] {
        assert!(lines.contains(words), "{words} in {lines}");
    }
}

#[test]
fn folders_of_parts_are_used_and_otherwise_a_share_of_each_class_is_held_back_by_name() {
    let root = tempdir().unwrap();
    for (path, count) in
        [("train/up/a.gif", 2), ("Val/up/b", 3), ("testing/up/c.y4m", 4), ("train/down/d.gif", 5)]
    {
        write(root.path(), path, &made(1, count));
    }
    let data = opened(root.path());
    assert_eq!(SPLITS.map(|split| data.len(split)), [2, 1, 1]);
    let names: Vec<&str> = data.info().accounts[0].pictures.iter().map(|picture| &picture.name[..]).collect();
    assert_eq!(names, ["down/d", "up/a", "up/b", "up/c"]);

    let root = tempdir().unwrap();
    for number in 0..10 {
        write(root.path(), &format!("up/{number}.gif"), &made(1, 2));
        // A class with the name of a part.
        write(root.path(), &format!("train/{number}.gif"), &made(2, 2));
    }
    let held =
        |hold_back| InputFiles::open(root.path(), 1, InputFileOptions { hold_back, ..options() }).unwrap();
    let data = held(0.3);
    let classes = |split| -> Vec<Option<usize>> {
        (0..data.len(split)).map(|index| data.sample(split, 0, index).unwrap().class).collect()
    };
    let of = |split, class| classes(split).iter().filter(|&&of| of == Some(class)).count();
    assert_eq!(
        [of(Split::Train, 0), of(Split::Train, 1), of(Split::Test, 0), of(Split::Test, 1)],
        [7, 7, 3, 3]
    );
    assert_eq!(held(1.0).len(Split::Test), 20);
}

fn table(rows: &str) -> TempDir {
    let root = classes();
    fs::write(root.path().join("clips.csv"), rows).unwrap();
    root
}

#[test]
fn a_table_gives_clips_several_labels_and_parts() {
    let root = table(
        "clip,split,class,class:Mood,number:speed,note,class:late\n\
         walk/a.gif,train,walk,calm,1.5,x,\nwalk/b,val,walk,,2,y,once\njump/a.y4m,train,,wild,,z,\n",
    );
    for path in [root.path().to_path_buf(), root.path().join("clips.csv")] {
        let data = opened(&path);
        assert_eq!(SPLITS.map(|split| data.len(split)), [2, 1, 0]);
        let labels: Vec<(&str, LabelKind)> =
            data.info().labels.iter().map(|label| (&label.name[..], label.kind)).collect();
        let (class, values) = (LabelKind::Class, LabelKind::Values);
        assert_eq!(labels, [("class", class), ("Mood", class), ("speed", values)]);
        let [first, second] = [0, 1].map(|index| data.sample(Split::Train, 0, index).unwrap());
        assert_eq!((first.class, second.class), (Some(0), None));
        assert_eq!((&first.more["Mood"], &second.more["Mood"]), (&Label::Class(0), &Label::Class(1)));
        assert_eq!(
            (first.more.get("speed"), second.more.get("speed")),
            (Some(&Label::Values(vec![1.5])), None)
        );
        // A column that is no label, and a label that is not in training.
        let lines = data.info().accounts[0].lines().join("\n");
        assert!(lines.contains("note") && lines.contains("no training sample has (late)"), "{lines}");
        assert!(!data.sample(Split::Validation, 0, 0).unwrap().more.contains_key("late"));
    }
}

#[test]
fn a_wrong_table_or_folder_is_an_error_that_names_the_place() {
    for (rows, words) in [
        ("name,class\na,b\n", ["line 1", "a column of an input"]),
        ("clip,path\na,b\n", ["line 1", "in one column"]),
        ("clip,class,label\nwalk/a.gif,a,b\n", ["line 1", "in one column"]),
        ("clip,class\n", ["line 2", "at least one row"]),
        ("clip,class\nwalk/a.gif,a\nwalk/c.gif,a\n", ["line 3", "walk/c.gif"]),
        ("clip,class\nwalk/a.gif\n", ["line 2", "as many cells"]),
        ("clip,class\nwalk/a.gif,a\nwalk/a.gif,b\n", ["line 3", "each clip"]),
        ("clip,split\nwalk/a.gif,perhaps\n", ["line 2", "train, validation or test"]),
        ("clip,number:a\nwalk/a.gif,inf\n", ["line 2", "a finite number"]),
        ("clip,split\nwalk/a.gif,test\n", ["training part", "at least one sample"]),
        ("clip,class\njump/film.mp4,a\n", ["film.mp4", "ffmpeg"]),
    ] {
        let message = refused(table(rows).path());
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let root = classes();
    fs::write(root.path().join("walk/a.gif"), &made(1, 3).to_gif().unwrap()[..100]).unwrap();
    let message = refused(root.path());
    assert!(message.contains("a.gif"), "{message}");
    let empty = tempdir().unwrap();
    fs::create_dir(empty.path().join("class")).unwrap();
    fs::write(empty.path().join("class/film.avi"), "").unwrap();
    let message = refused(empty.path());
    assert!(message.contains("ffmpeg") && message.contains("1 videos"), "{message}");
    assert!(refused(Path::new("absent")).contains("absent"));
    for wrong in [
        InputFileOptions { frames: 0, ..options() },
        InputFileOptions { size: [0, 4], ..options() },
        InputFileOptions { hold_back: 1.5, ..options() },
    ] {
        assert!(matches!(InputFiles::open(root.path(), 1, wrong), Err(DataError::Option { .. })));
    }
}

/// A recording of one tone.
fn tone(root: &Path, path: &str, len: usize) {
    let samples = (0..len).map(|place| (place as f32 * 0.3).sin()).collect();
    let sound = Sound { rate: 1000, channels: vec![samples] };
    write_wav(&root.join(path), &sound, WavFormat::Int16).unwrap();
}

/// A table of pictures, recordings, clips and numbers, each missing somewhere.
fn senses() -> TempDir {
    let root = tempdir().unwrap();
    write(root.path(), "walk.gif", &made(10, 6));
    for (name, colour) in [("a.png", 30), ("b.png", 60)] {
        fs::write(root.path().join(name), made(colour, 1).frames[0].to_png().unwrap()).unwrap();
    }
    tone(root.path(), "a.wav", 150);
    tone(root.path(), "c.wav", 90);
    let rows = "image,audio,video,input:place/x,input:place/y,input:age,split,class,class:mood,number:speed\n\
                a.png,a.wav,walk.gif,0.5,-1,3,train,dog,calm,1.5\n\
                b.png,,,,,4,train,cat,,\n\
                ,c.wav,,2,3,,test,dog,wild,2\n\
                ,,,1,1,,train,cat,,0\n";
    fs::write(root.path().join("inputs.csv"), rows).unwrap();
    root
}

#[test]
fn a_table_has_a_column_for_every_input_and_every_label() {
    let root = senses();
    let data = opened(root.path());
    let info = data.info();
    assert_eq!((info.name.as_str(), [info.height, info.width, info.channels]), ("inputs", [6, 8, 3]));
    let kinds = [
        InputInfo::new(AUDIO, InputKind::Sound { rate: 1000, len: 200 }),
        InputInfo::new(VIDEO, InputKind::Clip { shape: [3, 6, 8, 3] }),
        InputInfo::new("age", InputKind::Numbers { len: 1 }),
        InputInfo::new("place", InputKind::Numbers { len: 2 }),
    ];
    assert_eq!(info.inputs, kinds);
    let labels: Vec<&str> = info.labels.iter().map(|label| label.name.as_str()).collect();
    assert_eq!((labels, SPLITS.map(|split| data.len(split))), (vec!["class", "mood", "speed"], [3, 0, 1]));

    let all = data.sample(Split::Train, 0, 0).unwrap();
    assert_eq!((all.class, all.image.pixels[0]), (Some(1), 30));
    assert_eq!(all.inputs.keys().collect::<Vec<_>>(), ["age", AUDIO, "place", VIDEO]);
    assert_eq!(all.inputs["place"], Input::Numbers(vec![0.5, -1.0]));
    assert_eq!((all.more["mood"].class(), &all.more["speed"]), (Some(0), &Label::Values(vec![1.5])));
    let keys = |sample: &Sample| sample.inputs.keys().cloned().collect::<Vec<String>>().join(",");
    let seen = data.sample(Split::Train, 0, 1).unwrap();
    assert_eq!((keys(&seen), seen.image.pixels[0]), ("age".into(), 60));
    assert!(!seen.more.contains_key("mood") && !seen.more.contains_key("speed"));
    let placed = data.sample(Split::Train, 0, 2).unwrap();
    assert_eq!((keys(&placed), placed.image), ("place".into(), Image::missing()));
    let heard = data.sample(Split::Test, 0, 0).unwrap();
    assert_eq!((heard.image, heard.more["mood"].class()), (Image::missing(), Some(1)));
    let Input::Sound(samples) = &heard.inputs[AUDIO] else { panic!("a sound is a sound") };
    assert_eq!((samples.len(), samples[0], samples[60] != 0.0, samples[199]), (200, 0.0, true, 0.0));
}

#[test]
fn a_table_of_recordings_has_no_image() {
    let root = tempdir().unwrap();
    tone(root.path(), "a.wav", 100);
    fs::write(root.path().join("t.csv"), "recording,class\na.wav,x\n").unwrap();
    let data = opened(&root.path().join("t.csv"));
    assert_eq!((data.info().name.as_str(), data.info().channels, data.len(Split::Train)), ("files", 0, 1));
    assert_eq!(data.sample(Split::Train, 0, 0).unwrap().image, Image::missing());
}

#[test]
fn a_wrong_table_of_inputs_is_refused_with_its_line_and_a_remedy() {
    let root = senses();
    let refused = |content: &str| {
        fs::write(root.path().join("t.csv"), content).unwrap();
        refused(&root.path().join("t.csv"))
    };
    for (content, told) in [
        ("split,class\ntrain,a\n", "a column of an input"),
        ("image,picture,class\na.png,a.png,x\n", "one column"),
        ("image,class,class:class\na.png,x,y\n", "one column"),
        ("image,input:audio,class\na.png,1,y\n", "not image, audio or video"),
        ("image,input:a b,class\na.png,1,y\n", "letters, digits"),
        ("image,audio,class\n,,x\n", "another input"),
        ("image,audio,class\na.png,none.wav,x\n", "none.wav"),
        ("image,audio,class\na.png,b.png,x\n", "b.png"),
        ("image,audio,class\na.wav,a.wav,x\n", "a.wav"),
        ("image,input:p/x,input:p/y,class\na.png,1,,y\n", "all numbers of the input p"),
        ("image,input:p,class\na.png,high,y\n", "a finite number"),
        ("image,audio,class\na.png,a.wav,x\na.png,a.wav,y\n", "once"),
        ("image,audio,split,class\na.png,a.wav,often,x\n", "train, validation or test"),
    ] {
        let message = refused(content);
        assert!(
            message.contains(told) && message.contains(&*root.path().to_string_lossy()),
            "{content}: {message}"
        );
    }
    // One picture may go with several recordings.
    fs::write(root.path().join("t.csv"), "image,audio,class\na.png,a.wav,x\na.png,c.wav,y\n").unwrap();
    assert_eq!(opened(&root.path().join("t.csv")).len(Split::Train), 2);
}
