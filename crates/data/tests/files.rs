//! Data sets from files: correct files are read, and wrong ones give one clear error.

use std::io::Write;
use std::path::PathBuf;

use cerberus_data::idx::{IdxImages, read_images, read_labels, write_images, write_labels};
use cerberus_data::{
    Cifar10, DataError, Dataset, FashionMnist, FashionScenes, Image, Label, MultiFashion, Split, open,
};
use flate2::{Compression, write::GzEncoder};
use tempfile::{TempDir, tempdir};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `count` images of `side` x `side`; all pixels of an image equal its index.
fn images(count: usize, side: usize) -> Vec<u8> {
    let pixels = (0..count).flat_map(|number| vec![number as u8 + 100; side * side]).collect();
    let mut bytes = Vec::new();
    write_images(&IdxImages { count, height: side, width: side, pixels }, &mut bytes).unwrap();
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_labels(labels, &mut bytes).unwrap();
    bytes
}

fn images_error(bytes: &[u8]) -> String {
    let folder = tempdir().unwrap();
    let path = folder.path().join("some-images");
    std::fs::write(&path, bytes).unwrap();
    let message = read_images(&path).unwrap_err().to_string();
    assert!(message.contains("some-images"), "the file is not named: {message}");
    message
}

#[test]
fn plain_and_gzip_files_are_told_apart_by_content() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("images.gz");
    for bytes in [images(3, 5), gzip(&images(3, 5))] {
        std::fs::write(&path, bytes).unwrap();
        let read = read_images(&path).unwrap();
        assert_eq!((read.count, read.height, read.width), (3, 5, 5));
        assert_eq!((read.pixels[0], read.pixels[74]), (100, 102));
    }
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    let whole = images(3, 5);
    for end in 0..whole.len() {
        images_error(&whole[..end]);
    }
    let packed = gzip(&whole);
    for end in 0..packed.len() {
        images_error(&packed[..end]);
    }
}

#[test]
fn trailing_bytes_are_an_error() {
    let mut bytes = images(3, 5);
    bytes.push(0);
    assert!(images_error(&bytes).contains("nothing after 75 values"));
    assert!(images_error(&gzip(&bytes)).contains("nothing after 75 values"));
}

#[test]
fn a_wrong_magic_number_says_what_was_found() {
    let message = images_error(&labels(&[1, 2, 3]));
    assert!(message.contains("0x00000803 (images)") && message.contains("0x00000801 (labels)"), "{message}");
    assert!(images_error(b"<html>not found</html>").contains("0x3c68746d"));
}

#[test]
fn an_absurd_size_is_refused_before_memory_is_asked_for() {
    let header = |sizes: [u32; 3]| {
        let mut bytes = 0x803u32.to_be_bytes().to_vec();
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes
    };
    assert!(images_error(&header([u32::MAX; 3])).contains("4294967295"));
    assert!(images_error(&gzip(&header([u32::MAX, 28, 28]))).contains("at most"));
    assert!(images_error(&header([2_000_000, 28, 28])).contains("only 0"));
}

#[test]
fn a_label_out_of_range_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("labels");
    std::fs::write(&path, labels(&[1, 9, 10])).unwrap();
    let message = read_labels(&path, 10).unwrap_err().to_string();
    assert!(message.contains("label 2") && message.contains("found 10"), "{message}");
    assert_eq!(read_labels(&path, 11).unwrap(), [1, 9, 10]);
}

#[test]
fn sizes_that_do_not_fit_the_values_are_not_written() {
    let wrong = IdxImages { count: 2, height: 2, width: 2, pixels: vec![0; 7] };
    assert!(write_images(&wrong, &mut Vec::new()).is_err());
}

/// A folder in the layout of Fashion-MNIST with 20 garments of class 4 for
/// training and `test` of them for testing.
fn fashion_folder(test: usize) -> TempDir {
    let folder = tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", images(20, 28));
    write("train-labels-idx1-ubyte.gz", gzip(&labels(&[4; 20])));
    write("t10k-images-idx3-ubyte.gz", gzip(&images(test, 28)));
    write("t10k-labels-idx1-ubyte", labels(&[4; 5]));
    folder
}

