//! Necks: how a trunk's maps are joined in one, by name: `train --neck pan`.
//!
//! A neck is one file in this folder and one line in the list of [`Neck`]. It sees nothing but the maps, so each fits
//! any trunk with at least two. Every neck makes a joined map for heads that use one. `pan` and `unet` compute a map for
//! every stage on their way: heads that use [several](crate::FeatureInfo::levels) get these, in the trunk's places and
//! with its strides. Under `fpn` and `aspp` such heads get the trunk's own maps.

pub mod aspp;
pub mod fpn;
pub mod pan;
pub mod unet;

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::Element;
use serde::{Deserialize, Serialize};

use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// Joins a trunk's maps.
pub trait JoinMaps<T: Element = f32>: Module<T> + Send + Sync {
    /// The joined map; its name is the neck's.
    fn joined(&self) -> MapInfo;

    /// The maps that heads get in the place of the trunk's: as many, with the same strides.
    fn stages(&self, trunk: Vec<MapInfo>) -> Vec<MapInfo> {
        trunk
    }

    /// How many of the trunk's maps stay, the first ones. In the place of the others it puts its own, which go through
    /// [`Context::stage`] then.
    fn kept_stages(&self) -> usize {
        usize::MAX
    }

    /// The stages as [`stages`](Self::stages) describes them, and the joined map, for the trunk's maps, shallow to
    /// deep, `[N, H / stride, W / stride, channels]` each with both sides rounded up.
    #[track_caller]
    fn forward(&self, stages: Vec<Var<T>>, context: &mut Context<T>) -> Features<T>;
}

/// A trunk with a neck.
struct Necked<T: Element> {
    trunk: Box<dyn Trunk<T>>,
    neck: Box<dyn JoinMaps<T>>,
}

impl<T: Element> Trunk<T> for Necked<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.neck.stages(self.trunk.stages())
    }

    fn neck(&self) -> Option<MapInfo> {
        Some(self.neck.joined())
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let kept = self.neck.kept_stages();
        let stages = context.with_stages(kept, |context| self.trunk.forward(images, context).stages);
        self.neck.forward(stages, context)
    }
}

/// The trunk's paths stay as without a neck, whose own begin with its name: `fpn.output.weight`.
impl<T: Element> Module<T> for Necked<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.trunk.visit(path, f);
        self.neck.visit(&join(path, &self.neck.joined().name), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.trunk.visit_mut(path, f);
        let own = join(path, &self.neck.joined().name);
        self.neck.visit_mut(&own, f);
    }
}

/// Declares the choice of a neck: each has a line with its variant, its name and its type.
macro_rules! necks {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $type:ty;)*) => {
        /// How a trunk's maps are joined in one.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Neck {
            /// As the trunk itself does; published networks do not.
            #[default]
            #[serde(rename = "none")]
            None,
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Neck {
            /// Every choice.
            pub const ALL: &[Self] = &[Self::None, $(Self::$variant),*];

            /// Its name, as [`by_name`](Self::by_name) reads it.
            pub fn name(self) -> &'static str {
                match self {
                    Self::None => "none",
                    $(Self::$variant => $name,)*
                }
            }

            /// The trunk with this neck.
            ///
            /// # Panics
            /// If the neck is not [`None`](Self::None) and the trunk has fewer than two maps.
            #[track_caller]
            pub fn over<T: Element>(self, trunk: Box<dyn Trunk<T>>, init: &mut Init) -> Box<dyn Trunk<T>> {
                let stages = trunk.stages();
                let neck: Box<dyn JoinMaps<T>> = match self {
                    Self::None => return trunk,
                    _ if stages.len() < 2 => {
                        panic!("the neck {}: {stages:?} must be at least two maps", self.name())
                    }
                    $(Self::$variant => Box::new(<$type>::new(&stages, init)),)*
                };
                Box::new(Necked { trunk, neck })
            }
        }
    };
}

necks! {
    /// [A feature pyramid](fpn::Fpn): from the deepest map upwards.
    Fpn, "fpn", fpn::Fpn<T>;
    /// [Path aggregation](pan::Pan): a feature pyramid, then downwards again.
    Pan, "pan", pan::Pan<T>;
    /// [A decoder](unet::UNet) that goes up to the finest map.
    UNet, "unet", unet::UNet<T>;
    /// [Atrous spatial pyramid pooling](aspp::Aspp) of the deepest map.
    Aspp, "aspp", aspp::Aspp<T>;
}

impl Neck {
    /// The neck of this name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        Self::ALL.iter().find(|neck| neck.name() == name).copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|neck| neck.name()).collect();
            format!("there is no neck {name:?}; choose one of {}", names.join(", "))
        })
    }

    /// Whether the trunk keeps its own way.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The place, from 0, of the finest map that a pyramid joins: of those whose positions are at most `stride` pixels
/// apart the deepest, or the first if there is none, so that at least two are joined.
fn finest(stages: &[MapInfo], stride: usize) -> usize {
    let fine = stages.iter().filter(|map| map.stride <= stride).count().saturating_sub(1);
    fine.min(stages.len() - 2)
}

/// Rows and columns of a map `[N, H, W, C]`.
fn size<T: Element>(map: &Var<T>) -> [usize; 2] {
    [map.shape()[1], map.shape()[2]]
}

#[cfg(test)]
mod tests;
