//! The step under every strategy, on a small model.

mod absent;
mod shards;
mod streamed;
