use std::collections::BTreeMap;

use cerberus_autograd::Var;
use cerberus_balance::by_name;
use cerberus_data::{Batch, Dataset, FashionScenes, Split};
use cerberus_nn::{AdamOptions, AdamW, Context, Init, Module, ModuleTensor};
use cerberus_tensor::Tensor;

use super::*;
use crate::config::{HeadConfig, ModelConfig};
use crate::features::MapInfo;
use crate::step::{Balancing, GradientsWrt, StepInput, train_step};
use crate::{MultiTaskModel, tasks};

fn built(name: &str) -> Box<dyn Trunk<f32>> {
    (find(name).unwrap().build)(3, &mut Init::new(1))
}

fn parameters(trunk: &dyn Trunk<f32>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    trunk.visit("", &mut |path, tensor| {
        if let ModuleTensor::Parameter(parameter) = tensor {
            found.insert(path, parameter.value.len());
        }
    });
    found
}

/// torchvision's counts for 1,000 classes, timm's for transformers; for ResNet-9 and the small network, which it does not have, those of the
/// originals for 10.
const COUNTS: [(&str, usize, usize); 17] = [
    ("resnet18", 1000, 11_689_512),
    ("resnet34", 1000, 21_797_672),
    ("resnet50", 1000, 25_557_032),
    ("resnet9", 10, 6_573_120),
    ("vgg11", 1000, 132_863_336),
    ("vgg11_bn", 1000, 132_868_840),
    ("vgg16", 1000, 138_357_544),
    ("vgg16_bn", 1000, 138_365_992),
    ("mobilenet_v2", 1000, 3_504_872),
    ("mobilenet_v3_large", 1000, 5_483_032),
    ("mobilenet_v3_small", 1000, 2_542_856),
    ("efficientnet_b0", 1000, 5_288_548),
    ("small_cnn", 10, 42_442),
    ("convnext_tiny", 1000, 28_589_128),
    ("vit_tiny", 1000, 5_717_416),
    ("vit_small", 1000, 22_050_664),
    ("vit_b_16", 1000, 86_567_656),
];

/// The dense layers of a VGG. They take most of the time to make and all VGGs have the same, so only one VGG is made
/// whole.
const VGG_HEAD: usize = 25_088 * 4_096 + 4_096 + 4_096 * 4_096 + 4_096 + 4_096 * 1_000 + 1_000;

#[test]
fn networks_have_the_published_numbers_of_parameters_and_classify_images_of_any_size() {
    for (name, classes, count) in COUNTS {
        if name.starts_with("vgg") && name != "vgg11_bn" {
            assert_eq!(built(name).parameter_count() + VGG_HEAD, count, "{name}");
            continue;
        }
        let classifier = (find::<f32>(name).unwrap().classifier)([3, classes], &mut Init::new(1));
        assert_eq!(classifier.parameter_count(), count, "{name}");
        let images = Var::constant(Tensor::from_fn(&[2, 45, 66, 3], |i| (i as f32 * 0.7).sin()));
        assert_eq!(classifier.forward(images, &mut Context::evaluation()).shape(), [2, classes], "{name}");
    }
}

#[test]
fn paths_are_torchvisions_and_timms_but_for_the_names_of_scales_and_shifts() {
    let expected: [(&str, &[&str]); 8] = [
        (
            "resnet50",
            &[
                "conv1.weight",
                "bn1.gamma",
                "layer1.0.downsample.0.weight",
                "layer1.0.downsample.1.beta",
                "layer3.5.conv3.weight",
                "layer4.2.bn3.beta",
            ],
        ),
        (
            "mobilenet_v2",
            &[
                "features.0.0.weight",
                "features.1.conv.1.weight",
                "features.1.conv.2.beta",
                "features.17.conv.1.0.weight",
                "features.17.conv.3.gamma",
                "features.18.1.gamma",
            ],
        ),
        (
            "mobilenet_v3_large",
            &[
                "features.1.block.1.0.weight",
                "features.4.block.2.fc1.weight",
                "features.15.block.3.1.gamma",
                "features.16.1.beta",
            ],
        ),
        (
            "efficientnet_b0",
            &[
                "features.1.0.block.1.fc2.bias",
                "features.6.3.block.3.0.weight",
                "features.7.0.block.0.1.gamma",
                "features.8.0.weight",
            ],
        ),
        (
            "convnext_tiny",
            &[
                "features.0.0.bias",
                "features.0.1.gamma",
                "features.1.0.layer_scale",
                "features.5.8.block.0.weight",
                "features.6.0.beta",
                "features.6.1.weight",
                "features.7.2.block.5.bias",
            ],
        ),
        (
            "vit_tiny",
            &[
                "cls_token",
                "pos_embed",
                "patch_embed.proj.weight",
                "blocks.0.norm1.gamma",
                "blocks.5.attn.qkv.bias",
                "blocks.5.attn.proj.weight",
                "blocks.11.mlp.fc1.weight",
                "blocks.11.mlp.fc2.bias",
                "norm.beta",
            ],
        ),
        ("vgg16", &["features.0.bias", "features.2.weight", "features.28.weight"]),
        ("vgg16_bn", &["features.0.bias", "features.1.gamma", "features.40.weight", "features.41.beta"]),
    ];
    for (name, paths) in expected {
        let found = parameters(&*built(name));
        for &path in paths {
            assert!(found.contains_key(path), "{name}: {path} is not among {:?}", found.keys());
        }
    }
}

