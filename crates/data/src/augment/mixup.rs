//! Blends two pictures into one.

use rand::RngExt;
use rand_distr::Beta;

use crate::{ClassId, IGNORED, Label, Mask, Object, Pixels, Sample, ValueMap};

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};
use super::outline::LEFT;
use super::paste::fit;
use super::whole::Whole;

/// The weighted mean of two samples. The weight is drawn from Beta(0.2, 0.2), and the larger share goes to the sample
/// itself (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, section 3.1). The strength is a factor of
/// the 0.2.
///
/// The objects of both pictures are targets (Zhang et al., "Bag of Freebies for Training Object Detection Neural
/// Networks", 2019), but the objects of a picture whose share is below a quarter are hard to see and become crowds. If
/// the other picture's share is below a quarter, masks and value maps are those of the sample itself; otherwise pixels
/// where the two differ are ignored.
pub(super) const MIXUP: Operation = Operation {
    name: "mixup",
    what: "the mean of two samples with weights from Beta(0.2, 0.2)",
    kind: Kind::Mixing,
    partners: 1,
    probability: 1.0,
    floats: true,
    apply: mixup,
};

fn mixup(canvas: &mut Canvas, draw: &mut Draw) {
    let alpha = (0.2 * draw.strength) as f32;
    // A parameter below a ten thousandth would also give one picture all the weight.
    let Ok(beta) = Beta::new(alpha.max(1e-4), alpha.max(1e-4)) else { return };
    let drawn: f32 = draw.random.sample(beta);
    let other = draw.partners.swap_remove(0);
    let base = canvas.rendered();
    if fit(base, &other) {
        *base = mean(base, &other, drawn.max(1.0 - drawn));
    }
}

/// The weighted mean of two samples that fit; the first has a share of at least a half.
fn mean(base: &Sample, other: &Sample, share: f32) -> Sample {
    let rest = 1.0 - share;
    let mix = |a: f32, b: f32| share * a + rest * b;
    let pixels = match (&base.image.pixels, &other.image.pixels) {
        (Pixels::Bytes(a), Pixels::Bytes(b)) => {
            let both = a.iter().zip(b);
            both.map(|(&a, &b)| (mix(a.into(), b.into()) + 0.5) as u8).collect::<Vec<u8>>().into()
        }
        (Pixels::Floats(a), Pixels::Floats(b)) => {
            a.iter().zip(b).map(|(&a, &b)| mix(a, b)).collect::<Vec<f32>>().into()
        }
        _ => unreachable!("mixup: pictures of bytes and of floats do not fit"),
    };
    let plain = rest < LEFT;
    let more = base.more.iter().filter_map(|(name, label)| {
        let label = match (label, other.more.get(name)) {
            (Label::Objects(own), Some(Label::Objects(theirs))) => Label::Objects(both(own, theirs, plain)),
            (Label::Objects(_), _) => return None,
            (Label::Mask(_) | Label::ValueMap(_), _) if plain => label.clone(),
            (Label::Mask(own), Some(Label::Mask(theirs))) => Label::Mask(agreed(own, theirs)),
            (Label::ValueMap(own), Some(Label::ValueMap(theirs))) => Label::ValueMap(equal(own, theirs)),
            (Label::Mask(_) | Label::ValueMap(_), _) => return None,
            (Label::Class(_) | Label::Shares(_) | Label::Classes(_) | Label::Values(_), _) => label.clone(),
        };
        Some((name.clone(), label))
    });
    let mut mixed = Sample {
        image: crate::Image { pixels, ..base.image },
        class: base.class,
        objects: base
            .objects
            .as_ref()
            .zip(other.objects.as_ref())
            .map(|(own, theirs)| both(own, theirs, plain)),
        mask: match (&base.mask, &other.mask) {
            (Some(own), _) if plain => Some(own.clone()),
            (Some(own), Some(theirs)) => Some(agreed(own, theirs)),
            _ => None,
        },
        more: more.collect(),
        inputs: base.inputs.clone(),
    };
    Whole::of(&[(base, share), (other, rest)]).label(&mut mixed);
    mixed
}

fn both(own: &[Object], theirs: &[Object], faint: bool) -> Vec<Object> {
    let theirs = theirs.iter().map(|object| Object { crowd: object.crowd || faint, ..*object });
    own.iter().copied().chain(theirs).collect()
}

fn agreed(own: &Mask, theirs: &Mask) -> Mask {
    let pixel = |(&a, &b): (&ClassId, &ClassId)| if a == b { a } else { IGNORED };
    Mask { classes: own.classes.iter().zip(&theirs.classes).map(pixel).collect(), ..*own }
}

fn equal(own: &ValueMap, theirs: &ValueMap) -> ValueMap {
    let pixel = |(&a, &b): (&f32, &f32)| if a == b { a } else { f32::NAN };
    ValueMap { values: own.values.iter().zip(&theirs.values).map(pixel).collect(), ..*own }
}
