//! The descriptors of the contract.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// All descriptors, decoded once: that takes longer than many commands.
pub(crate) fn pool() -> &'static DescriptorPool {
    // The build has written them, and tests run the commands of every list.
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap_or_default());
    &POOL
}
