//! The paged KV cache: geometry here, memory with the backend.

use std::any::Any;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value.
    F16,
}

impl KvFormat {
    /// Bytes of one stored value.
    #[must_use]
    pub fn value_bytes(self) -> usize {
        match self {
            KvFormat::F32 => 4,
            KvFormat::F16 => 2,
        }
    }
}

/// Geometry of a cache; the same for every layer.
#[derive(Clone, Debug)]
pub struct KvLayout {
    /// Layers that keep keys and values.
    pub n_layers: usize,
    /// Key/value heads of a layer.
    pub n_kv_heads: usize,
    /// Width of a key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Positions in a page.
    pub page_len: usize,
    /// Pages in the pool, shared by all sequences.
    pub page_count: usize,
    /// Storage type.
    pub format: KvFormat,
}

impl KvLayout {
    /// Bytes that one position takes over all layers.
    #[must_use]
    pub fn position_bytes(&self) -> usize {
        let head = self.head_dim_k + self.head_dim_v;
        self.n_layers * self.n_kv_heads * head * self.format.value_bytes()
    }

    /// Bytes of the whole pool.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.position_bytes() * self.page_len * self.page_count
    }
}

/// Memory of a cache, in the layout its backend likes.
pub trait KvStore: Any + Send + Sync {
    /// For downcasting by the backend that made it.
    fn as_any(&self) -> &dyn Any;
    /// For downcasting by the backend that made it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A cache of one model on one backend.
pub struct KvCache {
    /// Geometry.
    pub layout: KvLayout,
    /// Memory.
    pub store: Box<dyn KvStore>,
}
