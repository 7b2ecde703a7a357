//! Models of several inputs and of clips: trained, scored with and without an input, and asked about files.

use std::path::Path;

use cerberus::audio::{Sound, WavFormat, write_wav};
use cerberus::data::idx::{IdxImages, write_images, write_labels};
use cerberus::data::{MovingScenes, Split};

use super::{fails, output};

fn trained(folder: &Path, arguments: &[&str]) -> String {
    let run = folder.join("run");
    let own = ["--epochs", "1", "--batch", "4", "--samples", "8", "--quiet", "--out", run.to_str().unwrap()];
    let trained = output("train", &[arguments, &own].concat());
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert!(run.join("samples/gallery.png").is_file() && run.join("report.html").is_file());
    run.join("checkpoints/best.safetensors").to_str().unwrap().into()
}

fn told(name: &str, arguments: &[&str]) -> serde_json::Value {
    let said = output(name, arguments);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn a_clip_is_told_as_a_whole_and_frame_by_frame_with_tracks() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path(), &["--data", "moving-scenes:3"]);
    let scenes = MovingScenes::embedded(1).with_frames(5).unwrap();
    let (clip, sample) = scenes.clip(Split::Test, 0, 0).unwrap();
    let path = folder.path().join("scene.gif");
    std::fs::write(&path, clip.to_gif().unwrap()).unwrap();
    let (path, out) = (path.to_str().unwrap(), folder.path().join("found"));
    let arguments = ["--model", &model, "--video", path, "--threshold", "0", "--out", out.to_str().unwrap()];
    let told_of_clip = told("predict", &arguments);
    assert_eq!(told_of_clip["frames"], 5);
    assert!(told_of_clip["motion"]["class"].is_string() && told_of_clip["detect"].is_null());
    let each = told_of_clip["each"].as_array().unwrap();
    assert_eq!(each.len(), 5);
    for (number, frame) in each.iter().enumerate() {
        assert_eq!(frame["frame"], number);
        assert!(frame["segment"]["share_of_pixels"].is_object() && frame["subject"]["class"].is_string());
        let objects = frame["detect"].as_array().unwrap();
        assert!(objects.iter().all(|object| object["track"].is_number()));
        assert!(out.join(format!("scene.frames/{:05}.png", number + 1)).is_file());
    }
    for file in ["scene.json", "scene.gif"] {
        assert!(out.join(file).is_file(), "{file}");
    }

    // The last frame as a picture: this model has no input for it.
    let picture = folder.path().join("last.png");
    std::fs::write(&picture, sample.image.to_png().unwrap()).unwrap();
    let picture = picture.to_str().unwrap();
    fails("predict", &["--model", &model, "--image", picture], &[1, 2], &["no input for --image", "--video"]);
    fails("predict", &["--model", &model, "--video", "none.gif"], &[1, 2], &["none.gif"]);
    fails("predict", &["--model", &model, "--video", path, picture], &[2], &["cannot be used with"]);
    fails("evaluate", &["--model", &model, "--without", "video"], &[1, 2], &["leave one"]);
    fails("train", &["--data", "moving-scenes", "--fusion", "gated"], &[2], &["--fusion", "--inputs"]);
    fails("train", &["--data", "moving-scenes:1"], &[1, 2], &["frames of a moving scene", "2 to"]);
    fails("explain", &["--model", &model, picture], &[1, 2], &["one image"]);
    fails("export", &["--model", &model, "--out", out.to_str().unwrap()], &[1, 2], &["one image"]);
}

#[test]
fn a_model_of_single_pictures_looks_at_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path(), &["--tasks", "detect"]);
    let scenes = MovingScenes::embedded(1).with_frames(2).unwrap();
    let frames = folder.path().join("frames");
    std::fs::create_dir(&frames).unwrap();
    for (number, frame) in scenes.clip(Split::Test, 0, 0).unwrap().0.frames.iter().enumerate() {
        std::fs::write(frames.join(format!("{number}.png")), frame.to_png().unwrap()).unwrap();
    }
    let told = told("predict", &["--model", &model, "--video", frames.to_str().unwrap()]);
    assert_eq!(told["each"].as_array().unwrap().len(), 2);
}

/// Two digits as pictures and recordings.
fn digits(folder: &Path) -> String {
    let [seen, heard] = ["seen", "heard"].map(|name| folder.join(name));
    for made in [&seen, &heard] {
        std::fs::create_dir(made).unwrap();
    }
    for (name, count) in [("train", 40_usize), ("t10k", 8)] {
        let labels: Vec<u8> = (0..count).map(|index| (index % 2) as u8).collect();
        let pixels = labels.iter().flat_map(|&label| vec![100 + 100 * label; 28 * 28]).collect();
        let mut out = Vec::new();
        write_images(&IdxImages { count, height: 28, width: 28, pixels }, &mut out).unwrap();
        std::fs::write(seen.join(format!("{name}-images-idx3-ubyte")), &out).unwrap();
        out.clear();
        write_labels(&labels, &mut out).unwrap();
        std::fs::write(seen.join(format!("{name}-labels-idx1-ubyte")), &out).unwrap();
    }
    for digit in 0..2 {
        for speaker in ["ann", "bob"] {
            for number in 0..14 {
                let tone = |place: usize| (place as f32 * (0.2 + 0.3 * digit as f32)).sin() * 0.5;
                let sound = Sound { rate: 4000, channels: vec![(0..1200).map(tone).collect()] };
                let name = format!("{digit}_{speaker}_{number}.wav");
                write_wav(&heard.join(name), &sound, WavFormat::Int16).unwrap();
            }
        }
    }
    format!("digits:{},{}", seen.display(), heard.display())
}