#[test]
fn a_fashion_mnist_folder_opens_as_scenes_and_the_last_tenth_validates() {
    let folder = fashion_folder(5);
    let path = folder.path().to_str().unwrap();
    for name in [path.to_string(), format!("fashion-scenes:{path}")] {
        let scenes = open(&name, 1).unwrap();
        assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| scenes.len(split)), [18, 2, 5]);
        assert_eq!(scenes.sample(Split::Validation, 0, 1).unwrap().class, Some(4));
    }
}

#[test]
fn a_fashion_mnist_folder_opens_as_pairs_and_the_last_sixth_validates() {
    let folder = fashion_folder(5);
    let name = format!("multi-fashion:{}", folder.path().to_str().unwrap());
    let pairs = open(&name, 1).unwrap();
    let splits = [(Split::Train, 0..17), (Split::Validation, 17..20), (Split::Test, 0..5)];
    for (split, garments) in splits {
        // Each garment in turn is the left one, and the other garment never covers its corner.
        for (index, garment) in garments.cycle().take(20).enumerate() {
            let sample = pairs.sample(split, 0, index).unwrap();
            assert_eq!(sample.image.pixels[0], 100 + garment, "{split:?} {index}");
            assert!(
                [MultiFashion::LEFT, MultiFashion::RIGHT]
                    .iter()
                    .all(|side| sample.more[*side] == Label::Class(4))
            );
        }
    }
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("t10k-images-idx3-ubyte.gz", images(1, 28));
    write("t10k-labels-idx1-ubyte", labels(&[4]));
    let message = open(&name, 1).err().unwrap().to_string();
    assert!(message.contains("1 in the test split") && message.contains("two at least"), "{message}");
    assert!(open("multi-fashion:/nowhere", 0).err().unwrap().to_string().contains("/nowhere"));
}

#[test]
fn blank_pictures_are_no_garments() {
    let folder = fashion_folder(5);
    let blank = IdxImages { count: 5, height: 28, width: 28, pixels: vec![25; 5 * 784] };
    let mut bytes = Vec::new();
    write_images(&blank, &mut bytes).unwrap();
    std::fs::write(folder.path().join("t10k-images-idx3-ubyte.gz"), bytes).unwrap();
    let scenes = open(folder.path().to_str().unwrap(), 1).unwrap();
    assert!(scenes.is_empty(Split::Test));
    assert!(scenes.sample(Split::Test, 0, 0).is_err());
}

#[test]
fn counts_that_disagree_name_both_files() {
    let message = FashionMnist::from_folder(fashion_folder(6).path()).unwrap_err().to_string();
    assert!(message.contains("t10k-images") && message.contains("t10k-labels"), "{message}");
    assert!(message.contains("expected 5 images") && message.contains("found 6"), "{message}");
}

#[test]
fn a_missing_file_is_named_with_what_the_folder_should_hold() {
    let folder = fashion_folder(5);
    std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let message = FashionMnist::from_folder(folder.path()).unwrap_err().to_string();
    assert!(message.contains("t10k-labels-idx1-ubyte: no such file"), "{message}");
}

#[test]
fn images_of_another_size_or_none_at_all_are_errors() {
    let folder = fashion_folder(5);
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("t10k-images-idx3-ubyte.gz", images(5, 32));
    assert!(FashionMnist::from_folder(folder.path()).unwrap_err().to_string().contains("found 32x32"));
    write("t10k-images-idx3-ubyte.gz", images(0, 28));
    write("t10k-labels-idx1-ubyte", labels(&[]));
    assert!(FashionMnist::from_folder(folder.path()).unwrap_err().to_string().contains("found none"));
}

