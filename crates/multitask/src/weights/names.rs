//! The names of a network's tensors in files of PyTorch.
//!
//! The paths of a [network](crate::networks) are torchvision's, those of vision transformers timm's, except that the
//! scale and the shift of a norm are called `gamma` and `beta` and its running variance is written out. The other library
//! names the same network in another way. A naming is a short list of rules from our paths to theirs; nothing needs the
//! other direction, because a network that is read from a file knows all of its paths.

/// How a library names the tensors of some networks.
pub(super) struct Naming {
    /// The library.
    pub library: &'static str,
    /// The networks, by the beginning of their names; all if empty.
    networks: &'static [&'static str],
    /// The beginning of a path here (with the leaf's name there) and there, segment by segment: `#` is a number that
    /// [`Naming::number`] translates, `*` any segment. The first rule that fits is applied; the rest of the path stays.
    rules: &'static [(&'static str, &'static str)],
    /// The number there (`3`, or `1.2`) for a number here.
    number: fn(usize) -> String,
}

/// The last segment of a path here and there.
const LEAVES: [(&str, &str); 3] =
    [("gamma", "weight"), ("beta", "bias"), ("running_variance", "running_var")];

/// All namings; the first that gives the names in a file is the file's.
pub(super) const NAMINGS: [Naming; 6] = [
    Naming { library: "timm", networks: &["vit_"], rules: &[], number: |number| number.to_string() },
    Naming {
        library: "torchvision",
        networks: &["vit_"],
        rules: &[
            ("patch_embed.proj", "conv_proj"),
            ("cls_token", "class_token"),
            ("pos_embed", "encoder.pos_embedding"),
            ("blocks.*.norm1", "encoder.layers.encoder_layer_*.ln_1"),
            ("blocks.*.attn.qkv.weight", "encoder.layers.encoder_layer_*.self_attention.in_proj_weight"),
            ("blocks.*.attn.qkv.bias", "encoder.layers.encoder_layer_*.self_attention.in_proj_bias"),
            ("blocks.*.attn.proj", "encoder.layers.encoder_layer_*.self_attention.out_proj"),
            ("blocks.*.norm2", "encoder.layers.encoder_layer_*.ln_2"),
            ("blocks.*.mlp.fc1", "encoder.layers.encoder_layer_*.mlp.0"),
            ("blocks.*.mlp.fc2", "encoder.layers.encoder_layer_*.mlp.3"),
            ("norm", "encoder.ln"),
            ("head", "heads.head"),
        ],
        number: |number| number.to_string(),
    },
    Naming { library: "torchvision", networks: &[], rules: &[], number: |number| number.to_string() },
    Naming {
        library: "timm",
        networks: &["mobilenet_v2"],
        rules: &[
            ("features.0.0", "conv_stem"),
            ("features.0.1", "bn1"),
            ("features.18.0", "conv_head"),
            ("features.18.1", "bn2"),
            ("features.1.conv.0.0", "blocks.0.0.conv_dw"),
            ("features.1.conv.0.1", "blocks.0.0.bn1"),
            ("features.1.conv.1", "blocks.0.0.conv_pw"),
            ("features.1.conv.2", "blocks.0.0.bn2"),
            ("features.#.conv.0.0", "blocks.#.conv_pw"),
            ("features.#.conv.0.1", "blocks.#.bn1"),
            ("features.#.conv.1.0", "blocks.#.conv_dw"),
            ("features.#.conv.1.1", "blocks.#.bn2"),
            ("features.#.conv.2", "blocks.#.conv_pwl"),
            ("features.#.conv.3", "blocks.#.bn3"),
            ("classifier.1", "classifier"),
        ],
        number: |layer| stage_and_block(layer, &[1, 2, 3, 4, 3, 3, 1]),
    },
    Naming {
        library: "timm",
        networks: &["efficientnet_b0"],
        rules: &[
            ("features.0.0", "conv_stem"),
            ("features.0.1", "bn1"),
            ("features.8.0", "conv_head"),
            ("features.8.1", "bn2"),
            ("features.1.0.block.0.0", "blocks.0.0.conv_dw"),
            ("features.1.0.block.0.1", "blocks.0.0.bn1"),
            ("features.1.0.block.1.fc1", "blocks.0.0.se.conv_reduce"),
            ("features.1.0.block.1.fc2", "blocks.0.0.se.conv_expand"),
            ("features.1.0.block.2.0", "blocks.0.0.conv_pw"),
            ("features.1.0.block.2.1", "blocks.0.0.bn2"),
            ("features.#.*.block.0.0", "blocks.#.*.conv_pw"),
            ("features.#.*.block.0.1", "blocks.#.*.bn1"),
            ("features.#.*.block.1.0", "blocks.#.*.conv_dw"),
            ("features.#.*.block.1.1", "blocks.#.*.bn2"),
            ("features.#.*.block.2.fc1", "blocks.#.*.se.conv_reduce"),
            ("features.#.*.block.2.fc2", "blocks.#.*.se.conv_expand"),
            ("features.#.*.block.3.0", "blocks.#.*.conv_pwl"),
            ("features.#.*.block.3.1", "blocks.#.*.bn3"),
            ("classifier.1", "classifier"),
        ],
        number: |stage| stage.saturating_sub(1).to_string(),
    },
    Naming {
        library: "timm",
        networks: &["convnext_"],
        rules: &[
            ("features.0", "stem"),
            ("features.#.*.layer_scale", "stages.#.blocks.*.gamma"),
            ("features.#.*.block.0", "stages.#.blocks.*.conv_dw"),
            ("features.#.*.block.2", "stages.#.blocks.*.norm"),
            ("features.#.*.block.3", "stages.#.blocks.*.mlp.fc1"),
            ("features.#.*.block.5", "stages.#.blocks.*.mlp.fc2"),
            ("features.#.0", "stages.#.downsample.0"),
            ("features.#.1", "stages.#.downsample.1"),
            ("classifier.0", "head.norm"),
            ("classifier.2", "head.fc"),
        ],
        // Blocks and what lies before them are numbered one after the other: 1, 3, .. and 2, 4, ..
        number: |layer| (layer / 2).to_string(),
    },
];

