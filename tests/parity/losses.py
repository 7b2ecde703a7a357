"""Reference values and gradients of every loss's samples, computed with PyTorch in f64.

Usage: losses.py SAMPLES REFERENCE

As reference.py, which explains the files, for losses. What PyTorch has is called; the others are written
out from the papers' formulas in plain operations, for the gradients to come from PyTorch.
"""

import math

import torch
import torch.nn.functional as F

from reference import constant, write


def cross_entropy(x, target, weights, smoothing):
    x, target = x.reshape(-1, x.shape[-1]), torch.tensor(target)
    if (target == 255).all():  # The mean over nothing is NaN in PyTorch and 0 here.
        return x.sum() * 0
    return F.cross_entropy(x, target, weights, ignore_index=255, label_smoothing=smoothing)


def focal(x, target, alpha, gamma):
    p = torch.sigmoid(x)
    # Not `where` between two numbers: it would round them to single precision.
    hit, share = torch.where(target == 1, p, 1 - p), alpha * target + (1 - alpha) * (1 - target)
    return -(share * (1 - hit) ** gamma * hit.log()).sum()


def gaussian_focal(x, target):
    p = torch.sigmoid(x)
    peak, rest = (1 - p) ** 2 * p.log(), (1 - target) ** 4 * p**2 * (1 - p).log()
    return -torch.where(target == 1, peak, rest).sum()


def box_losses(kind, x, target):
    """The loss of each pair of boxes, as the papers have it; the least overlap of IoU is not reached here."""
    area = lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    meet = (torch.minimum(x[:, 2:], target[:, 2:]) - torch.maximum(x[:, :2], target[:, :2])).clamp(min=0).prod(1)
    around = torch.maximum(x[:, 2:], target[:, 2:]) - torch.minimum(x[:, :2], target[:, :2])
    union = area(x) + area(target) - meet
    if kind == "iou":
        return -(meet / union).log()
    iou = meet / (union + 1e-7)
    if kind == "giou":
        return 1 - iou + (around.prod(1) - union) / (around.prod(1) + 1e-7)
    apart = ((target[:, :2] + target[:, 2:] - x[:, :2] - x[:, 2:]) ** 2).sum(1) / 4
    diou = 1 - iou + apart / ((around**2).sum(1) + 1e-7)
    if kind == "diou":
        return diou
    angle = lambda box: torch.atan((box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1]))
    v = 4 / math.pi**2 * (angle(target) - angle(x)) ** 2
    return diou + (v / (1 - iou + v + 1e-7)).detach() * v


def dice(p, target, form):
    p, target = p.reshape(-1, p.shape[-1]), torch.tensor(target)
    p, target = p[target != 255], target[target != 255]
    y = F.one_hot(target, p.shape[1]).to(p.dtype)
    if form == "Linear":
        overlap = (2 * (p * y).sum(0) + 1) / (p.sum(0) + y.sum(0) + 1)
    else:
        overlap = 2 * (p * y).sum(0) / ((p * p).sum(0) + (y * y).sum(0) + 2e-3)
    return 1 - overlap[y.sum(0) > 0].mean()


def rows(x, target):
    """The rows that count, and their classes; 255 is unknown."""
    x, target = x.reshape(-1, x.shape[-1]), torch.tensor(target)
    return x[target != 255], target[target != 255]


def cross_entropy_soft(x, target, weights, smoothing):
    # PyTorch divides by the number of images, which are rows only if there is nothing else.
    x, target = x.reshape(-1, x.shape[-1]), target.reshape(-1, x.shape[-1])
    return F.cross_entropy(x, target, weights, label_smoothing=smoothing)


def nll(x, target, weights):
    x, target = rows(x, target)
    return F.nll_loss(x, target, weights) if len(target) else x.sum() * 0