#[test]
fn the_embedded_garments_are_balanced() {
    let embedded = FashionMnist::embedded();
    for (garments, per_class) in [(&embedded.train, 1000), (&embedded.test, 200)] {
        assert_eq!(garments.len(), per_class * 10);
        for class in 0..10 {
            assert_eq!(garments.labels().iter().filter(|&&label| label == class).count(), per_class);
        }
    }
    let scenes = FashionScenes::embedded(1);
    let lengths = [Split::Train, Split::Validation, Split::Test].map(|split| scenes.len(split));
    assert_eq!(lengths, [9000, 1000, 2000]);
}

/// A CIFAR batch: record i has class i % 10 and planes with the values i, i + 1 and i + 2.
fn cifar_batch(records: usize) -> Vec<u8> {
    let planes = |i: usize| (0..3).flat_map(move |plane| vec![(i + plane) as u8; 1024]);
    (0..records).flat_map(|i| std::iter::once((i % 10) as u8).chain(planes(i))).collect()
}

fn cifar_folder(inner: &str) -> TempDir {
    let folder = tempdir().unwrap();
    let place = folder.path().join(inner);
    std::fs::create_dir_all(&place).unwrap();
    for number in 1..=5 {
        std::fs::write(place.join(format!("data_batch_{number}.bin")), cifar_batch(12)).unwrap();
    }
    std::fs::write(place.join("test_batch.bin"), cifar_batch(7)).unwrap();
    folder
}

#[test]
fn cifar_planes_become_pixels_and_labels_follow() {
    for inner in ["", "cifar-10-batches-bin"] {
        let folder = cifar_folder(inner);
        let cifar = Cifar10::from_folder(folder.path()).unwrap();
        assert_eq!([Split::Train, Split::Validation, Split::Test].map(|s| cifar.len(s)), [60, 0, 7]);
        let sample = cifar.sample(Split::Train, 0, 12 + 5).unwrap();
        assert_eq!((sample.class, &sample.image.pixels[3069..]), (Some(5), &[5, 6, 7][..]));
        assert!(sample.objects.is_none() && sample.mask.is_none());
        assert!(cifar.sample(Split::Test, 0, 7).is_err());
    }
}

#[test]
fn the_cifar_validation_split_is_the_end_of_training() {
    let folder = cifar_folder("");
    let plain = Cifar10::from_folder(folder.path()).unwrap();
    let split = open(folder.path().to_str().unwrap(), 0).unwrap();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(|s| split.len(s)), [30, 30, 7]);
    let (a, b) = (plain.sample(Split::Train, 0, 30), split.sample(Split::Validation, 0, 0));
    assert_eq!(a.unwrap(), b.unwrap());
    assert!(split.sample(Split::Train, 0, 30).is_err());
}

#[test]
fn damaged_cifar_batches_are_named() {
    let folder = cifar_folder("");
    let error = |name: &str, bytes: Option<Vec<u8>>| {
        let path = folder.path().join(name);
        let good = std::fs::read(&path).unwrap();
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let message = Cifar10::from_folder(folder.path()).err().unwrap().to_string();
        std::fs::write(&path, good).unwrap();
        assert!(message.contains(name), "{message}");
        message
    };
    let mut label = cifar_batch(3);
    label[2 * 3073] = 10;
    assert!(error("data_batch_3.bin", Some(label)).contains("label of record 2"));
    assert!(error("data_batch_2.bin", Some(cifar_batch(2)[1..].to_vec())).contains("found 6145 bytes"));
    assert!(error("test_batch.bin", Some(vec![])).contains("found 0 bytes"));
    assert!(error("test_batch.bin", None).contains("the folder must hold data_batch_1.bin"));
    assert!(error("data_batch_5.bin", Some(vec![0; 10_001 * 3073])).contains("at most 10000 records"));
}

#[test]
fn a_name_that_means_nothing_lists_what_is_understood() {
    let folder = tempdir().unwrap();
    for name in ["imagenet", folder.path().to_str().unwrap()] {
        let error = open(name, 0).err().unwrap();
        assert!(matches!(error, DataError::UnknownDataset { .. }));
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("fashion-scenes"), "{message}");
    }
    assert!(open("fashion-scenes:/nowhere", 0).err().unwrap().to_string().contains("/nowhere"));
}

