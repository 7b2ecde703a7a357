//! Clips of all forms: their frames and times, and files that are damaged or lie.

use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use super::natural::compare;
use super::*;
use crate::{DataError, Fit};

/// `count` frames of `size` rows and columns; every pixel of frame n has n in red.
fn clip(count: usize, size: [usize; 2]) -> Clip {
    let frame = |number: usize| {
        let pixel = |place: usize| [number as u8, (place * 7 % 5 * 50) as u8, (place % 3 * 100) as u8];
        let pixels: Vec<u8> = (0..size[0] * size[1]).flat_map(pixel).collect();
        Image { height: size[0], width: size[1], channels: 3, pixels: pixels.into() }
    };
    Clip { frames: (0..count).map(frame).collect(), rate: 10.0 }
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("the clip");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read(bytes: &[u8], options: &ClipOptions) -> Result<Clip, DataError> {
    let (_folder, path) = file(bytes);
    open_clip(&path, options)
}

fn all(bytes: &[u8]) -> Clip {
    read(bytes, &ClipOptions::default()).unwrap()
}

/// The message for bytes that are refused; it names the file.
fn refused(bytes: &[u8]) -> String {
    let message = read(bytes, &ClipOptions::default()).unwrap_err().to_string();
    assert!(message.contains("the clip"), "{message}");
    message
}

fn reds(clip: &Clip) -> Vec<u8> {
    clip.frames.iter().map(|frame| frame.pixels[0]).collect()
}

#[test]
fn names_are_ordered_as_people_count() {
    let mut names =
        ["f10", "f2", "f1b", "f1", "f01", "g", "f18446744073709551616", "f", "f2b10", "f2b9", "F3"];
    names.sort_by(|a, b| compare(a, b));
    assert_eq!(
        names,
        ["F3", "f", "f01", "f1", "f1b", "f2", "f2b9", "f2b10", "f10", "f18446744073709551616", "g"]
    );
}

#[test]
fn frames_are_chosen_from_the_middle_of_equal_parts() {
    // Five frames; the third is shown for as long as the others together.
    let ends = [1.0, 2.0, 6.0, 7.0, 8.0];
    let choose = |choice: FrameChoice| choice.choose(&ends);
    assert_eq!(choose(FrameChoice::All), (vec![0, 1, 2, 3, 4], 5.0 / 8.0));
    assert_eq!(choose(FrameChoice::Count(1)), (vec![2], 1.0 / 8.0));
    assert_eq!(choose(FrameChoice::Count(4)), (vec![1, 2, 2, 4], 0.5));
    assert_eq!(choose(FrameChoice::Count(16)).0, [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4]);
    assert_eq!(choose(FrameChoice::Rate(0.5)), (vec![1, 2, 2, 4], 0.5));
    assert_eq!(choose(FrameChoice::Rate(0.01)), (vec![4], 0.01));
    let even: Vec<f64> = (1..=30).map(|end| f64::from(end) / 30.0).collect();
    for count in 1..=30 {
        let (numbers, _) = FrameChoice::Count(count).choose(&even);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.len() == count, "{numbers:?}");
    }
    assert_eq!(FrameChoice::Count(30).choose(&even).0, (0..30).collect::<Vec<_>>());
}

#[test]
fn impossible_options_are_refused() {
    let (_folder, path) = file(&clip(3, [4, 5]).to_y4m().unwrap());
    let plain = ClipOptions::default();
    for options in [
        ClipOptions { frames: FrameChoice::Count(0), ..plain.clone() },
        ClipOptions { frames: FrameChoice::Count(usize::MAX), ..plain.clone() },
        ClipOptions { frames: FrameChoice::Rate(0.0), ..plain.clone() },
        ClipOptions { frames: FrameChoice::Rate(f64::NAN), ..plain.clone() },
        ClipOptions { folder_rate: f64::INFINITY, ..plain.clone() },
        ClipOptions { size: Some([0, 4]), ..plain.clone() },
        ClipOptions { size: Some([usize::MAX; 2]), ..plain.clone() },
    ] {
        assert!(matches!(open_clip(&path, &options), Err(DataError::Option { .. })), "{options:?}");
    }
    // Each is possible, but not together: too many frames, or too many pixels.
    for options in [
        ClipOptions { frames: FrameChoice::Rate(1e6), ..plain.clone() },
        ClipOptions { frames: FrameChoice::Count(100), size: Some([1000, 1000]), ..plain },
    ] {
        let message = open_clip(&path, &options).unwrap_err().to_string();
        assert!(message.contains("choose fewer frames"), "{message}");
    }
}