#[test]
fn maps_have_the_shapes_that_are_described_for_sides_that_do_not_halve_evenly() {
    // The widest transformer takes as long to make as many others together, and differs from those in its width alone.
    for network in networks::<f32>().into_iter().filter(|network| network.name != "vit_b_16") {
        let mut init = Init::new(2);
        let trunk = (network.build)(3, &mut init);
        assert_eq!(trunk.stages().len(), network.stages, "{}", network.name);
        let trunk = Neck::Fpn.over(trunk, &mut init);
        let images = Var::constant(Tensor::from_fn(&[1, 45, 66, 3], |i| (i as f32 * 0.7).sin()));
        let features = trunk.forward(images, &mut Context::evaluation());
        let maps = features.stages.iter().chain(&features.neck);
        let infos: Vec<MapInfo> = trunk.stages().into_iter().chain(trunk.neck()).collect();
        assert_eq!(maps.clone().count(), infos.len());
        for (map, info) in maps.zip(infos) {
            let size = [45usize, 66].map(|side| side.div_ceil(info.stride));
            let expected = [1, size[0], size[1], info.channels];
            assert_eq!(map.shape(), expected, "{}: {}", network.name, info.name);
        }
    }
}

/// A model of a network with a head of every kind that scenes have labels for.
fn model(name: &str, neck: Neck) -> (ModelConfig, MultiTaskModel) {
    let data = FashionScenes::embedded(1);
    let kinds = tasks::kinds::<f32>();
    // `mlp` is for maps of one position; the deeper level of `fcos` learns nothing on maps that are too coarse for the
    // largest object of a scene.
    let fine = neck == Neck::Fpn && (name.ends_with("-cifar") || name == "resnet9");
    let kinds = kinds.iter().map(|kind| kind.name);
    let kinds = kinds.filter(|&kind| kind != "mlp" && (kind != "fcos" || fine));
    let heads = kinds.filter_map(|kind| HeadConfig::new(kind, kind, None, data.info()).ok()).collect();
    let mut config = ModelConfig::with_stages([64, 64, 3], Vec::new(), heads);
    config.set_trunk(name).unwrap();
    config.neck = neck;
    assert!(config.heads.len() > 5);
    let model = MultiTaskModel::new(&config, 3);
    (config, model)
}

/// Every network but `vit_b_16`, with a neck and a part that is frozen. That one differs from `vit_small` in its
/// width alone, and its parameters, their gradients, moments and copies would take 2 GB.
const TRAINED: [(&str, Neck, &str); 18] = [
    ("resnet18", Neck::None, "trunk.layer1"),
    ("resnet34", Neck::Pan, "trunk.layer1"),
    ("resnet50", Neck::Fpn, "trunk.layer1"),
    ("resnet18-cifar", Neck::Fpn, "trunk.layer1"),
    ("resnet50-cifar", Neck::None, "trunk.layer1"),
    ("resnet9", Neck::Fpn, "trunk.layer1"),
    ("vgg11", Neck::None, "trunk.features.0"),
    ("vgg11_bn", Neck::Fpn, "trunk.features.0"),
    ("vgg16", Neck::None, "trunk.features.0"),
    ("vgg16_bn", Neck::None, "trunk.features.0"),
    ("mobilenet_v2", Neck::Fpn, "trunk.features.0"),
    ("mobilenet_v3_small", Neck::None, "trunk.features.0"),
    ("mobilenet_v3_large", Neck::Fpn, "trunk.features.0"),
    ("efficientnet_b0", Neck::Fpn, "trunk.features.0"),
    ("small_cnn", Neck::None, "trunk.conv1"),
    ("convnext_tiny", Neck::None, "trunk.features.0"),
    ("vit_tiny", Neck::Pan, "trunk.blocks.0"),
    ("vit_small", Neck::None, "trunk.blocks.0"),
];

