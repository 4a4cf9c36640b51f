//! The cache as the reference keeps it: of each layer, keys `[slot][kv_head][head_dim_k]` and
//! values `[slot][kv_head][head_dim_v]`, in the stored format.

use std::any::Any;

use quant::FormatId;

use super::{fit, store};
use crate::{Batch, Error, KvCache, KvLayout, KvStore, Result};

/// Keys and values of every layer.
struct Layers(Vec<KvLayer>);

impl KvStore for Layers {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

pub(super) struct KvLayer {
    pub(super) keys: KvRows,
    pub(super) values: KvRows,
}

/// Heads of `[head_dim]` values one after another.
pub(super) struct KvRows {
    format: FormatId,
    head_bytes: usize,
    bytes: Vec<u8>,
}

impl KvRows {
    fn new(layout: &KvLayout, head_dim: usize) -> Result<KvRows> {
        let head_bytes = layout.format.head_bytes(head_dim);
        let len = [layout.n_kv_heads, layout.page_len, layout.page_count]
            .iter()
            .try_fold(head_bytes, |product, factor| product.checked_mul(*factor));
        let format = layout.format.format();
        Ok(KvRows { format, head_bytes, bytes: store::zeroed(len, "the KV cache")? })
    }

    /// Head `index`, counted over slots and heads, into `out [head_dim]`.
    pub(super) fn read(&self, index: usize, out: &mut [f32]) {
        let bytes = &self.bytes[index * self.head_bytes..][..self.head_bytes];
        self.format.dequantize_row(bytes, out);
    }

    /// Stores head `index`.
    pub(super) fn write(&mut self, index: usize, head: &[f32]) {
        let bytes = &mut self.bytes[index * self.head_bytes..][..self.head_bytes];
        self.format.quantize_row(head, bytes);
    }
}

/// A zeroed cache.
pub(super) fn alloc(layout: &KvLayout) -> Result<KvCache> {
    layout.check()?;
    let layer = |_| {
        let keys = KvRows::new(layout, layout.head_dim_k)?;
        Ok(KvLayer { keys, values: KvRows::new(layout, layout.head_dim_v)? })
    };
    let layers: Result<Vec<KvLayer>> = (0..layout.n_layers).map(layer).collect();
    Ok(KvCache { layout: layout.clone(), store: Box::new(Layers(layers?)) })
}

/// Refuses a layer that is not there and a batch that does not fit the cache.
pub(super) fn check(kv: &KvCache, layer: usize, batch: &Batch<'_>) -> Result<()> {
    let layers = kv.layout.n_layers;
    fit(layer < layers, || format!("layer {layer} of {layers}"))?;
    batch.check(kv.layout.page_len, kv.layout.page_count)
}

/// One layer of a checked cache.
pub(super) fn layer(kv: &KvCache, layer: usize) -> Result<&KvLayer> {
    let layers: Option<&Layers> = kv.store.as_any().downcast_ref();
    Ok(&layers.ok_or(Error::ForeignBuffer)?.0[layer])
}

/// One layer of a checked cache, to write.
pub(super) fn layer_mut(kv: &mut KvCache, layer: usize) -> Result<&mut KvLayer> {
    let layers: Option<&mut Layers> = kv.store.as_any_mut().downcast_mut();
    Ok(&mut layers.ok_or(Error::ForeignBuffer)?.0[layer])
}