#[test]
fn a_clip_survives_the_way_through_a_gif_and_keeps_its_duration() {
    for rate in [10.0, 6.0, 30.0] {
        let clip = Clip { rate, ..clip(12, [5, 7]) };
        let back = all(&clip.to_gif().unwrap());
        assert_eq!(back.frames, clip.frames);
        assert!((back.rate / rate - 1.0).abs() < 0.02, "{} for {rate}", back.rate);
    }
    let fast = Clip { rate: 1000.0, ..clip(2, [1, 1]) };
    assert_eq!(all(&fast.to_gif().unwrap()).rate, 50.0);
    let gray = Image { height: 1, width: 2, channels: 1, pixels: vec![7u8, 200].into() };
    let gray = Clip { frames: vec![gray], rate: 1.0 };
    assert_eq!(all(&gray.to_gif().unwrap()).frames[0].pixels[..], [7, 7, 7, 200, 200, 200]);
}

#[test]
fn a_gif_of_many_colours_stays_like_the_picture() {
    let pixels: Vec<u8> =
        (0..64 * 64).flat_map(|at| [at / 64 * 4, at % 64 * 4, 128]).map(|v| v as u8).collect();
    let image = Image { height: 64, width: 64, channels: 3, pixels: pixels.into() };
    let clip = Clip { frames: vec![image], rate: 5.0 };
    let back = all(&clip.to_gif().unwrap());
    let pairs = back.frames[0].pixels.iter().zip(clip.frames[0].pixels.iter());
    let off: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(off < 8 * 64 * 64 * 3, "{off}");
}

