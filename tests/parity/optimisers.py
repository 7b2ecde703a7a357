"""Reference runs of every optimiser and schedule, computed with PyTorch in f64.

Usage: optimisers.py REFERENCE

The optimisers take 50 steps on one problem: a function of a weight [3, 2], a convolution's kernel
[2, 1, 2, 2] and a bias [2], whose gradient is the closed formula in `gradient`, with some noise that
depends on the step. The Rust test `crates/nn`, `tests/parity/optimisers.rs`, computes the same gradients.
The learning rate falls a little in every step, and in every fourth step the bias has no gradient.
What PyTorch does not have (Lion, LAMB, lookahead, SAM) is written out here from the papers' algorithms.
"""

import json
import math
import sys
import warnings
from unittest import mock

import numpy as np
import torch
from torch.optim import lr_scheduler

SHAPES = {"weight": (3, 2), "kernel": (2, 1, 2, 2), "bias": (2,)}
SIZES = [math.prod(shape) for shape in SHAPES.values()]
STEPS = 50
SAVED = [1, 2, 3, 5, 10, 20, 35, 50]

I = np.arange(sum(SIZES), dtype=np.float64)
START, GOAL = np.cos(2.1 * I), np.sin(1.3 * I)
STEEPNESS, MIXED = 0.4 + 0.15 * (I % 7), 0.3 * np.cos(0.7 * I)


def split(values):
    parts = np.split(values, np.cumsum(SIZES)[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts)}


def join(parts):
    return np.concatenate([parts[name].ravel() for name in SHAPES])


def gradient(values, step):
    """The gradient of sum(steepness (x - goal)²) / 2 + (sum(mixed (x - goal)))² / 2 + sum(noise x)."""
    away = values - GOAL
    return STEEPNESS * away + MIXED * (MIXED * away).sum() + 0.2 * np.sin(0.9 * step + 0.5 * I)


def has_gradient(name, step):
    return name != "bias" or step % 4 != 0


def rate_at(rate, step):
    return rate * (1 - (step - 1) / 100)


def decays(options, name):
    """Weight decay spares parameters of rank 0 and 1 unless `decay_all` is set."""
    return options.get("weight_decay", 0.0) if len(SHAPES[name]) >= 2 or options.get("decay_all") else 0.0


class Torch:
    """An optimiser of PyTorch with our options under its names."""

    def __init__(self, make, options, names, extra=None):
        self.options = options
        self.settings = {theirs: options[ours] for ours, theirs in names.items() if ours in options}
        self.settings.update(extra or {})
        self.make = make

    def start(self, parts):
        self.parameters = {name: torch.tensor(part) for name, part in parts.items()}
        self.groups = {
            name: self.make([parameter], weight_decay=decays(self.options, name), **self.settings)
            for name, parameter in self.parameters.items()
        }

    def step(self, parts, gradients, step):
        for name, grad in gradients.items():
            self.parameters[name].data = torch.tensor(parts[name])
            self.parameters[name].grad = torch.tensor(grad)
            optimizer = self.groups[name]
            optimizer.param_groups[0]["lr"] = rate_at(self.options["learning_rate"], step)
            optimizer.step()
            parts[name] = self.parameters[name].detach().numpy().copy()


def adam_settings(options):
    return {"betas": (options.get("beta1", 0.9), options.get("beta2", 0.999)), "eps": options.get("eps", 1e-8)}


