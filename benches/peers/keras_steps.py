"""One workload in Keras on TensorFlow, in one setting; prints the line of measuring.py."""

import os

import measuring

given = measuring.options(mode=["fit", "fit-xla", "function", "function-xla"])

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402 (the options are checked before seconds are spent on imports)
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

import made_up  # noqa: E402

# TensorFlow flushes denormals in its own threads; there is nothing to ask for.
tf.config.threading.set_intra_op_parallelism_threads(given.threads)
tf.config.threading.set_inter_op_parallelism_threads(given.threads)
keras.utils.set_random_seed(1)
XLA = given.mode.endswith("-xla")


def seed(size, classes):
    return keras.Sequential([
        layers.Input((size, size, 3)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(classes),
    ])  # fmt: skip


def conv(x, channels, kernel=3, stride=1):
    """A convolution that pads as PyTorch does, which "same" with a stride does not."""
    if kernel == 3 and stride == 2:
        x = layers.ZeroPadding2D(1)(x)
        return layers.Conv2D(channels, 3, 2, use_bias=False)(x)
    return layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)


def norm(x):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def resnet18(classes=10):
    image = layers.Input((32, 32, 3))
    x = layers.ReLU()(norm(conv(image, 64)))
    for cout, first in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        for stride in [first, 1]:
            y = layers.ReLU()(norm(conv(x, cout, stride=stride)))
            y = norm(conv(y, cout))
            if x.shape[-1] != cout:
                x = norm(conv(x, cout, 1, stride))
            x = layers.ReLU()(layers.Add()([y, x]))
    return keras.Model(image, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def plain_heads():
    image = x = layers.Input((64, 64, 3))
    maps = []
    for cout in [32, 64, 128, 128]:
        x = layers.MaxPooling2D()(x) if maps else x
        for _ in range(2):
            x = layers.ReLU()(norm(conv(x, cout)))
        maps.append(x)
    classes = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    enlarged = layers.UpSampling2D(2, interpolation="bilinear")(x)
    pixels = layers.Conv2D(11, 1)(layers.Concatenate()([maps[2], enlarged]))
    pixels = layers.UpSampling2D(4, interpolation="bilinear")(pixels)
    for _ in range(2):
        x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    return keras.Model(image, [classes, pixels, layers.Conv2D(15, 1)(x)])


def entropy(target, logits):
    # `fit` hands everything over as the model's number type.
    target = tf.cast(target, tf.int64)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))


def detection_loss(target, positions):
    """`target` [N, 8, 8, 10 + 5 + 1]: heat, sides, and where there is an object."""
    heat, sides, positive = target[..., :10], target[..., 10:15], target[..., 15:]
    objects = tf.reduce_sum(positive)
    logits = positions[..., :10]
    p = tf.sigmoid(logits)
    p_target = p * heat + (1 - p) * (1 - heat)
    alpha = 0.25 * heat + 0.75 * (1 - heat)
    focal = alpha * (1 - p_target) ** 2 * tf.nn.sigmoid_cross_entropy_with_logits(heat, logits)
    difference = tf.abs(positions[..., 10:] - sides)
    smooth = tf.where(difference < 1, 0.5 * difference**2, difference - 0.5) * positive
    return (tf.reduce_sum(focal) + tf.reduce_sum(smooth)) / objects


name = given.workload.removeprefix("infer-")
networks = {"seed32": lambda: seed(32, 10), "seed224": lambda: seed(224, 1000), "resnet18": resnet18, "mtl64": plain_heads}
model = networks[name]()
parameters = sum(int(tf.size(v)) for v in model.trainable_variables)
images = tf.constant(made_up.images(given.workload, given.batch))
losses = entropy
targets = None
if name == "mtl64":
    made = made_up.multitask(given.batch)
    detection = tf.concat([made["heat"], made["sides"], made["positive"]], -1)
    targets = [tf.constant(made["classes"]), tf.constant(made["pixels"]), detection]
    losses = [entropy, entropy, detection_loss]
elif given.workload in measuring.TRAINING:
    targets = tf.constant(made_up.labels(given.workload, given.batch))


def optimizer():
    if name == "resnet18":
        return keras.optimizers.SGD(0.01, momentum=0.9)
    return keras.optimizers.Adam(1e-3, epsilon=1e-8)


def fit(group):
    """`model.fit` over one batch in memory again and again, `group` steps a call."""
    model.compile(optimizer(), losses, jit_compile=XLA)
    pair = (images, tuple(targets) if isinstance(targets, list) else targets)
    data = tf.data.Dataset.from_tensors(pair).repeat()
    return lambda: model.fit(data, steps_per_epoch=group, epochs=1, verbose=0).history["loss"][0]


def function():
    """The same step without Keras' loop."""
    rule = optimizer()
    rule.build(model.trainable_variables)

    @tf.function(jit_compile=XLA)
    def step():
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            if name == "mtl64":
                loss = sum(part(t, y) for part, t, y in zip(losses, targets, outputs))
            else:
                loss = losses(targets, outputs)
        rule.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda: float(step())


def inference():
    if given.mode.startswith("fit"):
        return lambda: float(model.predict_on_batch(images)[0, 0])
    predict = tf.function(lambda: model(images, training=False), jit_compile=XLA)
    return lambda: float(predict()[0, 0])


# A call of fit costs a fixed time of its own, which is spread over its steps.
GROUP = {"seed32": 50, "seed224": 3, "resnet18": 3, "mtl64": 10}
if given.workload not in measuring.TRAINING:
    measuring.report(given, parameters, inference())
elif given.mode.startswith("fit"):
    measuring.report(given, parameters, fit(GROUP[name]), GROUP[name])
else:
    measuring.report(given, parameters, function())
