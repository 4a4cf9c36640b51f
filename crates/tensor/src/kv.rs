//! The paged KV cache: geometry here, memory with the backend.

use std::any::Any;

use quant::FormatId;

use crate::{Error, Result};

/// How keys and values are stored. Each head is a row of its own of the block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value.
    F16,
    /// 2 bytes a value, of the range of f32.
    BF16,
    /// 34 bytes for 32 values of a head.
    Q8_0,
}

impl KvFormat {
    /// All, the largest first.
    pub const ALL: [KvFormat; 4] = [KvFormat::F32, KvFormat::F16, KvFormat::BF16, KvFormat::Q8_0];

    /// The block format: what a stored value is.
    #[must_use]
    pub fn format(self) -> FormatId {
        match self {
            KvFormat::F32 => FormatId::F32,
            KvFormat::F16 => FormatId::F16,
            KvFormat::BF16 => FormatId::BF16,
            KvFormat::Q8_0 => FormatId::Q8_0,
        }
    }

    /// As a person types it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KvFormat::F32 => "f32",
            KvFormat::F16 => "f16",
            KvFormat::BF16 => "bf16",
            KvFormat::Q8_0 => "q8_0",
        }
    }

    /// Bytes of a stored head of so many values, see [`KvLayout::check`].
    #[must_use]
    pub fn head_bytes(self, head_dim: usize) -> usize {
        let format = self.format();
        (head_dim / format.block_len()).saturating_mul(format.block_bytes())
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
    /// Refuses what cannot be stored.
    ///
    /// # Errors
    /// [`Error::Shape`] for heads of nothing, [`Error::Unsupported`] for heads that are no whole
    /// blocks of the format.
    pub fn check(&self) -> Result<()> {
        let heads = [self.head_dim_k, self.head_dim_v];
        if self.page_len == 0 || self.n_kv_heads == 0 || heads.contains(&0) {
            let message = "a KV cache needs heads, head widths and a page length";
            return Err(Error::Shape(message.to_owned()));
        }
        let len = self.format.format().block_len();
        match heads.into_iter().find(|dim| !dim.is_multiple_of(len)) {
            None => Ok(()),
            Some(dim) => Err(Error::Unsupported(format!(
                "keys and values in {} are blocks of {len} values of a head, and a head here has \
                 {dim}: choose f16 or bf16",
                self.format.name()
            ))),
        }
    }

    /// Bytes that one position takes over all layers.
    #[must_use]
    pub fn position_bytes(&self) -> usize {
        let head = |dim| self.format.head_bytes(dim);
        self.n_layers * self.n_kv_heads * (head(self.head_dim_k) + head(self.head_dim_v))
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
