//! Damage: a file changed at random in the ways that files get damaged, and in those that find faults in readers.
//!
//! Everything is drawn from one number, so that a seed reproduces a failure.

/// A stream of numbers (splitmix64; Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn pick<'a, V>(&mut self, values: &'a [V]) -> &'a V {
        &values[self.below(values.len())]
    }
}

/// The most bytes of a damaged file: inputs stay small, so that many are tried.
const LONGEST: usize = 1 << 18;
/// How deep brackets are nested: deeper than a call stack is, if each took a frame.
const DEEPEST: usize = 60_000;

/// Numbers as text, at the limits of number types.
const NUMBERS: [&str; 28] = [
    "0",
    "-0",
    "-1",
    "1",
    "2",
    "0.5",
    "255",
    "256",
    "4096",
    "16384",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-1e39",
    "1e-320",
    "NaN",
];

/// The same for binary formats.
const WORDS: [u32; 9] = [0, 1, 0x7F, 0x80, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];

/// Brackets that open and close, for nesting.
const NESTS: [(&str, &str); 5] =
    [("[", "]"), ("{\"a\":", "}"), ("<a>", "</a>"), ("- ", ""), ("[[1,1],", "]")];

/// Changes `bytes` in one to eight ways. `other` is a file that parts are taken from, `words` are terms of the format.
pub fn damage(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    // Mostly few changes: a reader refuses a file with many at the first of them.
    for _ in 0..1 + (random.below(8) * random.below(8)) / 8 {
        change(bytes, other, words, random);
        bytes.truncate(LONGEST);
    }
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    let len = bytes.len();
    let place = random.below(len + 1);
    // Short parts and long ones alike.
    let part = |len: usize, random: &mut Random| {
        let start = random.below(len + 1);
        let longest = (len - start).min(1 << random.below(13));
        start..start + random.below(longest + 1)
    };
    match random.below(14) {
        0 if len > 0 => bytes[random.below(len)] ^= 1 << random.below(8),
        1 if len > 0 => {
            bytes[random.below(len)] = *random.pick(&[0, 1, 9, 10, 13, 32, 34, 127, 128, 254, 255])
        }
        2 if len > 0 => bytes[random.below(len)] = random.next() as u8,
        3 => bytes.insert(place, random.next() as u8),
        4 => drop(bytes.drain(part(len, random))),
        5 => {
            let copy = bytes[part(len, random)].to_vec();
            bytes.splice(place..place, copy);
        }
        6 => {
            let from = other[part(other.len(), random)].to_vec();
            let end = if random.below(2) == 0 { place } else { len.min(place + from.len()) };
            bytes.splice(place..end, from);
        }
        7 => {
            let end = random.below(other.len() + 1);
            bytes.truncate(place);
            bytes.extend(&other[end..]);
        }
        8 => bytes.truncate(place),
        9 | 10 => set_number(bytes, random),
        11 => {
            let word = WORDS[random.below(WORDS.len())];
            let width = [1, 2, 4][random.below(3)];
            let word =
                if random.below(2) == 0 { word.to_le_bytes() } else { word.rotate_left(16).to_be_bytes() };
            for (byte, value) in bytes.iter_mut().skip(place).zip(&word[..width]) {
                *byte = *value;
            }
        }
        12 if !words.is_empty() => {
            let word = random.pick(words).as_bytes().to_vec();
            let end = if random.below(2) == 0 { place } else { len.min(place + word.len()) };
            bytes.splice(place..end, word);
        }
        _ => {
            let (open, close) = random.pick(&NESTS);
            let times = 1 << random.below(17);
            let times = times.min(DEEPEST).min(LONGEST / (open.len() + close.len()));
            // Whole files are rare: most nests are shallow, and a third are left open.
            let close = if random.below(3) == 0 { "" } else { close };
            bytes.splice(place..place, [open.repeat(times), close.repeat(times)].concat().into_bytes());
        }
    }
}

/// Replaces a number that is written as text by another.
fn set_number(bytes: &mut Vec<u8>, random: &mut Random) {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let start = random.below(bytes.len() + 1);
    let Some(start) = bytes.iter().skip(start).position(is_digit).map(|at| start + at) else { return };
    let len = bytes[start..].iter().take_while(|byte| is_digit(byte)).count();
    bytes.splice(start..start + len, random.pick(&NUMBERS).bytes());
}
