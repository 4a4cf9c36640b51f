//! The paged cache in memory, laid out for `attention`.
//!
//! Of each layer: keys `[kv_head][page][16 positions][head_dim_k][16]`, so that 16 positions are
//! the lanes of a dot product; values `[kv_head][page][head_dim_v / 16][page_len][16]`, so that
//! what is read of a page is one run for each 16 columns. What is padded stays zero. Codes of keys
//! lie by fours of columns, `[16 positions][head_dim_k / 4][16][4]`; their scales, and those of
//! values, `[kv_head][page][16 positions][head_dim / 32][16]`.

use std::any::Any;

use quant::FormatId;
use tensor::{KvCache, KvFormat, KvLayout, KvStore, Result};

use crate::memory::Aligned;
use crate::simd::{LANES, Simd, lanes_of};

/// Values under one scale.
pub(crate) const CODES: usize = 32;
/// Added to a key's code, so that none is negative.
pub(crate) const OFFSET: u8 = 128;

/// Keys and values of every layer.
pub(crate) enum Kv {
    F32(Vec<Layer<f32>>),
    F16(Vec<Layer<u16>>),
    BF16(Vec<Layer<Bf16>>),
    Q8_0(Vec<Layer<Code>>),
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
    pub(crate) keys: Aligned<E>,
    pub(crate) values: Aligned<E>,
    /// f16, of quantised ones.
    key_scales: Aligned<u16>,
    value_scales: Aligned<u16>,
}

/// What a layer keeps of one KV head.
pub(crate) struct HeadMut<'a, E> {
    pub(crate) keys: &'a mut [E],
    pub(crate) values: &'a mut [E],
    pub(crate) key_scales: &'a mut [u16],
    pub(crate) value_scales: &'a mut [u16],
}

/// The scales of one KV head.
#[derive(Clone, Copy)]
pub(crate) struct Scales<'a> {
    keys: &'a [u16],
    values: &'a [u16],
}

impl<E: bytemuck::Pod> Layer<E> {
    fn zeroed(g: Geometry) -> Result<Layer<E>> {
        let of = |head: usize| g.n_kv_heads * head;
        let purpose = "the KV cache";
        Ok(Layer {
            keys: Aligned::zeroed(of(g.keys()), purpose)?,
            values: Aligned::zeroed(of(g.values()), purpose)?,
            key_scales: Aligned::zeroed(of(g.scales(g.head_dim_k)), purpose)?,
            value_scales: Aligned::zeroed(of(g.scales(g.head_dim_v)), purpose)?,
        })
    }

    pub(crate) fn heads_mut(&mut self, g: Geometry) -> Vec<HeadMut<'_, E>> {
        let Layer { keys, values, key_scales, value_scales } = self;
        let (mut keys, mut values) = (&mut keys[..], &mut values[..]);
        let (mut key_scales, mut value_scales) = (&mut key_scales[..], &mut value_scales[..]);
        let head = |_| HeadMut {
            keys: first(&mut keys, g.keys()),
            values: first(&mut values, g.values()),
            key_scales: first(&mut key_scales, g.scales(g.head_dim_k)),
            value_scales: first(&mut value_scales, g.scales(g.head_dim_v)),
        };
        (0..g.n_kv_heads).map(head).collect()
    }

    pub(crate) fn scales(&self, kv_head: usize, g: Geometry) -> Scales<'_> {
        let (keys, values) = (g.scales(g.head_dim_k), g.scales(g.head_dim_v));
        Scales {
            keys: &self.key_scales[kv_head * keys..][..keys],
            values: &self.value_scales[kv_head * values..][..values],
        }
    }
}

/// Takes `len` off the front.
fn first<'a, T>(left: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (first, rest) = std::mem::take(left).split_at_mut(len);
    *left = rest;
    first
}

impl<'a> Scales<'a> {
    /// Of the keys of a tile, counted over pages, `[groups]`.
    pub(crate) fn keys(self, tile: usize, g: Geometry) -> &'a [[u16; LANES]] {
        let groups = g.groups(g.head_dim_k) * LANES;
        self.keys[tile * groups..][..groups].as_chunks().0
    }

    /// Of the values of a tile, counted over pages, `[groups]`.
    pub(crate) fn values(self, tile: usize, g: Geometry) -> &'a [[u16; LANES]] {
        let groups = g.groups(g.head_dim_v) * LANES;
        self.values[tile * groups..][..groups].as_chunks().0
    }
}

/// Where things are in a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim_k: usize,
    pub(crate) head_dim_v: usize,
    pub(crate) page_len: usize,
    pub(crate) page_count: usize,
    /// Of the stored format; 1 where a value stands for itself.
    block_len: usize,
}

impl Geometry {
    pub(crate) fn of(layout: &KvLayout) -> Geometry {
        Geometry {
            n_kv_heads: layout.n_kv_heads,
            head_dim_k: layout.head_dim_k,
            head_dim_v: layout.head_dim_v,
            page_len: layout.page_len,
            page_count: layout.page_count,
            block_len: layout.format.format().block_len(),
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

    /// Groups of a head that share a scale.
    pub(crate) fn groups(&self, head_dim: usize) -> usize {
        if self.block_len == 1 { 0 } else { head_dim / self.block_len }
    }

    /// Scales of the keys, or values, of one head.
    pub(crate) fn scales(&self, head_dim: usize) -> usize {
        self.page_count * self.tiles() * self.groups(head_dim) * LANES
    }
}

/// A number or a code that can be read.
pub(crate) trait Load: bytemuck::Pod + Send + Sync {
    fn load<S: Simd>(s: S, src: &[Self; LANES]) -> S::F;
}

/// A stored number.
pub(crate) trait Element: Load {
    fn store<S: Simd>(s: S, dst: &mut [Self; LANES], x: S::F);
}

/// The upper half of an f32.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

/// A code of Q8_0: of keys with [`OFFSET`], of values as it is.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(transparent)]
pub(crate) struct Code(u8);

impl Load for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[f32; LANES]) -> S::F {
        s.load(src)
    }
}

