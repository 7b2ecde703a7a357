//! Several processes that train one model, with the same bits for any number of them.
//!
//! A step's batch is cut into a fixed number of **shards**. Each shard is a forward and a backward pass of its own,
//! and what they give is summed along a fixed binary **tree** over the shards. How many processes share the shards
//! out changes who computes a sum, and neither its operands nor their order:
//!
//! ```text
//!             sum of 8                    1 process computes everything;
//!          /            \                 2 processes compute one half of the tree each,
//!       0..4            4..8              and exchange two sums;
//!      /    \          /    \             4 processes compute one pair each,
//!   0..2    2..4    4..6    6..8          and exchange four.
//!   /  \    /  \    /  \    /  \
//!  0    1  2    3  4    5  6    7
//! ```
//!
//! - [`Group`]: processes that exchange bytes: [`Alone`], [`thread_groups`] in tests, or processes of MPI, which
//!   `cerberus-launch` finds if the program was started by `mpirun` or Slurm;
//! - [`TreeSum`]: the tree, as a sum that takes its leaves one after another;
//! - [`Shards`]: which process has which shards and samples;
//! - [`Sum`]: the sum over all of them, sent while its operands are computed;
//! - [`Parts`]: who has which numbers of a vector that processes share out;
//! - [`Meeting`]: passes over shards that join what they have on the way, as batch norms do.
//!
//! Nothing here knows of models, or of MPI.
#![forbid(unsafe_code)]

mod counted;
mod group;
mod meeting;
mod message;
mod parts;
mod shards;
mod sum;
#[cfg(test)]
mod tests;
mod threads;
mod tree;

/// The bytes of a message, which the pool keeps for the next one.
pub use cerberus_tensor::pool::Buffer;
pub use counted::{Counted, bytes_to_others};
pub use group::{Alone, Bytes, Group, Next, Pending, Received, unshared};
pub use meeting::{Meeting, Pair};
pub use message::Message;
pub use parts::Parts;
pub use shards::Shards;
pub use sum::{Leaf, Sum};
pub use threads::thread_groups;
pub use tree::TreeSum;