class Muon:
    """torch.optim.Muon for matrices [fan_out, fan_in], AdamW for the bias."""

    def __init__(self, options):
        self.options = options

    def matrix(self, name, part):
        return torch.tensor(part.reshape(-1, part.shape[-1]).T.copy())

    def start(self, parts):
        o, self.optimizers = self.options, {}
        self.parameters = {name: self.matrix(name, part) for name, part in parts.items() if name != "bias"}
        self.parameters["bias"] = torch.tensor(parts["bias"])
        names = {"momentum": "momentum", "nesterov": "nesterov", "scale": "adjust_lr_fn", "iterations": "ns_steps"}
        settings = {theirs: o[ours] for ours, theirs in names.items() if ours in o}
        for name in ["weight", "kernel"]:
            matrix = [self.parameters[name]]
            self.optimizers[name] = torch.optim.Muon(matrix, weight_decay=o.get("weight_decay", 0.1), **settings)
        adam = o["adam"]
        self.optimizers["bias"] = torch.optim.AdamW(
            [self.parameters["bias"]], weight_decay=decays(adam, "bias"), **adam_settings(adam)
        )

    def step(self, parts, gradients, step):
        for name, grad in gradients.items():
            parameter, optimizer = self.parameters[name], self.optimizers[name]
            parameter.grad = torch.tensor(grad) if name == "bias" else self.matrix(name, grad)
            rate = self.options["adam"]["learning_rate"] if name == "bias" else self.options["learning_rate"]
            optimizer.param_groups[0]["lr"] = rate_at(rate, step)
            # It rounds directions to bfloat16, which is not part of the algorithm.
            with mock.patch.object(torch, "bfloat16", torch.float64):
                optimizer.step()
            parts[name] = parameter.detach().numpy().T.reshape(parts[name].shape).copy()


class Lion:
    """Chen et al., 2023, algorithm 2."""

    def __init__(self, options):
        self.options = {"beta1": 0.9, "beta2": 0.99} | options

    def start(self, parts):
        self.m = {name: np.zeros_like(part) for name, part in parts.items()}

    def step(self, parts, gradients, step):
        o = self.options
        for name, g in gradients.items():
            c = o["beta1"] * self.m[name] + (1 - o["beta1"]) * g
            update = np.sign(c) + decays(o, name) * parts[name]
            parts[name] = parts[name] - rate_at(o["learning_rate"], step) * update
            self.m[name] = o["beta2"] * self.m[name] + (1 - o["beta2"]) * g


class Lamb:
    """You et al., 2020, algorithm 2; without `scale_all`, the ratio is 1 for parameters of rank 0 and 1."""

    def __init__(self, options):
        self.options = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-6} | options

    def start(self, parts):
        self.m = {name: np.zeros_like(part) for name, part in parts.items()}
        self.v = {name: np.zeros_like(part) for name, part in parts.items()}
        self.t = dict.fromkeys(parts, 0)

    def step(self, parts, gradients, step):
        o = self.options
        b1, b2 = o["beta1"], o["beta2"]
        for name, g in gradients.items():
            self.t[name] += 1
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * g**2
            m, v = self.m[name] / (1 - b1 ** self.t[name]), self.v[name] / (1 - b2 ** self.t[name])
            r = m / (np.sqrt(v) + o["eps"]) + decays(o, name) * parts[name]
            scaled = parts[name].ndim >= 2 or o.get("scale_all", False)
            ratio = np.linalg.norm(parts[name]) / np.linalg.norm(r) if scaled else 1.0
            parts[name] = parts[name] - rate_at(o["learning_rate"], step) * ratio * r


class Lookahead:
    """Zhang et al., 2019, algorithm 1, counting the steps of every parameter."""

    def __init__(self, inside, options):
        self.inside, self.options = inside, options

    def start(self, parts):
        self.slow = {name: part.copy() for name, part in parts.items()}
        self.t = dict.fromkeys(parts, 0)
        self.inside.start(parts)

    def step(self, parts, gradients, step):
        self.inside.step(parts, gradients, step)
        for name in gradients:
            self.t[name] += 1
            if self.t[name] % self.options["period"] == 0:
                self.slow[name] = self.slow[name] + self.options["alpha"] * (parts[name] - self.slow[name])
                parts[name] = self.slow[name].copy()


def make(kind, o):
    common = {"eps": "eps", "momentum": "momentum"}
    match kind:
        case "sgd":
            return Torch(torch.optim.SGD, o, {"momentum": "momentum", "nesterov": "nesterov"})
        case "adam":
            return Torch(torch.optim.Adam, o, {}, adam_settings(o))
        case "adamw":
            return Torch(torch.optim.AdamW, o, {}, adam_settings(o))
        case "adagrad":
            names = {"rate_decay": "lr_decay", "initial_sum": "initial_accumulator_value", "eps": "eps"}
            return Torch(torch.optim.Adagrad, o, names)
        case "rmsprop":
            return Torch(torch.optim.RMSprop, o, common | {"alpha": "alpha", "centered": "centered"})
        case "adadelta":
            return Torch(torch.optim.Adadelta, o, {"rho": "rho", "eps": "eps"})
        case "lion":
            return Lion(o)
        case "lamb":
            return Lamb(o)
        case "muon":
            return Muon(o)


