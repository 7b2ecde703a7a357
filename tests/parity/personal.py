"""Reference answers of the personal heads, computed with scikit-learn and SciPy in f64.

Usage: personal.py REFERENCE

Examples and questions come from the same formulas on both sides; the Rust test is `crates/personal`,
`cargo test -p cerberus-personal --lib parity`. Ridge and logistic heads tell one class from the rest, as ours
do, so every class is a problem of its own.
"""

import json
import sys

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.covariance import empirical_covariance, shrunk_covariance
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

CASES = [
    {"examples": 9, "width": 5, "classes": 2, "ridge": 0.3, "logistic": 1.0, "balance": False},
    {"examples": 24, "width": 40, "classes": 3, "ridge": 1.0, "logistic": 10.0, "balance": True},
    {"examples": 60, "width": 12, "classes": 5, "ridge": 5.0, "logistic": 0.2, "balance": True},
]
QUESTIONS = 7


def rows(count, width, shift, classes):
    """Row i is of class i % (classes + 1); the last of those is none of the classes."""
    i, j = np.indices((count, width), dtype=np.float64)
    kind = i % (classes + 1)
    return np.sin(0.7 * (7 * i + 3 * j) + shift) + np.cos(1.1 * j * (kind + 1))


def one_against_rest(make, x, labels, classes, q):
    return np.stack([make().fit(x, labels == c).decision_function(q) for c in range(classes)], axis=1)


def reference(case):
    n, width, classes = case["examples"], case["width"], case["classes"]
    x, q = rows(n, width, 0.0, classes), rows(QUESTIONS, width, 0.4, classes)
    labels = np.arange(n) % (classes + 1)
    weight = "balanced" if case["balance"] else None
    ridge = lambda: RidgeClassifier(alpha=case["ridge"], class_weight=weight, solver="cholesky")
    logistic = lambda: LogisticRegression(
        C=case["logistic"], class_weight=weight, solver="newton-cholesky", tol=1e-14, max_iter=1000
    )
    mine = labels < classes
    centroids = NearestCentroid().fit(normalize(x[mine]), labels[mine]).centroids_
    deviations = x - np.stack([x[labels == label].mean(axis=0) for label in labels])
    covariance = shrunk_covariance(empirical_covariance(deviations, assume_centered=True), shrinkage=0.1)
    densities = []
    for c in range(classes):
        own = x[labels == c]
        spread = covariance * (1 + 1 / len(own))
        density = multivariate_normal(own.mean(axis=0), spread).logpdf(q)
        # Up to the constant that all classes share.
        constant = -0.5 * (width * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1])
        densities.append(density - constant)
    return {
        **case,
        "prototypes": cosine_similarity(q, centroids).tolist(),
        "ridge_scores": one_against_rest(ridge, x, labels, classes, q).tolist(),
        "logistic_scores": one_against_rest(logistic, x, labels, classes, q).tolist(),
        "gaussian_scores": np.stack(densities, axis=1).tolist(),
    }


with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump([reference(case) for case in CASES], file, indent=1)
    file.write("\n")