def kl_div(x, target, log_target):
    classes = x.shape[-1]
    x, target = x.reshape(-1, classes), target.reshape(-1, classes)
    return F.kl_div(x, target, reduction="batchmean", log_target=log_target)


def multi_margin(x, target, p, margin, weights):
    x, target = rows(x, target)
    return F.multi_margin_loss(x, target, p, margin, weights) if len(target) else x.sum() * 0


def contrastive(a, b, same, margin):
    """Hadsell, Chopra and LeCun, 2006, equation 4."""
    same, d = torch.tensor(same), torch.linalg.vector_norm(a - b, dim=-1)
    return torch.where(same == 1, d**2 / 2, (margin - d).clamp(min=0) ** 2 / 2).mean()


def supervised_contrastive(x, ids, temperature):
    """Khosla et al., 2020, equation 2, an anchor at a time."""
    z = F.normalize(x, dim=1)
    terms = []
    for i in range(len(ids)):
        others = [a for a in range(len(ids)) if a != i]
        positives = [p for p in others if ids[p] == ids[i]]
        total = torch.stack([(z[i] @ z[a] / temperature).exp() for a in others]).sum()
        if positives:
            ratios = [((z[i] @ z[p] / temperature).exp() / total).log() for p in positives]
            terms.append(-sum(ratios) / len(positives))
    return sum(terms) / len(terms)


def nt_xent(a, b, temperature):
    """Chen et al., 2020, equation 1, for both views of every input."""
    z = torch.cat([a, b])
    similarity = F.cosine_similarity(z[:, None], z[None], -1) / temperature
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(a)))


def info_nce(queries, keys, temperature):
    similarity = F.cosine_similarity(queries[:, None], keys[None], -1) / temperature
    return F.cross_entropy(similarity, torch.arange(len(queries)))


def tversky(p, target, alpha, beta, gamma):
    """Salehi et al., 2017, with the power of Abraham and Khan, 2019; 1 is added as for Dice."""
    p, target = rows(p, target)
    terms = []
    for c in target.unique():
        y = (target == c).to(p.dtype)
        hit, wrong, missed = (p[:, c] * y).sum(), (p[:, c] * (1 - y)).sum(), ((1 - p[:, c]) * y).sum()
        terms.append((1 - (hit + 1) / (hit + alpha * wrong + beta * missed + 1)) ** gamma)
    return sum(terms) / len(terms)


def lovasz_extension(errors, own):
    """Berman, Triki and Blaschko, 2018: the sets of the Jaccard loss are formed one by one."""
    order = errors.detach().argsort(descending=True)
    total = 0
    jaccard = lambda wrong: 1 - len(own - wrong) / len(own | wrong) if own | wrong else 0
    for k, i in enumerate(order.tolist()):
        growth = jaccard(set(order[: k + 1].tolist())) - jaccard(set(order[:k].tolist()))
        total = total + errors[i] * growth
    return total


def lovasz_softmax(p, target):
    p, target = rows(p, target)
    of_class = []
    for c in target.unique():
        errors = torch.where(target == c, 1 - p[:, c], p[:, c])
        of_class.append(lovasz_extension(errors, set((target == c).nonzero().flatten().tolist())))
    return sum(of_class) / len(of_class)


def lovasz_hinge(x, target):
    x, target = rows(x.reshape(-1, 1), target)
    errors = (1 - (2 * target - 1) * x[:, 0]).clamp(min=0)
    # Those that are not violated are all 0, in whichever order.
    return lovasz_extension(errors, set((target == 1).nonzero().flatten().tolist()))


def distribution_focal(x, target):
    """Li et al., 2020, equation 6."""
    s = torch.softmax(x, -1)
    left = target.floor().clamp(max=x.shape[-1] - 2)
    at = lambda bins: s.gather(-1, bins.long()[..., None])[..., 0]
    return -((left + 1 - target) * at(left).log() + (target - left) * at(left + 1).log())


if __name__ == "__main__":
    write(globals(), of_losses=True)
