use super::*;
use crate::networks::find;
use cerberus_autograd::backward;
use cerberus_tensor::Tensor;

/// The necks that join maps.
fn joining() -> impl Iterator<Item = Neck> {
    Neck::ALL.iter().copied().filter(|neck| !neck.is_none())
}

fn over(neck: Neck, network: &str) -> Box<dyn Trunk<f32>> {
    let mut init = Init::new(2);
    let trunk = (find(network).unwrap().build)(3, &mut init);
    neck.over(trunk, &mut init)
}

/// A transformer's maps have equal channels, and no stride of 2 or 32.
const NETWORKS: [&str; 2] = ["resnet18", "vit_tiny"];

#[test]
fn maps_under_every_neck_have_the_shapes_that_are_described_and_gradients_that_reach_every_parameter() {
    for network in NETWORKS {
        let plain: Vec<usize> = over(Neck::None, network).stages().iter().map(|map| map.stride).collect();
        for neck in joining() {
            let trunk = over(neck, network);
            let strides: Vec<usize> = trunk.stages().iter().map(|map| map.stride).collect();
            assert_eq!(strides, plain, "{network} with {}", neck.name());

            // One image: what a norm over a batch of single values would cancel.
            let images = Tensor::from_fn(&[1, 45, 66, 3], |i| (i as f32 * 0.7).sin());
            let mut context = Context::training(1, 0);
            let features = trunk.forward(Var::constant(images), &mut context);
            context.discard();
            let infos: Vec<MapInfo> = trunk.stages().into_iter().chain(trunk.neck()).collect();
            let maps: Vec<Var<f32>> = features.stages.into_iter().chain(features.neck).collect();
            assert_eq!(maps.len(), infos.len());
            for (map, info) in maps.iter().zip(infos) {
                let size = [45usize, 66].map(|side| side.div_ceil(info.stride));
                let expected = [1, size[0], size[1], info.channels];
                assert_eq!(map.shape(), expected, "{network} with {}: {}", neck.name(), info.name);
            }

            let part = |map: Var<f32>| {
                let weights = Tensor::from_fn(map.shape(), |i| (0.9 * i as f32 + 0.1).cos());
                (map * Var::constant(weights)).sum_all()
            };
            let gradients = backward(maps.into_iter().map(part).reduce(|a, b| a + b).unwrap());
            for (path, parameter) in trunk.parameters() {
                let gradient = gradients.parameter(parameter.id()).map(|gradient| gradient.to_vec());
                let moves = gradient.is_some_and(|gradient| gradient.iter().any(|&slope| slope != 0.0));
                assert!(moves, "{network} with {}: {path}", neck.name());
            }
        }
    }
}

#[test]
fn a_neck_has_paths_under_its_name_beside_those_of_the_trunk() {
    let names = |trunk: &dyn Trunk<f32>| -> Vec<String> {
        trunk.parameters().into_iter().map(|(path, _)| path).collect()
    };
    let own = names(&*over(Neck::None, "small_cnn"));
    for neck in joining() {
        let found = names(&*over(neck, "small_cnn"));
        assert_eq!(found[..own.len()], own);
        let prefix = format!("{}.", neck.name());
        assert!(found.len() > own.len() && found[own.len()..].iter().all(|path| path.starts_with(&prefix)));
    }
    let found = names(&*over(Neck::Fpn, "small_cnn"));
    assert!(found.contains(&"fpn.lateral.1.weight".into()) && found.contains(&"fpn.output.bias".into()));
}

#[test]
fn a_neck_is_read_by_the_name_that_is_written_and_an_unknown_one_is_told_the_names() {
    for &neck in Neck::ALL {
        assert_eq!(Neck::by_name(neck.name()), Ok(neck));
        assert_eq!(serde_json::to_string(&neck).unwrap(), format!("{:?}", neck.name()));
    }
    let problem = Neck::by_name("bifpn").unwrap_err();
    assert_eq!(problem, "there is no neck \"bifpn\"; choose one of none, fpn, pan, unet, aspp");
}

#[test]
#[should_panic(expected = "the neck pan: [MapInfo")]
fn a_trunk_with_one_map_has_nothing_to_join() {
    let mut init = Init::new(1);
    Neck::Pan.over::<f32>(Box::new(crate::LeNet::new(1, &mut init)), &mut init);
}

/// Path aggregation exists to bring what fine maps show to the deep ones.
#[test]
fn the_deepest_level_of_path_aggregation_depends_on_the_finest_map() {
    let infos: Vec<MapInfo> =
        [8, 16, 32].map(|stride| MapInfo { name: format!("map{stride}"), channels: 2, stride }).into();
    let neck = pan::Pan::<f64>::new(&infos, &mut Init::new(3));
    let deepest = |value: f64| {
        let map = |side: usize, at: f64| {
            Var::constant(Tensor::from_fn(&[1, side, side, 2], |i| (i as f64).sin() + at))
        };
        let maps = vec![map(8, value), map(4, 0.0), map(2, 0.0)];
        neck.forward(maps, &mut Context::evaluation()).stages[2].value().to_vec()
    };
    assert_ne!(deepest(0.0), deepest(1.0));
}