def perturbed(values, g, sam):
    """Foret et al., 2021, equation 2; adaptive: Kwon et al., 2021, algorithm 1 with a normalising |w|."""
    scale = np.abs(values) if sam.get("adaptive") else np.ones_like(values)
    return values + sam["rho"] * scale**2 * g / (np.linalg.norm(scale * g) + 1e-12)


def run(kind, options, lookahead=None, sam=None):
    optimizer = make(kind, options)
    if lookahead:
        optimizer = Lookahead(optimizer, lookahead)
    parts, saved = split(START.copy()), []
    optimizer.start(parts)
    for step in range(1, STEPS + 1):
        values = join(parts)
        g = gradient(values, step)
        if sam:
            g = gradient(perturbed(values, g, sam), step)
        gradients = {name: part for name, part in split(g).items() if sam or has_gradient(name, step)}
        optimizer.step(parts, gradients, step)
        if step in SAVED:
            saved.append(join(parts).tolist())
    case = {"optimizer": kind, "options": options, "lookahead": lookahead, "sam": sam}
    return case | {"steps": SAVED, "values": saved}


DECAY = {"weight_decay": 0.05}
ALL = DECAY | {"decay_all": True}
ADAM = {"learning_rate": 0.03}


def runs():
    yield run("sgd", {"learning_rate": 0.1})
    yield run("sgd", {"learning_rate": 0.1, "momentum": 0.9} | DECAY)
    yield run("sgd", {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True} | ALL)
    yield run("adam", ADAM | {"beta1": 0.8, "beta2": 0.99, "eps": 1e-4} | DECAY)
    yield run("adam", ADAM | ALL)
    yield run("adamw", ADAM | DECAY)
    yield run("adamw", ADAM | {"beta1": 0.0, "beta2": 0.9} | ALL)
    yield run("adagrad", {"learning_rate": 0.2})
    yield run("adagrad", {"learning_rate": 0.2, "rate_decay": 0.05, "initial_sum": 0.3, "eps": 1e-3} | DECAY)
    for momentum in [0.0, 0.7]:
        for centered in [False, True]:
            base = {"learning_rate": 0.01, "momentum": momentum, "centered": centered}
            yield run("rmsprop", base | {"alpha": 0.95, "eps": 1e-3} | (ALL if centered else DECAY))
    yield run("rmsprop", {"learning_rate": 0.01})
    yield run("adadelta", {"learning_rate": 1.0})
    yield run("adadelta", {"learning_rate": 2.0, "rho": 0.8, "eps": 1e-3} | ALL)
    yield run("lion", {"learning_rate": 0.02})
    yield run("lion", {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.95} | DECAY)
    yield run("lamb", {"learning_rate": 0.02})
    yield run("lamb", {"learning_rate": 0.02, "beta2": 0.99, "scale_all": True} | ALL)
    yield run("muon", {"learning_rate": 0.02, "adam": ADAM})
    yield run("muon", {"learning_rate": 0.02, "scale": "match_rms_adamw", "adam": ADAM | {"beta2": 0.9} | ALL})
    other = {"nesterov": False, "momentum": 0.8, "iterations": 3, "weight_decay": 0.0}
    yield run("muon", {"learning_rate": 0.05, "scale": "spectral_unclamped", "adam": ADAM} | other)
    yield run("sgd", {"learning_rate": 0.1, "momentum": 0.9}, lookahead={"period": 5, "alpha": 0.5})
    yield run("adamw", ADAM | DECAY, lookahead={"period": 3, "alpha": 0.8})
    yield run("sgd", {"learning_rate": 0.1, "momentum": 0.9}, sam={"rho": 0.05})
    yield run("adamw", ADAM | DECAY, sam={"rho": 0.5, "adaptive": True})


