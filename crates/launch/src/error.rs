//! Why a process cannot train with others.

/// The process cannot join those that were started with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// It was built without MPI.
    #[error(
        "this program was started as one of {0} processes, and it was built without MPI: each would train for itself and \
         write over the others' files; build it with --features mpi (docs/cluster.md), or start it without mpirun"
    )]
    WithoutMpi(usize),
    /// MPI cannot be used.
    #[error("MPI cannot be used: {0}")]
    Mpi(String),
}