/// Stage and block, from 0, of the `layer`-th block of all, from 1, when the stages have so many blocks.
fn stage_and_block(layer: usize, blocks: &[usize]) -> String {
    let mut block = layer.saturating_sub(1);
    let mut stage = 0;
    while let Some(&count) = blocks.get(stage).filter(|&&count| block >= count) {
        (block, stage) = (block - count, stage + 1);
    }
    format!("{stage}.{block}")
}

impl Naming {
    /// Whether it is one for this network.
    pub fn is_for(&self, network: &str) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|start| network.starts_with(start))
    }

    /// The name in a file of the tensor at `path` of a network.
    pub fn theirs(&self, path: &str) -> String {
        let leaf = path.rsplit('.').next().unwrap_or(path);
        let path = match LEAVES.iter().find(|(ours, _)| *ours == leaf) {
            Some((_, theirs)) => path[..path.len() - leaf.len()].to_string() + theirs,
            None => path.to_string(),
        };
        let renamed = self.rules.iter().find_map(|(ours, theirs)| self.apply(ours, theirs, &path));
        renamed.unwrap_or(path)
    }

    /// The path with its beginning `ours` replaced by `theirs`; `None` if it begins differently.
    fn apply(&self, ours: &str, theirs: &str, path: &str) -> Option<String> {
        let mut segments = path.split('.');
        let mut filled = theirs.to_string();
        for expected in ours.split('.') {
            let segment = segments.next()?;
            match expected {
                "#" => filled = filled.replacen('#', &(self.number)(segment.parse().ok()?), 1),
                "*" => filled = filled.replacen('*', segment, 1),
                _ if expected == segment => {}
                _ => return None,
            }
        }
        let rest = segments.map(|segment| format!(".{segment}"));
        Some(filled + &rest.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_get_the_names_of_the_libraries() {
        let cases = [
            ("torchvision", "resnet50", "layer1.0.bn3.gamma", "layer1.0.bn3.weight"),
            (
                "torchvision",
                "resnet50",
                "layer1.0.downsample.1.running_variance",
                "layer1.0.downsample.1.running_var",
            ),
            ("torchvision", "mobilenet_v2", "features.0.1.running_mean", "features.0.1.running_mean"),
            ("timm", "mobilenet_v2", "features.0.1.beta", "bn1.bias"),
            ("timm", "mobilenet_v2", "features.1.conv.1.weight", "blocks.0.0.conv_pw.weight"),
            ("timm", "mobilenet_v2", "features.2.conv.1.1.gamma", "blocks.1.0.bn2.weight"),
            ("timm", "mobilenet_v2", "features.11.conv.2.weight", "blocks.4.0.conv_pwl.weight"),
            ("timm", "mobilenet_v2", "features.17.conv.0.0.weight", "blocks.6.0.conv_pw.weight"),
            ("timm", "mobilenet_v2", "classifier.1.bias", "classifier.bias"),
            ("timm", "vit_tiny", "blocks.3.norm1.gamma", "blocks.3.norm1.weight"),
            (
                "torchvision",
                "vit_b_16",
                "blocks.11.attn.qkv.weight",
                "encoder.layers.encoder_layer_11.self_attention.in_proj_weight",
            ),
            ("torchvision", "vit_b_16", "norm.beta", "encoder.ln.bias"),
            ("torchvision", "convnext_tiny", "features.1.0.layer_scale", "features.1.0.layer_scale"),
            ("timm", "convnext_tiny", "features.5.8.layer_scale", "stages.2.blocks.8.gamma"),
            ("timm", "convnext_tiny", "features.4.1.weight", "stages.2.downsample.1.weight"),
            ("timm", "efficientnet_b0", "features.2.1.block.2.fc1.bias", "blocks.1.1.se.conv_reduce.bias"),
        ];
        for (library, network, ours, theirs) in cases {
            let naming = NAMINGS.iter().find(|n| n.library == library && n.is_for(network)).unwrap();
            assert_eq!(naming.theirs(ours), theirs, "{library}, {network}");
        }
    }
}
