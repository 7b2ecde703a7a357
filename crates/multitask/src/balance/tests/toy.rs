//! The two-parameter problem of the CAGrad paper, as an end-to-end test in miniature.