def rates(rate, make_scheduler, count=STEPS):
    """The rate of every step, as a loop over a scheduler of PyTorch sees it."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate)
    scheduler = make_scheduler(optimizer)
    found = []
    for index in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        if index + 1 < count:
            optimizer.step()
            scheduler.step()
    return found


def warmed(steps, make_then):
    """A straight climb from 1 / steps of the rate, then another scheduler."""

    def both(optimizer):
        climb = lr_scheduler.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)
        return lr_scheduler.SequentialLR(optimizer, [climb, make_then(optimizer)], milestones=[steps])

    return both


def schedules():
    def case(kind, fields, rate, make_scheduler):
        return {"schedule": {"kind": kind} | fields, "rates": rates(rate, make_scheduler)}

    def half_cosine(o):
        return lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.01)

    yield case("constant", {"rate": 0.3}, 0.3, lambda o: lr_scheduler.ConstantLR(o, factor=1.0))
    cosine = {"peak": 0.3, "floor": 0.01, "warmup_steps": 0, "total_steps": STEPS}
    yield case("warmup_cosine", cosine, 0.3, half_cosine)
    cycle = {"total_steps": STEPS, "pct_start": 0.4, "div_factor": 10.0, "final_div_factor": 100.0}
    yield case(
        "one_cycle", {"peak": 0.3} | cycle, 0.3, lambda o: lr_scheduler.OneCycleLR(o, 0.3, **cycle, cycle_momentum=False)
    )
    step = {"step_size": 7, "gamma": 0.5}
    yield case("step", {"rate": 0.3} | step, 0.3, lambda o: lr_scheduler.StepLR(o, **step))
    several = {"milestones": [5, 20, 21, 40], "gamma": 0.2}
    yield case("multi_step", {"rate": 0.3} | several, 0.3, lambda o: lr_scheduler.MultiStepLR(o, **several))
    yield case("exponential", {"rate": 0.3, "gamma": 0.9}, 0.3, lambda o: lr_scheduler.ExponentialLR(o, 0.9))
    for period, factor in [(8, 1), (6, 2), (3, 3)]:
        yield case(
            "cosine_restarts",
            {"peak": 0.3, "floor": 0.01, "period": period, "period_factor": factor},
            0.3,
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, period, factor, eta_min=0.01),
        )
    for total, power in [(30, 1.0), (45, 2.0), (50, 0.9)]:
        fields = {"peak": 0.3, "total_steps": total, "power": power}
        yield case("polynomial", fields, 0.3, lambda o: lr_scheduler.PolynomialLR(o, total, power))
    then = {"kind": "step", "rate": 0.3} | step
    warmup = {"warmup_steps": 6, "then": then}
    yield case("warmup", warmup, 0.3, warmed(6, lambda o: lr_scheduler.StepLR(o, **step)))
    then = {"kind": "exponential", "rate": 0.3, "gamma": 0.9}
    warmup = {"warmup_steps": 10, "then": then}
    yield case("warmup", warmup, 0.3, warmed(10, lambda o: lr_scheduler.ExponentialLR(o, 0.9)))


def plateaus():
    """Metrics that fall to a plateau, with a better value now and then, and the rates after each."""
    metrics = [1 / (1 + i) + 0.05 * math.sin(1.7 * i) + 0.3 for i in range(STEPS)]
    for ours in [
        {},
        {"patience": 2, "factor": 0.5, "cooldown": 3, "threshold": 0.01},
        {"patience": 1, "threshold": 0.02, "threshold_mode": "absolute", "min_rate": 0.002},
        {"patience": 3, "mode": "max", "factor": 0.7, "eps": 0.01},
        {"patience": 4, "mode": "max", "threshold_mode": "absolute", "cooldown": 1},
    ]:
        theirs = dict(ours)
        if "min_rate" in theirs:
            theirs["min_lr"] = theirs.pop("min_rate")
        if "threshold_mode" in theirs:
            theirs["threshold_mode"] = "abs"
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **theirs)
        found = []
        for metric in metrics:
            scheduler.step(metric)
            found.append(optimizer.param_groups[0]["lr"])
        yield {"options": ours, "rate": 0.3, "metrics": metrics, "rates": found}


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # SequentialLR warns about how it calls its own schedulers.
    parts = {"optimisers": list(runs()), "schedules": list(schedules()), "plateaus": list(plateaus())}
    with open(sys.argv[1], "w") as file:
        lists = [
            f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in parts.items()
        ]
        file.write(f'{{"torch": "{torch.__version__}", ' + ", ".join(lists) + "}\n")
    print(", ".join(f"{len(cases)} {name}" for name, cases in parts.items()), "with torch", torch.__version__)


main()
