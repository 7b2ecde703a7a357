//! Small clips in every form, and a table of them.

use std::path::Path;

use cerberus::data::{
    Clip, ClipOptions, DataError, FrameChoice, Image, InputFileOptions, InputFiles, open_clip,
};

use crate::Part;
use crate::readers::{part, picture, read_samples};

/// Terms of the format.
pub const Y4M: &[&str] = &[
    "FRAME\n",
    "YUV4MPEG2 ",
    " W",
    " H",
    " F",
    ":",
    " C420p16",
    " C444alpha",
    " Cmono",
    " XCOLORRANGE=FULL",
    "\n",
];

/// A clip of four frames.
fn moving_picture() -> Clip {
    let frame = |number: u32| {
        let pixels = picture(9 + number).crop_imm(number, number, 12, 9).into_rgb8().into_raw();
        Image { height: 9, width: 12, channels: 3, pixels: pixels.into() }
    };
    Clip { frames: (0..4).map(frame).collect(), rate: 8.0 }
}

/// Sets of one file.
fn file(bytes: Result<Vec<u8>, DataError>) -> Vec<Vec<Part>> {
    vec![vec![part("clip", bytes.unwrap())]]
}

pub fn gif() -> Vec<Vec<Part>> {
    file(moving_picture().to_gif())
}

pub fn y4m() -> Vec<Vec<Part>> {
    file(moving_picture().to_y4m())
}

pub fn folder() -> Vec<Vec<Part>> {
    let frames = moving_picture().frames.into_iter().enumerate();
    vec![frames.map(|(number, frame)| part(&format!("clip/{number}.png"), frame.to_png().unwrap())).collect()]
}

/// A table that gets damaged, and clips that do not.
pub fn table() -> Vec<Vec<Part>> {
    let table = "clip,split,class,class:mood,number:speed\n\
                 a/1.gif,train,walk,calm,1.5\na/2,val,jump,,2\nb.y4m,,walk,-,\n";
    let (clip, sound) = (moving_picture(), |part: Part| Part { damaged: false, ..part });
    vec![
        vec![
            part("clips.csv", table),
            sound(part("a/1.gif", clip.to_gif().unwrap())),
            sound(part("a/2/1.png", clip.frames[0].to_png().unwrap())),
            sound(part("b.y4m", clip.to_y4m().unwrap())),
        ],
        inputs(),
    ]
}

/// A table of pictures, clips and numbers.
fn inputs() -> Vec<Part> {
    let table = "image,clip,input:place/x,input:place/y,split,class,number:speed\n\
                 a.png,b.y4m,1,-0.5,train,walk,1.5\n,b.y4m,,,train,jump,2\na.png,,3,4,test,walk,\n";
    let (clip, sound) = (moving_picture(), |part: Part| Part { damaged: false, ..part });
    vec![
        part("inputs.csv", table),
        sound(part("a.png", clip.frames[0].to_png().unwrap())),
        sound(part("b.y4m", clip.to_y4m().unwrap())),
    ]
}

pub fn read_table(folder: &Path) -> Result<(), String> {
    let options = InputFileOptions { frames: 2, size: [6, 8], hold_back: 0.3, ..InputFileOptions::default() };
    read_samples(&InputFiles::open(folder, 1, options).map_err(|error| error.to_string())?)
}

/// Reads a clip whole, and a few resized frames of it.
pub fn read(folder: &Path) -> Result<(), String> {
    let few = ClipOptions { frames: FrameChoice::Count(3), size: Some([6, 8]), ..ClipOptions::default() };
    for options in [ClipOptions::default(), few] {
        let clip = open_clip(&folder.join("clip"), &options).map_err(|error| error.to_string())?;
        assert!(clip.rate.is_finite() && clip.rate > 0.0, "{} frames a second", clip.rate);
        let first = &clip.frames[0];
        let like_first = |frame: &Image| {
            (frame.height, frame.width, frame.channels) == (first.height, first.width, 3)
                && frame.pixels.len() == frame.height * frame.width * 3
        };
        assert!(clip.frames.iter().all(like_first), "frames of different sizes");
    }
    Ok(())
}
