//! The trunk of images, by its configuration.

use cerberus_nn::Init;
use cerberus_tensor::Element;

use crate::config::{ModelConfig, TrunkKind};
use crate::lenet::LeNet;
use crate::networks;
use crate::trunk::{ConvTrunk, Trunk};

/// The trunk that a configuration describes for images of `channels` channels.
pub(crate) fn image_trunk<T: Element>(
    config: &ModelConfig,
    channels: usize,
    init: &mut Init,
) -> Box<dyn Trunk<T>> {
    let trunk: Box<dyn Trunk<T>> = match config.trunk {
        TrunkKind::Stages => Box::new(ConvTrunk::new(channels, &config.stages, init)),
        TrunkKind::LeNet => Box::new(LeNet::new(channels, init)),
        TrunkKind::Network => {
            let network = networks::find(&config.network).expect("a network that was checked");
            (network.build)(channels, init)
        }
        TrunkKind::Custom => unreachable!("a configuration that was checked names its trunk"),
    };
    let trunk = match &config.normalisation {
        Some(normalisation) => normalisation.before(trunk),
        None => trunk,
    };
    config.neck.over(trunk, init)
}