/// Stochastic depth leaves a block unchanged that is dropped for both images. With the seed of this step none is.
#[test]
fn one_step_changes_every_parameter_of_every_kind_of_network_under_every_head_and_none_that_is_frozen() {
    let data = FashionScenes::embedded(1);
    let samples: Vec<_> = (0..2).map(|index| data.sample(Split::Train, 0, index).unwrap()).collect();
    let batch = Batch::assemble(&samples, (0..2).collect()).unwrap();
    for network in networks::<f32>() {
        let trained = TRAINED.iter().any(|(name, ..)| *name == network.name);
        assert_ne!(trained, network.name == "vit_b_16", "{}", network.name);
    }
    for (name, neck, frozen) in TRAINED {
        let (config, mut model) = model(name, neck);
        model.freeze(frozen);
        let values = |model: &MultiTaskModel| -> Vec<(String, Vec<f32>)> {
            model.parameters().into_iter().map(|(path, p)| (path, p.value.to_vec())).collect()
        };
        let before = values(&model);
        let strategy = by_name::<f32>("fixed", config.heads.len(), &config.weights()).unwrap();
        let preference = vec![1.0; config.heads.len()];
        let mut balancing = Balancing { strategy, preference, wrt: GradientsWrt::Parameters };
        let input = StepInput { clip_norm: 1e9, seed: [6, 0], ..StepInput::new(&batch) };
        let mut optimizer = AdamW::new(AdamOptions { learning_rate: 1e-3, ..AdamOptions::default() });
        train_step(&mut model, &mut optimizer, &mut balancing, &input).unwrap();
        for ((path, old), (_, new)) in before.iter().zip(values(&model)) {
            // A softmax over positions is the same for any bias: the gradient is nothing but rounding.
            if path == "heads.classify.attention.bias" {
                continue;
            }
            let frozen = path.starts_with(&format!("{frozen}."));
            assert_eq!(*old == new, frozen, "{name} with {}: {path}", neck.name());
        }
    }
}

#[test]
fn a_configuration_with_a_network_is_written_and_read_and_refused_where_it_cannot_be_built() {
    let (config, _) = model("resnet18", Neck::Fpn);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    assert_eq!(config.trunk_name(), "resnet18");
    let unknown = ModelConfig { network: "resnet19".into(), ..config.clone() };
    assert!(unknown.check().unwrap_err().contains("resnet34"));
    let mut other = config.clone();
    assert!(other.set_trunk("resnet19").unwrap_err().contains("resnet34"));
    other.set_trunk("base").unwrap();
    assert!(other.network.is_empty() && other.check().is_ok());
}

#[test]
fn recomputing_the_blocks_of_a_trunk_changes_no_bit() {
    let data = FashionScenes::embedded(1);
    let samples: Vec<_> = (0..2).map(|index| data.sample(Split::Train, 0, index).unwrap()).collect();
    let batch = Batch::assemble(&samples, (0..2).collect()).unwrap();
    for name in ["base", "resnet18", "efficientnet_b0"] {
        let gradients = |recomputes: bool| {
            let (mut config, _) = model("resnet18", Neck::Fpn);
            config.heads.retain(|head| head.kind == "segment");
            config.set_trunk(name).unwrap();
            let mut model = MultiTaskModel::<f32>::new(&config, 3);
            model.recompute(recomputes);
            let mut context = Context::training(1, 0);
            let loss = model.loss(&batch, &config.weights(), &mut context).unwrap();
            context.discard();
            let gradients = cerberus_autograd::backward(loss);
            let of = |p: &cerberus_nn::Parameter<f32>| gradients.parameter(p.id()).unwrap().to_vec();
            model.parameters().into_iter().map(|(_, p)| of(p)).collect::<Vec<_>>()
        };
        assert_eq!(gradients(true), gradients(false), "{name}");
    }
}
