//! How a program finds out that it is one of several processes, and joins the others by MPI.
//!
//! MPI is called in one file, behind the feature `mpi`; without it, the crate needs no MPI, and a program is a group of
//! one. Only programs use this crate: whatever trains knows a [`Group`], and is built once for both.
#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "mpi")]
mod mpi;

use std::sync::Arc;

use cerberus_distributed::{Alone, Group};

pub use error::LaunchError;

/// The number of processes that a launcher says it started; `None` without a launcher. The names are those of Open MPI,
/// of launchers that speak PMI (MPICH, Intel MPI, Slurm), and of Slurm's steps, which count only beside PMIx.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let number = |name| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
    let of_slurm = || variable("PMIX_RANK").and_then(|_| number("SLURM_STEP_NUM_TASKS"));
    number("OMPI_COMM_WORLD_SIZE").or_else(|| number("PMI_SIZE")).or_else(of_slurm)
}

/// The group of the processes that `mpirun` or Slurm started together with this one; without them, this process alone.
///
/// # Errors
/// If there are others, and the program was built without the feature `mpi` or cannot use MPI.
pub fn join() -> Result<Arc<dyn Group>, LaunchError> {
    match launched(|name| std::env::var(name).ok()) {
        None | Some(0 | 1) => Ok(Arc::new(Alone)),
        #[cfg(feature = "mpi")]
        Some(_) => Ok(Arc::new(crate::mpi::Mpi::start()?)),
        #[cfg(not(feature = "mpi"))]
        Some(size) => Err(LaunchError::WithoutMpi(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_variables() {
        let of = |pairs: &'static [(&str, &str)]| {
            launched(|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
            })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(4));
        assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")]), Some(2));
        assert_eq!(of(&[("PMIX_RANK", "0"), ("SLURM_STEP_NUM_TASKS", "3")]), Some(3));
        // A script of Slurm that starts one program by itself.
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "3")]), None);
    }
}