#[test]
fn digits_are_seen_and_heard_and_either_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let data = digits(folder.path());
    let options = [
        "--inputs",
        "image,audio",
        "--fusion",
        "gated",
        "--modality-dropout",
        "0.3",
        "--auxiliary",
        "0.3",
        "--modulate",
        "0.3",
    ];
    let model = trained(folder.path(), &[&["--data", &data][..], &options, &["--trunk", "4/6/8"]].concat());
    let whole = told("evaluate", &["--model", &model]);
    let deaf = told("evaluate", &["--model", &model, "--without", "audio"]);
    assert!(whole["classify_audio.accuracy"].is_number(), "{whole}");
    assert!(deaf["accuracy"].is_number() && deaf["classify_audio.accuracy"].is_null(), "{deaf}");
    fails("evaluate", &["--model", &model, "--without", "smell"], &[1, 2], &["smell", "image, audio"]);

    let sound = folder.path().join("heard/1_bob_0.wav");
    let picture = folder.path().join("one.png");
    let gray =
        cerberus::data::Image { height: 28, width: 28, channels: 1, pixels: vec![200u8; 28 * 28].into() };
    std::fs::write(&picture, gray.to_png().unwrap()).unwrap();
    let (sound, picture) = (sound.to_str().unwrap(), picture.to_str().unwrap());
    let out = folder.path().join("found");
    let both = ["--model", &model, "--audio", sound, "--image", picture, "--out", out.to_str().unwrap()];
    let both = told("predict", &both);
    assert!(both["classify"]["class"].is_string() && both["classify_image"]["class"].is_string());
    assert!(out.join("one.json").is_file() && out.join("one.png").is_file());
    let heard = told("predict", &["--model", &model, "--audio", sound]);
    assert!(heard["classify"]["class"].is_string() && heard["classify_image"].is_null(), "{heard}");
    let seen = told("predict", &["--model", &model, picture]);
    assert!(seen["classify"]["class"].is_string() && seen["classify_audio"].is_null(), "{seen}");

    let broken = folder.path().join("broken.wav");
    std::fs::write(&broken, &std::fs::read(sound).unwrap()[..100]).unwrap();
    fails("predict", &["--model", &model, "--audio", broken.to_str().unwrap()], &[1], &["broken.wav"]);
    fails("predict", &["--model", &model, "--video", picture], &[1], &["one.png", "a single picture"]);
    fails("train", &["--data", &data, "--modulate", "0.3"], &[2], &["several inputs", "--auxiliary"]);
    fails("train", &["--data", &data, "--fusion", "magic"], &[2], &["magic", "concat, gated"]);
    fails("train", &["--data", &data, "--inputs", "image,smell"], &[2], &["smell", "image, audio"]);
    fails("train", &["--data", &format!("{data},zoe")], &[1, 2], &["zoe", "ann, bob"]);
}

#[test]
fn a_table_of_inputs_is_trained_on_and_asked_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut table = String::from("image,audio,input:age,split,class\n");
    for number in 0..16 {
        let level = 40 + 100 * (number % 2) as u8;
        let picture =
            cerberus::data::Image { height: 16, width: 16, channels: 1, pixels: vec![level; 256].into() };
        std::fs::write(path(&format!("{number}.png")), picture.to_png().unwrap()).unwrap();
        let tone = |place: usize| (place as f32 * (0.2 + 0.3 * (number % 2) as f32)).sin();
        let sound = Sound { rate: 4000, channels: vec![(0..800).map(tone).collect()] };
        write_wav(&path(&format!("{number}.wav")), &sound, WavFormat::Int16).unwrap();
        let part = ["train", "train", "validation", "test"][number / 4];
        let (seen, heard) = (number % 3 != 0, number % 4 != 1);
        let file = |here: bool, ending: &str| if here { format!("{number}.{ending}") } else { String::new() };
        let row = [file(seen, "png"), file(heard, "wav"), number.to_string(), part.into()];
        table += &format!("{},{}\n", row.join(","), ["low", "high"][number % 2]);
    }
    std::fs::write(path("inputs.csv"), &table).unwrap();
    let data = format!("inputs:{}", path("inputs.csv").display());
    let model = trained(folder.path(), &["--data", &data, "--size", "16", "--trunk", "4/6/8"]);
    assert!(told("evaluate", &["--model", &model])["accuracy"].is_number());
    assert!(told("evaluate", &["--model", &model, "--without", "age"])["accuracy"].is_number());
    let seen = told("predict", &["--model", &model, path("1.png").to_str().unwrap()]);
    assert!(seen["classify"]["class"].is_string(), "{seen}");

    std::fs::write(path("inputs.csv"), table.replace("1.wav", "none.wav")).unwrap();
    fails("train", &["--data", &data], &[1, 2], &["inputs.csv", "none.wav", "relative to the table"]);
}
