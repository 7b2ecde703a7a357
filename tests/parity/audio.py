"""Resampled sounds, spectrograms, mel bands, log-mel frames and cepstral coefficients of librosa and torchaudio, in f64.

Usage: audio.py REFERENCE

Sounds are made from a formula, which `crates/audio/src/tests/parity.rs` has as well. The reference holds, for every
kind of transform, a list of cases: a configuration as our files hold it, the number of samples, and the values. Where
both libraries can compute a case, they must agree to 1e-11 before it is written.

Both compute mel bands in f32 unless they are told otherwise, torchaudio by PyTorch's default type and librosa by an
argument.
"""

import json
import sys

import librosa
import numpy as np
import torch
import torchaudio.functional as F

torch.set_default_dtype(torch.float64)


def sound(samples):
    """A chirp, a tone and noise."""
    i = np.arange(samples)
    bits = (i * 2654435761) % 2**32
    bits = ((bits ^ (bits >> 15)) * 2246822519) % 2**32
    return 0.4 * np.sin(0.02 * i + 0.0004 * i * i) + 0.2 * np.cos(1.9 * i) + 0.1 * (bits / 2**32 - 0.5)


def agreed(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-11, atol=1e-13), abs(ours - theirs).max()
    return ours


def resampled(case):
    config = case["config"]
    window, options = config["window"], {}
    if window == "hann":
        method = "sinc_interp_hann"
    else:
        method, options = "sinc_interp_kaiser", {"beta": window["kaiser"]["beta"]}
    x = torch.from_numpy(sound(case["samples"]))
    return F.resample(x, *case["rates"], config["width"], config["rolloff"], method, **options).numpy()


def spectrogram(config, samples):
    """[bins, frames]"""
    n_fft, window, hop, centre = (config[name] for name in ("n_fft", "window", "hop", "centre"))
    power = {"magnitude": 1.0, "energy": 2.0}[config["power"]]
    x = sound(samples)
    ours = np.abs(librosa.stft(x, n_fft=n_fft, hop_length=hop, win_length=window, center=centre, pad_mode="reflect"))
    theirs = F.spectrogram(
        torch.from_numpy(x), 0, torch.hann_window(window), n_fft, hop, window, power, False, centre, "reflect"
    )
    return agreed(ours**power, theirs)


