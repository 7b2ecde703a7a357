//! Classification from IDX files with any names, sizes and classes.

use std::path::Path;

use cerberus_data::idx::{IdxImages, write_images, write_labels};
use cerberus_data::{CLASS, Dataset, FindingKind, IdxClasses, Split, open};
use flate2::{Compression, write::GzEncoder};
use tempfile::{TempDir, tempdir};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// Images with these rows and columns; all pixels of an image equal its index.
fn images(count: usize, [height, width]: [usize; 2]) -> Vec<u8> {
    let pixels = (0..count).flat_map(|number| vec![number as u8 + 100; height * width]).collect();
    let mut bytes = Vec::new();
    write_images(&IdxImages { count, height, width, pixels }, &mut bytes).unwrap();
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_labels(labels, &mut bytes).unwrap();
    bytes
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.path().join(name), bytes).unwrap();
}

/// Files with these names: 40 training pictures, every fourth of class 1 and the others of class 0, and 5 test
/// pictures.
fn folder(names: [&str; 4], size: [usize; 2]) -> TempDir {
    let folder = tempdir().unwrap();
    let train: Vec<u8> = (0..40).map(|number| u8::from(number % 4 == 3)).collect();
    write(&folder, names[0], images(40, size));
    write(&folder, names[1], labels(&train));
    write(&folder, names[2], images(5, size));
    write(&folder, names[3], labels(&[1, 0, 1, 0, 1]));
    folder
}

const OFFICIAL: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn opened(name: &str) -> std::sync::Arc<dyn Dataset> {
    open(name, 1).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(folder: &Path, words: &[&str]) {
    let message = IdxClasses::from_folder(folder).err().expect("it must be refused").to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
}

#[test]
fn idx_files_of_any_names_and_sizes_are_classes_and_the_last_tenth_of_each_validates() {
    for (names, size) in [
        (OFFICIAL, [32, 20]),
        (["a.train.images", "b.train.labels", "c.test.images", "d.test.labels"], [28, 28]),
        (["pictures", "classes", "emnist-test-images", "emnist-test-labels"], [5, 7]),
    ] {
        let folder = folder(names, size);
        let data = opened(folder.path().to_str().unwrap());
        let info = data.info();
        assert_eq!((info.height, info.width, info.channels), (size[0], size[1], 1));
        assert_eq!(info.label(CLASS).unwrap().classes, ["0", "1"]);
        // A tenth of 30 and of 10: the last pictures of each class in file order.
        assert_eq!(SPLITS.map(|split| data.len(split)), [36, 4, 5]);
        let held = |index| {
            let sample = data.sample(Split::Validation, 0, index).unwrap();
            (sample.image.pixels[0] - 100, sample.class.unwrap())
        };
        assert_eq!([0, 1, 2, 3].map(held), [(36, 0), (37, 0), (38, 0), (39, 1)]);
        assert_eq!(data.sample(Split::Test, 0, 1).unwrap().class, Some(0));
        assert!(data.sample(Split::Test, 0, 5).is_err());
        let account = &info.accounts[0];
        assert_eq!((account.used, account.labelled(Split::Train, CLASS)), (45, 36));
    }
}

#[test]
fn fashion_mnists_files_are_scenes_unless_classes_are_asked_for() {
    let folder = folder(OFFICIAL, [28, 28]);
    let path = folder.path().to_str().unwrap();
    for scenes in [path.to_string(), format!("fashion-scenes:{path}")] {
        assert_eq!(opened(&scenes).info().name, "fashion-scenes");
    }
    let plain = opened(&format!("idx:{path}"));
    assert_eq!((plain.info().name.as_str(), plain.info().labels.len()), ("idx", 1));
    assert!(open("idx:/nowhere", 1).err().unwrap().to_string().contains("/nowhere"));
}

#[test]
fn packed_files_a_validation_part_and_names_of_classes_are_used() {
    let folder = folder(OFFICIAL, [6, 6]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packed, &images(3, [6, 6])).unwrap();
    write(&folder, "val-images.gz", packed.finish().unwrap());
    write(&folder, "val-labels", labels(&[3, 3, 0]));
    write(&folder, "classes.txt", "zero\none\ntwo\nthree\nfour\n");
    // The same file twice, plain and compressed.
    write(&folder, "val-labels.gz", labels(&[0]));
    let data = opened(folder.path().to_str().unwrap());
    assert_eq!(SPLITS.map(|split| data.len(split)), [40, 3, 5]);
    assert_eq!(data.sample(Split::Validation, 0, 0).unwrap().class, Some(3));
    assert_eq!(data.info().label(CLASS).unwrap().classes[3], "three");
    let findings = &data.info().accounts[0].findings;
    let told = |what: &str| -> Vec<String> {
        let found = findings.iter().filter(|f| f.kind == FindingKind::Suspicious && f.what.contains(what));
        found.flat_map(|f| f.first.clone()).collect()
    };
    assert_eq!(
        (told("not in training"), told("never occur")),
        (vec!["three".into()], vec!["two".into(), "four".into()])
    );
}

#[test]
fn other_pixels_have_another_fingerprint_and_the_file_is_named() {
    let folder = folder(OFFICIAL, [6, 6]);
    let account = || IdxClasses::from_folder(folder.path()).unwrap().info().accounts[0].clone();
    let before = account();
    assert_eq!(account().changes_since(&before), None);
    write(&folder, "t10k-labels-idx1-ubyte", labels(&[0, 0, 1, 0, 1]));
    let told = account().changes_since(&before).unwrap();
    assert!(told.contains("t10k-labels-idx1-ubyte in test"), "{told}");
}

#[test]
fn files_that_do_not_fit_together_are_named() {
    let broken = |name: &str, bytes: Option<Vec<u8>>, words: &[&str]| {
        let folder = folder(OFFICIAL, [6, 6]);
        match bytes {
            Some(bytes) => write(&folder, name, bytes),
            None => std::fs::remove_file(folder.path().join(name)).unwrap(),
        }
        refused(folder.path(), words);
    };
    broken(OFFICIAL[3], None, &["t10k-images", "a file of labels", "test part"]);
    broken(OFFICIAL[2], None, &["t10k-labels", "a file of images", "test part"]);
    broken(OFFICIAL[3], Some(labels(&[0; 6])), &["t10k-images", "expected 6 images", "found 5"]);
    broken(OFFICIAL[2], Some(images(5, [6, 7])), &["t10k-images", "6x6", "6x7"]);
    broken(OFFICIAL[2], Some(images(5, [6, 0])), &["t10k-images", "5 of 6x0"]);
    broken(OFFICIAL[0], Some(images(40, [6, 6])[..200].to_vec()), &["train-images", "only"]);
    broken("more-train-images", Some(images(2, [6, 6])), &["one file of images", "also"]);
    broken("train-and-test-images", Some(images(2, [6, 6])), &["train-and-test-images", "train and test"]);
    broken("classes.txt", Some(b"zero\n".to_vec()), &["classes.txt", "2 lines", "1 lines"]);
    let tests = folder(OFFICIAL, [6, 6]);
    OFFICIAL[..2].iter().for_each(|name| std::fs::remove_file(tests.path().join(name)).unwrap());
    refused(tests.path(), &["to train on"]);
}
