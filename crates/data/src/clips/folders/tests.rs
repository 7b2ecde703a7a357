//! Data sets of clips: both layouts, their parts, and what is wrong with them.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::Image;

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

fn options() -> ClipFolderOptions {
    ClipFolderOptions { frames: 3, size: [6, 8], ..ClipFolderOptions::default() }
}

fn opened(path: &Path) -> ClipFolders {
    ClipFolders::open(path, options()).unwrap()
}

fn refused(path: &Path) -> String {
    ClipFolders::open(path, options()).err().unwrap().to_string()
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
        let (clip, sample) = data.clip(Split::Train, 0, index).unwrap();
        assert_eq!((clip.frames.len(), clip.frames.last()), (3, Some(&sample.image)));
        assert_eq!((sample.image.height, sample.image.width), (6, 8));
        let whole = data.sample(Split::Train, 5, index).unwrap();
        assert_eq!(whole.inputs[VIDEO], Input::Clip(clip.frames.clone().into()));
        assert_eq!(Sample { inputs: BTreeMap::new(), ..whole }, sample);
        classes.push((sample.class, clip.frames[0].pixels[0] / 10));
    }
    // Y4M rounds colours.
    assert!(matches!(classes[..], [(Some(0), 2 | 3), (Some(1), 1), (Some(1), 2)]), "{classes:?}");
    assert!(data.clip(Split::Train, 0, 3).is_err() && data.sample(Split::Test, 0, 0).is_err());
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
        |hold_back| ClipFolders::open(root.path(), ClipFolderOptions { hold_back, ..options() }).unwrap();
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
        assert!(lines.contains("note") && lines.contains("no training clip has (late)"), "{lines}");
        assert!(!data.sample(Split::Validation, 0, 0).unwrap().more.contains_key("late"));
    }
}

#[test]
fn a_wrong_table_or_folder_is_an_error_that_names_the_place() {
    for (rows, words) in [
        ("name,class\na,b\n", ["line 1", "column of clips"]),
        ("clip,path\na,b\n", ["line 1", "one column of clips"]),
        ("clip,class,label\nwalk/a.gif,a,b\n", ["line 1", "each label in one column"]),
        ("clip,class\n", ["line 2", "at least one clip"]),
        ("clip,class\nwalk/a.gif,a\nwalk/c.gif,a\n", ["line 3", "walk/c.gif"]),
        ("clip,class\nwalk/a.gif\n", ["line 2", "as many cells"]),
        ("clip,class\nwalk/a.gif,a\nwalk/a.gif,b\n", ["line 3", "each clip once"]),
        ("clip,split\nwalk/a.gif,perhaps\n", ["line 2", "train, validation or test"]),
        ("clip,number:a\nwalk/a.gif,inf\n", ["line 2", "a finite number"]),
        ("clip,split\nwalk/a.gif,test\n", ["training part", "at least one clip"]),
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
        ClipFolderOptions { frames: 0, ..options() },
        ClipFolderOptions { size: [0, 4], ..options() },
        ClipFolderOptions { hold_back: 1.5, ..options() },
    ] {
        assert!(matches!(ClipFolders::open(root.path(), wrong), Err(DataError::Option { .. })));
    }
}