/// A picture that `tests/pictures/make.py` wrote.
fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)
}

/// The colours of the picture's left half, top right quarter and bottom right quarter.
fn colours(name: &str) -> [[u8; 3]; 3] {
    let image = Image::read(&picture(name)).unwrap();
    assert_eq!((image.height, image.width, image.channels), (16, 24, 3), "{name}");
    // The middle of each, away from the edges that compression blurs.
    [[8, 5], [3, 18], [12, 18]].map(|[y, x]| std::array::from_fn(|c| image.pixels[(y * 24 + x) * 3 + c]))
}

#[test]
fn pictures_arrive_upright_and_in_rgb_however_they_are_stored() {
    let expected = [[255, 0, 0], [255; 3], [0, 0, 255]];
    let odd = [
        "baseline.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "ycck.jpg",
        "palette.png",
        "picture.gif",
        "animated.gif",
        "png_inside.jpg",
        "alpha.png",
    ];
    let turned = (1..=8).map(|orientation| format!("exif{orientation}.jpg"));
    for name in odd.map(String::from).into_iter().chain(turned) {
        let found = colours(&name);
        let off =
            found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b): (&u8, &u8)| a.abs_diff(*b));
        assert!(off.max() <= Some(6), "{name}: {found:?}");
    }
    let gray = colours("gray.jpg");
    for (found, expected) in gray.iter().zip([76u8, 255, 29]) {
        assert!(found.iter().all(|value| value.abs_diff(expected) <= 3), "{gray:?}");
    }
    let deep = Image::read(&picture("gray16.png")).unwrap();
    assert_eq!(deep.pixels[..], [0, 51, 102, 153, 204, 255].map(|value| [value; 3]).concat());
}

#[test]
fn truncated_pictures_are_errors_that_name_the_file() {
    let folder = tempdir().unwrap();
    for name in ["baseline.jpg", "progressive.jpg", "cmyk.jpg", "ycck.jpg", "palette.png", "picture.gif"] {
        let whole = std::fs::read(picture(name)).unwrap();
        let path = folder.path().join(name);
        for part in 1..10 {
            std::fs::write(&path, &whole[..whole.len() * part / 10]).unwrap();
            match Image::read(&path) {
                Ok(_) => panic!("{part} tenths of {name} were read as a picture"),
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
    }
}

/// GIF and JPEG data have no checksums, so a wrong byte may go unnoticed. A wrong byte must not cause a panic, or a
/// picture of another size than its own header says.
#[test]
fn pictures_with_a_wrong_byte_are_errors_that_name_the_file_or_pictures() {
    let folder = tempdir().unwrap();
    for name in ["cmyk.jpg", "ycck.jpg", "picture.gif", "animated.gif"] {
        let whole = std::fs::read(picture(name)).unwrap();
        let path = folder.path().join(name);
        let mut refused = 0;
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            match Image::read(&path) {
                Ok(image) => {
                    assert_eq!(image.pixels.len(), image.height * image.width * 3, "{name}: {place}")
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains(name), "{error}");
                }
            }
        }
        assert!(refused > 20, "{name}: {refused} of {} wrong bytes were noticed", whole.len());
    }
}

#[test]
fn an_animation_that_breaks_off_gives_its_first_picture_whole_or_none() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("animated.gif");
    let whole = std::fs::read(picture("animated.gif")).unwrap();
    let first = Image::read(&picture("animated.gif")).unwrap();
    let mut read = 0;
    for end in 0..whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        match Image::read(&path) {
            Ok(image) => {
                read += 1;
                assert_eq!(image, first, "{end} bytes");
            }
            Err(error) => assert!(error.to_string().contains("animated.gif"), "{error}"),
        }
    }
    assert!(read > 0 && read < whole.len(), "{read} beginnings of {} were read", whole.len());
}