impl Element for f32 {
    #[inline(always)]
    fn store<S: Simd>(s: S, dst: &mut [f32; LANES], x: S::F) {
        s.store(dst, x);
    }
}

impl Load for u16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[u16; LANES]) -> S::F {
        s.load_f16(src)
    }
}

impl Element for u16 {
    #[inline(always)]
    fn store<S: Simd>(s: S, dst: &mut [u16; LANES], x: S::F) {
        s.store_f16(dst, x);
    }
}

impl Load for Bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[Bf16; LANES]) -> S::F {
        s.load_bf16(bytemuck::cast_ref(src))
    }
}

impl Element for Bf16 {
    #[inline(always)]
    fn store<S: Simd>(s: S, dst: &mut [Bf16; LANES], x: S::F) {
        let mut lanes = [0.0; LANES];
        s.store(&mut lanes, x);
        for (dst, x) in dst.iter_mut().zip(lanes) {
            *dst = Bf16(half::bf16::from_f32(x).to_bits());
        }
    }
}

impl Load for Code {
    #[inline(always)]
    fn load<S: Simd>(s: S, src: &[Code; LANES]) -> S::F {
        s.load_i8(bytemuck::cast_ref(src))
    }
}

/// What a cache is made of.
pub(crate) trait Stored: bytemuck::Pod + Send + Sync {
    /// Key `k` into lane `lane` of a tile with these scales.
    fn put_key<S: Simd>(s: S, tile: (&mut [Self], &mut [u16]), lane: usize, k: &[f32]);

    /// Value `v` at position `at` of a page of `page_len`, its scales into those of its tile.
    fn put_value<S: Simd>(s: S, page: (&mut [Self], &mut [u16]), at: (usize, usize), v: &[f32]);
}

impl<E: Element> Stored for E {
    #[inline(always)]
    fn put_key<S: Simd>(s: S, (tile, _): (&mut [E], &mut [u16]), lane: usize, k: &[f32]) {
        for start in (0..k.len()).step_by(LANES) {
            let mut stored = [E::zeroed(); LANES];
            E::store(s, &mut stored, s.load(&lanes_of(k, start)));
            let columns = tile[start * LANES..].chunks_exact_mut(LANES);
            for (column, value) in columns.zip(stored) {
                column[lane] = value;
            }
        }
    }

    #[inline(always)]
    fn put_value<S: Simd>(
        s: S,
        (page, _): (&mut [E], &mut [u16]),
        (at, page_len): (usize, usize),
        v: &[f32],
    ) {
        for (tile, page) in page.chunks_exact_mut(page_len * LANES).enumerate() {
            let out = page[at * LANES..].first_chunk_mut().expect("within the page");
            E::store(s, out, s.load(&lanes_of(v, tile * LANES)));
        }
    }
}

impl Stored for Code {
    #[inline(always)]
    fn put_key<S: Simd>(_: S, (tile, scales): (&mut [Code], &mut [u16]), lane: usize, k: &[f32]) {
        for (group, k) in k.chunks_exact(CODES).enumerate() {
            let (scale, codes) = quantised(k);
            scales[group * LANES + lane] = scale;
            for (line, codes) in codes.chunks_exact(4).enumerate() {
                let at = (group * (CODES / 4) + line) * 4 * LANES + 4 * lane;
                for (out, code) in tile[at..][..4].iter_mut().zip(codes) {
                    *out = Code(code.wrapping_add(OFFSET));
                }
            }
        }
    }

    #[inline(always)]
    fn put_value<S: Simd>(
        _: S,
        (page, scales): (&mut [Code], &mut [u16]),
        (at, page_len): (usize, usize),
        v: &[f32],
    ) {
        for (group, v) in v.chunks_exact(CODES).enumerate() {
            let (scale, codes) = quantised(v);
            scales[group * LANES + at % LANES] = scale;
            for (half, codes) in codes.chunks_exact(LANES).enumerate() {
                let tile = group * (CODES / LANES) + half;
                let out = &mut page[(tile * page_len + at) * LANES..][..LANES];
                for (out, code) in out.iter_mut().zip(codes) {
                    *out = Code(*code);
                }
            }
        }
    }
}

/// Scale and codes of a block of Q8_0, as the format itself makes them.
fn quantised(x: &[f32]) -> (u16, [u8; CODES]) {
    let mut block = [0; size_of::<u16>() + CODES];
    FormatId::Q8_0.quantize_row(x, &mut block);
    let (scale, codes) = block.split_first_chunk().expect("a scale comes first");
    (u16::from_le_bytes(*scale), codes.try_into().expect("then its codes"))
}

/// A zeroed cache.
pub(crate) fn alloc(layout: &KvLayout) -> Result<KvCache> {
    fn layers<E: bytemuck::Pod>(layout: &KvLayout) -> Result<Vec<Layer<E>>> {
        (0..layout.n_layers).map(|_| Layer::zeroed(Geometry::of(layout))).collect()
    }
    layout.check()?;
    let store = match layout.format {
        KvFormat::F32 => Kv::F32(layers(layout)?),
        KvFormat::F16 => Kv::F16(layers(layout)?),
        KvFormat::BF16 => Kv::BF16(layers(layout)?),
        KvFormat::Q8_0 => Kv::Q8_0(layers(layout)?),
    };
    Ok(KvCache { layout: layout.clone(), store: Box::new(store) })
}