/// A GIF of 3x2 pixels whose frames are (left, width, colour, disposal, delay); colour 3 is transparent.
fn made_gif(frames: &[(u16, u16, u8, gif::DisposalMethod, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [10, 0, 0, 20, 0, 0, 30, 0, 0, 99, 99, 99];
    let mut encoder = gif::Encoder::new(&mut bytes, 3, 2, &palette).unwrap();
    for &(left, width, colour, dispose, delay) in frames {
        let buffer = vec![colour; usize::from(width) * 2].into();
        let transparent = Some(3);
        let frame =
            gif::Frame { left, width, height: 2, dispose, delay, transparent, buffer, ..Default::default() };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

#[test]
fn frames_of_a_gif_are_laid_over_each_other_as_it_says() {
    use gif::DisposalMethod::{Background, Keep, Previous};
    let bytes = made_gif(&[
        (0, 3, 0, Keep, 10),
        (1, 2, 1, Previous, 10),
        (2, 1, 3, Keep, 10),
        (0, 1, 2, Background, 10),
        (1, 1, 3, Keep, 10),
    ]);
    let rows: Vec<Vec<u8>> = all(&bytes)
        .frames
        .iter()
        .map(|frame| frame.pixels.chunks_exact(3).take(3).map(|pixel| pixel[0]).collect())
        .collect();
    // What the second drew is gone in the third, which draws nothing; the place of the fourth is empty in the fifth.
    assert_eq!(rows, [[10, 10, 10], [10, 20, 20], [10, 10, 10], [30, 10, 10], [0, 10, 10]]);
}

#[test]
fn delays_of_a_gif_decide_which_frames_are_chosen() {
    use gif::DisposalMethod::Keep;
    let bytes = made_gif(&[(0, 3, 0, Keep, 25), (0, 3, 1, Keep, 150), (0, 3, 2, Keep, 25)]);
    let options = |frames| ClipOptions { frames, ..ClipOptions::default() };
    let chosen = read(&bytes, &options(FrameChoice::Count(5))).unwrap();
    assert_eq!((reds(&chosen), chosen.rate), (vec![10, 20, 20, 20, 30], 2.5));
    assert_eq!(reds(&read(&bytes, &options(FrameChoice::Rate(1.0))).unwrap()), [20, 20]);
    // Frames without a delay are shown for a tenth of a second.
    let bytes = made_gif(&[(0, 3, 0, Keep, 0), (0, 3, 1, Keep, 1)]);
    assert_eq!(all(&bytes).rate, 10.0);
}

#[test]
fn a_clip_survives_the_way_through_a_y4m_file() {
    let clip = clip(4, [3, 5]);
    let back = all(&clip.to_y4m().unwrap());
    assert_eq!((back.rate, back.frames.len()), (10.0, 4));
    for (a, b) in back.frames.iter().zip(&clip.frames) {
        // Brightness and colour differences are rounded to bytes in between.
        assert!(a.pixels.iter().zip(b.pixels.iter()).all(|(a, b)| a.abs_diff(*b) <= 2));
    }
    let (_folder, path) = file(&clip.to_y4m().unwrap());
    let options = ClipOptions { frames: FrameChoice::Count(2), size: Some([6, 6]), ..ClipOptions::default() };
    let small = open_clip(&path, &options).unwrap();
    assert_eq!((reds(&small).len(), small.frames[0].height, small.frames[0].width), (2, 6, 6));
    let boxed = open_clip(&path, &ClipOptions { fit: Fit::Letterbox, ..options }).unwrap();
    assert_eq!(boxed.frames[0].pixels[..3], [crate::MARGIN; 3]);
}

/// A Y4M file of one frame.
fn y4m(head: &str, frame: &[u8]) -> Vec<u8> {
    [b"YUV4MPEG2 ", head.as_bytes(), b"\nFRAME Ip\n", frame].concat()
}

#[test]
fn every_colour_format_of_y4m_gives_the_same_colours() {
    // Two columns of three: white and black in the limited range, then a pure red; each twice below another.
    let (white, black, red) = ([235, 128, 128], [16, 128, 128], [81, 90, 240]);
    let expected: Vec<u8> = [[255; 3], [255; 3], [0; 3], [0; 3], [255, 0, 0]].concat().repeat(2);
    let row = [white, white, black, black, red];
    let plane = |plane: usize| row.map(|value: [u8; 3]| value[plane]);
    let thinned = |plane: usize| [white[plane], black[plane], red[plane]];
    let twice = |values: &[u8]| values.repeat(2);
    let frames = [
        ("C444", [twice(&plane(0)), twice(&plane(1)), twice(&plane(2))].concat()),
        ("C444alpha", [twice(&plane(0)), twice(&plane(1)), twice(&plane(2)), twice(&[7; 5])].concat()),
        ("C422", [twice(&plane(0)), twice(&thinned(1)), twice(&thinned(2))].concat()),
        ("C420", [twice(&plane(0)), thinned(1).to_vec(), thinned(2).to_vec()].concat()),
    ];
    let near = |bytes: &[u8]| {
        let clip = all(bytes);
        let pixels = &clip.frames[0].pixels;
        assert!(pixels.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= 1), "{pixels:?}");
    };
    for (format, frame) in &frames {
        near(&y4m(&format!("W5 H2 F25:1 {format}"), frame));
        let deep = |bits: u32| -> Vec<u8> {
            frame.iter().flat_map(|&value| (u16::from(value) << (bits - 8)).to_le_bytes()).collect()
        };
        for bits in [10, 12, 16] {
            if !format.ends_with("alpha") {
                near(&y4m(&format!("W5 H2 F25:1 {format}p{bits} XYSCSS=X"), &deep(bits)));
            }
        }
    }
    for head in ["W5 H2", "H2 W5 F0:0 C420jpeg", "W5 H2 C420mpeg2", "W5 H2 Ip A1:1 C420paldv"] {
        near(&y4m(head, &frames[3].1));
        assert_eq!(all(&y4m(head, &frames[3].1)).rate, 25.0);
    }
    let gray = all(&y4m("W2 H1 Cmono F30000:1001 XCOLORRANGE=LIMITED", &[16, 235]));
    assert_eq!(gray.frames[0].pixels[..], [0, 0, 0, 255, 255, 255]);
    assert!((gray.rate - 29.97).abs() < 1e-3);
    let gray = all(&y4m("W2 H1 Cmono10", &[0, 0, 255, 3]));
    assert_eq!(gray.frames[0].pixels[..], [0, 0, 0, 255, 255, 255]);
    let quarter = all(&y4m("W5 H1 C411 XCOLORRANGE=FULL", &[9, 9, 9, 9, 9, 128, 128, 128, 128]));
    assert_eq!(quarter.frames[0].pixels[..], [9; 15]);
}

#[test]
fn every_part_of_a_file_alone_is_refused() {
    let gif = clip(3, [4, 5]).to_gif().unwrap();
    for end in 0..gif.len() - 1 {
        refused(&gif[..end]);
    }
    let whole = clip(3, [4, 5]).to_y4m().unwrap();
    let frame = 6 + 4 * 5 * 3;
    let head = whole.len() - 3 * frame;
    for end in 0..whole.len() {
        // A file that ends after a frame is whole.
        match end {
            _ if end > head && (end - head).is_multiple_of(frame) => {
                assert_eq!(all(&whole[..end]).frames.len(), (end - head) / frame);
            }
            _ => drop(refused(&whole[..end])),
        }
    }
    let message = refused(&whole[..whole.len() - 1]);
    assert!(
        message.contains("frame 3") && message.contains("60 bytes") && message.contains("59"),
        "{message}"
    );
}

#[test]
fn files_that_lie_or_are_of_another_kind_say_what_to_do() {
    let frame = [0; 100];
    let mut huge = clip(1, [4, 5]).to_gif().unwrap();
    huge[6..10].fill(255);
    for (bytes, words) in [
        (y4m("W65536 H32768", &frame), ["65536x32768", "smaller"]),
        (y4m("W4294967296 H4294967296", &frame), ["frames of 1 to", "smaller"]),
        (y4m("W4096 H4096", &frame), ["frame 1", "25165824 bytes"]),
        (y4m("W0 H4", &frame), ["first line", "W and H"]),
        (y4m("Wx H4", &frame), ["\"Wx\"", "number of columns"]),
        (y4m("W4 H4 F25", &frame), ["\"F25\"", "F25:1"]),
        (y4m("W4 H4 C410", &frame), ["C410", "420, 422"]),
        (y4m("W4 H4 C420p99", &frame), ["C420p99", "ffmpeg"]),
        (y4m("W4 H4", &frame), ["frame 2", "FRAME"]),
        (b"YUV4MPEG2 W4 H4\n".to_vec(), ["at least one frame", "none"]),
        (b"YUV4MPEG2 W4 H4".repeat(200), ["first line", "YUV4MPEG2"]),
        (huge, ["65535x65535", "smaller"]),
        (b"GIF89a\x04\0\x04\0\0\0\0;".to_vec(), ["header", "GIF animation"]),
        (b"RIFF\x24\0\0\0AVI LIST".to_vec(), ["an AVI video", "ffmpeg -i"]),
        (b"\0\0\0\x18ftypmp42\0\0\0\0".to_vec(), ["MP4", "%06d.png"]),
        (b"\x1aE\xdf\xa3\x01\0\0\0".to_vec(), ["Matroska", "ffmpeg -i"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r".to_vec(), ["a single picture", "folder of all frames"]),
        (b"anything".to_vec(), ["another format", "Y4M"]),
        (Vec::new(), ["an empty file", "Y4M"]),
    ] {
        let message = refused(&bytes);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let message = open_clip(Path::new("absent.gif"), &ClipOptions::default()).unwrap_err().to_string();
    assert!(message.contains("absent.gif"), "{message}");
}

#[test]
fn a_folder_of_pictures_is_a_clip_in_the_order_of_their_numbers() {
    let folder = tempdir().unwrap();
    let clip = clip(12, [4, 6]);
    for (number, frame) in clip.frames.iter().enumerate() {
        std::fs::write(folder.path().join(format!("frame {number}.png")), frame.to_png().unwrap()).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not a frame").unwrap();
    let options = ClipOptions { folder_rate: 10.0, ..ClipOptions::default() };
    assert_eq!(open_clip(folder.path(), &options).unwrap(), clip);
    let few = ClipOptions { frames: FrameChoice::Count(3), ..options.clone() };
    assert_eq!(reds(&open_clip(folder.path(), &few).unwrap()), [2, 6, 10]);

    // Only frames that are needed are read.
    let other = Image { height: 4, width: 5, channels: 3, pixels: vec![0; 60].into() };
    std::fs::write(folder.path().join("frame 3.png"), other.to_png().unwrap()).unwrap();
    assert_eq!(reds(&open_clip(folder.path(), &few).unwrap()), [2, 6, 10]);
    let message = open_clip(folder.path(), &options).unwrap_err().to_string();
    let words = ["frame 3.png", "6x4 pixels", "frame 0.png", "5x4"];
    assert!(words.iter().all(|word| message.contains(word)), "{message}");

    let empty = tempdir().unwrap();
    let message = open_clip(empty.path(), &options).unwrap_err().to_string();
    assert!(message.contains("one for each frame"), "{message}");
}

#[test]
fn a_clip_that_cannot_be_written_says_which_frame() {
    let sound = clip(2, [4, 5]);
    let with = |frame: Image| Clip { frames: vec![sound.frames[0].clone(), frame], rate: 1.0 };
    let other = Image { height: 4, width: 6, channels: 3, pixels: vec![0; 72].into() };
    let short = Image { height: 4, width: 5, channels: 3, pixels: vec![0; 59].into() };
    for broken in
        [with(other), with(short), Clip { frames: vec![], rate: 1.0 }, Clip { rate: f64::NAN, ..sound }]
    {
        assert!(broken.to_y4m().is_err());
        let message = broken.to_gif().unwrap_err().to_string();
        assert!(
            broken.frames.len() < 2 || !broken.rate.is_finite() || message.contains("frame 2"),
            "{message}"
        );
    }
    let wide = Image { height: 1, width: 65_536, channels: 1, pixels: vec![0; 65_536].into() };
    assert!(Clip { frames: vec![wide], rate: 1.0 }.to_gif().is_err());
}
