//! The names of a network's tensors in files of PyTorch.
//!
//! The paths of a [network](crate::networks) are torchvision's, except that the scale and the shift of a norm are called
//! `gamma` and `beta` and its running variance is written out. timm names the same networks in another way. A naming is
//! a short list of rules from our paths to theirs; nothing needs the other direction, because a network that is read
//! from a file knows all of its paths.

/// How a library names the tensors of some networks.
pub(super) struct Naming {
    /// The library.
    pub library: &'static str,
    /// The networks, by the beginning of their names; all if empty.
    networks: &'static [&'static str],
    /// The beginning of a path here and there, segment by segment: `#` is a number that [`Naming::number`] translates,
    /// `*` any segment. The first rule that fits is applied; the rest of the path stays.
    rules: &'static [(&'static str, &'static str)],
    /// The number there (`3`, or `1.2`) for a number here.
    number: fn(usize) -> String,
}

/// The last segment of a path here and there.
const LEAVES: [(&str, &str); 3] =
    [("gamma", "weight"), ("beta", "bias"), ("running_variance", "running_var")];

/// All namings; the first that gives the names in a file is the file's.
pub(super) const NAMINGS: [Naming; 3] = [
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
        let renamed = self.rules.iter().find_map(|(ours, theirs)| self.apply(ours, theirs, path));
        let name = renamed.unwrap_or_else(|| path.to_string());
        let (start, leaf) = name.rsplit_once('.').map_or(("", &*name), |(start, leaf)| (start, leaf));
        match LEAVES.iter().find(|(ours, _)| *ours == leaf) {
            Some((_, theirs)) => format!("{start}.{theirs}"),
            None => name,
        }
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
            ("timm", "efficientnet_b0", "features.2.1.block.2.fc1.bias", "blocks.1.1.se.conv_reduce.bias"),
        ];
        for (library, network, ours, theirs) in cases {
            let naming = NAMINGS.iter().find(|n| n.library == library && n.is_for(network)).unwrap();
            assert_eq!(naming.theirs(ours), theirs, "{library}, {network}");
        }
    }
}
