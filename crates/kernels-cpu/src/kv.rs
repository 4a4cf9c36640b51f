//! The paged cache in memory, laid out for `attention`.
//!
//! Of each layer: keys `[kv_head][page][16 positions][head_dim_k][16]`, so that 16 positions are
//! the lanes of a dot product; values `[kv_head][page][head_dim_v / 16][page_len][16]`, so that
//! what is read of a page is one run for each 16 columns. What is padded stays zero.

use std::any::Any;

use tensor::{Error, KvCache, KvFormat, KvLayout, KvStore, Result};

use crate::memory::zeroed;
use crate::simd::{LANES, Simd};

/// Keys and values of every layer.
pub(crate) enum Kv {
    F32(Vec<Layer<f32>>),
    F16(Vec<Layer<u16>>),
}

impl KvStore for Kv {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

pub(crate) struct Layer<E> {
    pub(crate) keys: Vec<E>,
    pub(crate) values: Vec<E>,
}

/// Where things are in a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim_k: usize,
    pub(crate) head_dim_v: usize,
    pub(crate) page_len: usize,
    pub(crate) page_count: usize,
}

impl Geometry {
    pub(crate) fn of(layout: &KvLayout) -> Geometry {
        Geometry {
            n_kv_heads: layout.n_kv_heads,
            head_dim_k: layout.head_dim_k,
            head_dim_v: layout.head_dim_v,
            page_len: layout.page_len,
            page_count: layout.page_count,
        }
    }

    /// Key tiles of a page.
    pub(crate) fn tiles(&self) -> usize {
        self.page_len.div_ceil(LANES)
    }

    /// Numbers of a key tile.
    pub(crate) fn key_tile(&self) -> usize {
        self.head_dim_k * LANES
    }

    /// Numbers of the keys of one head.
    pub(crate) fn keys(&self) -> usize {
        self.page_count * self.tiles() * self.key_tile()
    }

    /// Tiles of 16 columns of a value.
    pub(crate) fn value_tiles(&self) -> usize {
        self.head_dim_v.div_ceil(LANES)
    }

    /// Numbers of a page of values.
    pub(crate) fn value_page(&self) -> usize {
        self.value_tiles() * self.page_len * LANES
    }

    /// Numbers of the values of one head.
    pub(crate) fn values(&self) -> usize {
        self.page_count * self.value_page()
    }
}

/// A stored number.
pub(crate) trait Element: bytemuck::Pod + Send + Sync {
    fn load<S: Simd>(s: S, src: &[Self; LANES]) -> S::F;
    fn store<S: Simd>(s: S, dst: &mut [Self; LANES], x: S::F);
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[f32; LANES]) -> S::F {
        s.load(src)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, dst: &mut [f32; LANES], x: S::F) {
        s.store(dst, x);
    }
}

impl Element for u16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[u16; LANES]) -> S::F {
        s.load_f16(src)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, dst: &mut [u16; LANES], x: S::F) {
        s.store_f16(dst, x);
    }
}

/// A zeroed cache.
pub(crate) fn alloc(layout: &KvLayout) -> Result<KvCache> {
    fn layers<E: Element>(layout: &KvLayout) -> Result<Vec<Layer<E>>> {
        let geometry = Geometry::of(layout);
        let layer = |_| {
            let keys = zeroed(layout.n_kv_heads * geometry.keys(), "the KV cache")?;
            let values = zeroed(layout.n_kv_heads * geometry.values(), "the KV cache")?;
            Ok(Layer { keys, values })
        };
        (0..layout.n_layers).map(layer).collect()
    }
    let heads = [layout.n_kv_heads, layout.head_dim_k, layout.head_dim_v];
    if layout.page_len == 0 || heads.contains(&0) {
        return Err(Error::Shape(
            "a KV cache needs heads, head widths and a page length".to_owned(),
        ));
    }
    let store = match layout.format {
        KvFormat::F32 => Kv::F32(layers(layout)?),
        KvFormat::F16 => Kv::F16(layers(layout)?),
    };
    Ok(KvCache { layout: layout.clone(), store: Box::new(store) })
}