def bands(config, rate, n_fft):
    """[bands, bins]"""
    high = config.get("high", rate / 2)
    norm = {"none": None, "slaney": "slaney"}[config["norm"]]
    ours = librosa.filters.mel(
        sr=rate,
        n_fft=n_fft,
        n_mels=config["bands"],
        fmin=config["low"],
        fmax=high,
        htk=config["scale"] == "htk",
        norm=norm,
        dtype=np.float64,
    )
    theirs = F.melscale_fbanks(n_fft // 2 + 1, config["low"], high, config["bands"], rate, norm, config["scale"])
    # torchaudio spaces its frequencies by rate // 2.
    return agreed(ours, theirs.T) if rate % 2 == 0 and n_fft % 2 == 0 else ours


def log_mel(config, samples):
    """[bands, frames]"""
    frames = spectrogram(config["spectrogram"], samples)
    mel = bands(config["mel"], config["rate"], config["spectrogram"]["n_fft"]) @ frames
    if "natural" in config["log"]:
        return np.log(np.maximum(mel, config["log"]["natural"]["floor"]))
    scale = config["log"]["decibel"]
    reference, floor, top_db = scale.get("reference", np.max), scale["floor"], scale.get("top_db")
    if config["spectrogram"]["power"] == "energy":
        factor, ours = 10.0, librosa.power_to_db(mel, ref=reference, amin=floor, top_db=top_db)
    else:
        factor, ours = 20.0, librosa.amplitude_to_db(mel, ref=reference, amin=floor, top_db=top_db)
    zero = max(floor, mel.max() if reference is np.max else reference)
    theirs = F.amplitude_to_DB(torch.from_numpy(mel), factor, floor, np.log10(zero), top_db)
    return agreed(ours, theirs)


def mfcc(config, samples):
    """[coefficients, frames]"""
    frames, kept = log_mel(config["log_mel"], samples), config["coefficients"]
    ours = librosa.feature.mfcc(S=frames, n_mfcc=kept, dct_type=2, norm="ortho")
    theirs = torch.from_numpy(frames).T @ F.create_dct(kept, config["log_mel"]["mel"]["bands"], "ortho")
    return agreed(ours, theirs.T)


HANN = {"width": 6, "rolloff": 0.99, "window": "hann"}
KAISER = {"width": 16, "rolloff": 0.9475937167399596, "window": {"kaiser": {"beta": 14.769656459379492}}}

PLAIN = {"n_fft": 64, "window": 64, "hop": 16, "centre": True, "power": "energy"}
SHORT = {"n_fft": 64, "window": 40, "hop": 25, "centre": True, "power": "energy"}
ODD = {"n_fft": 45, "window": 30, "hop": 11, "centre": True, "power": "magnitude"}
LATE = {"n_fft": 32, "window": 31, "hop": 40, "centre": False, "power": "magnitude"}

HTK = {"bands": 10, "low": 0.0, "scale": "htk", "norm": "none"}
SLANEY = {"bands": 12, "low": 20.0, "high": 3800.0, "scale": "slaney", "norm": "slaney"}
MIXED = {"bands": 9, "low": 300.0, "high": 3400.0, "scale": "htk", "norm": "slaney"}
PLAIN_SLANEY = {"bands": 20, "low": 0.0, "scale": "slaney", "norm": "none"}

NATURAL = {"natural": {"floor": 1e-6}}
HIGH_FLOOR = {"natural": {"floor": 0.5}}
LOUDEST = {"decibel": {"floor": 1e-10, "top_db": 30.0}}
ABSOLUTE = {"decibel": {"reference": 1.0, "floor": 1e-10, "top_db": 80.0}}
UNLIMITED = {"decibel": {"reference": 0.25, "floor": 0.01}}


def features(rate, spectrogram, mel, log):
    return {"rate": rate, "spectrogram": spectrogram, "mel": mel, "log": log}


def cases():
    resample = [
        {"rates": rates, "samples": samples, "config": config}
        for config in (HANN, KAISER)
        for rates, samples in (
            ([3, 2], 100),
            ([2, 3], 50),
            ([8000, 16000], 40),
            ([16000, 8000], 101),
            ([44100, 16000], 200),
            ([8000, 11025], 60),
            ([97, 100], 30),
            ([48000, 8000], 7),
            ([8000, 48000], 1),
        )
    ]
    for case in resample:
        yield "resample", case, resampled(case)
    for config, samples in ((PLAIN, 200), (SHORT, 90), (ODD, 77), (LATE, 200), (PLAIN, 33), (LATE, 32)):
        yield "spectrogram", {"config": config, "samples": samples}, spectrogram(config, samples).T
    for rate, n_fft, config in (
        (8000, 64, HTK),
        (8000, 128, SLANEY),
        (8000, 50, MIXED),
        (16000, 64, PLAIN_SLANEY),
        (11025, 45, HTK),
    ):
        yield "mel", {"rate": rate, "n_fft": n_fft, "config": config}, bands(config, rate, n_fft)
    for config, samples in (
        (features(8000, PLAIN, HTK, NATURAL), 300),
        (features(8000, SHORT, SLANEY, NATURAL), 300),
        (features(8000, ODD, MIXED, HIGH_FLOOR), 150),
        (features(8000, PLAIN, HTK, LOUDEST), 300),
        (features(8000, LATE, SLANEY, ABSOLUTE), 300),
        (features(8000, SHORT, SLANEY, UNLIMITED), 300),
        (features(16000, ODD, PLAIN_SLANEY, LOUDEST), 150),
    ):
        yield "log_mel", {"config": config, "samples": samples}, log_mel(config, samples).T
    for log, kept in ((NATURAL, 10), (ABSOLUTE, 7)):
        config = {"log_mel": features(8000, PLAIN, HTK, log), "coefficients": kept}
        yield "mfcc", {"config": config, "samples": 300}, mfcc(config, 300).T
    for samples, columns, reach in ((60, 5, 2), (36, 3, 4), (6, 3, 2)):
        x = torch.from_numpy(sound(samples).reshape(-1, columns))
        values = F.compute_deltas(x.T, 2 * reach + 1, "replicate").T
        yield "delta", {"samples": samples, "columns": columns, "reach": reach}, values.numpy()


def main():
    reference = {}
    for kind, case, values in cases():
        values = [float(value) for value in np.asarray(values).reshape(-1)]
        reference.setdefault(kind, []).append({**case, "values": values})
    with open(sys.argv[1], "w") as file:
        # A line for each case, so that a change shows which.
        kinds = []
        for kind, list_of in reference.items():
            lines = ",\n".join(json.dumps(case) for case in list_of)
            kinds.append(f'"{kind}": [\n{lines}\n]')
        file.write("{\n" + ",\n".join(kinds) + "\n}\n")


main()
