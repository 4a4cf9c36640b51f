//! Weights in this crate's layout: made once at load, read by `matmul` and `embed`.
//!
//! All kinds keep 16 rows together (a tile). Integer weights are `codes` and `scales`; float
//! weights are 16 values of one column side by side; weights that no kernel knows stay the blocks
//! of the file, row by row, and are unpacked when they are multiplied.

use std::any::Any;

use half::{bf16, f16};
use quant::FormatId;
use tensor::{Error, Result, Weight, WeightSource, WeightStore};

use crate::codes::{Codes, GROUP, OPERANDS};
use crate::formats::{Format, with_format};
use crate::isa::Isa;
use crate::memory::{Pages, whole_pages};
use crate::scales::Scales;
use crate::simd::{Kernel, LANES, Line, Simd};
use crate::threads::Pool;

/// Weight tiles that one thread packs at a time.
const TILES_PER_CHUNK: usize = 8;

/// Columns of floats that are packed of all rows before the next ones.
const FLOATS: usize = 256;
/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// How weights are kept that are multiplied as floats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floats {
    F32,
    F16,
    Bf16,
    /// As blocks of the file.
    Blocks(FormatId),
}

impl Floats {
    /// For the formats that are not multiplied as integers.
    pub(crate) fn of(format: FormatId) -> Floats {
        match format {
            FormatId::F32 => Floats::F32,
            FormatId::F16 => Floats::F16,
            FormatId::BF16 => Floats::Bf16,
            _ => Floats::Blocks(format),
        }
    }

    /// 64-byte lines of a tile of `k` columns.
    pub(crate) fn lines(self, k: usize) -> usize {
        match self {
            Floats::F32 => k.next_multiple_of(2),
            Floats::F16 | Floats::Bf16 => k.div_ceil(2),
            Floats::Blocks(format) => (LANES * blocks_bytes(format, k)).div_ceil(size_of::<Line>()),
        }
    }
}

/// Bytes of `k` weights of a row; `k` is whole blocks.
fn blocks_bytes(format: FormatId, k: usize) -> usize {
    k / format.block_len() * format.block_bytes()
}

/// A matrix `[n, k]` in tiles of 16 rows; rows past `n` are zero.
pub(crate) struct Packed {
    lines: Pages<Line>,
    scales: Pages<u8>,
    tile_lines: usize,
    tile_scales: usize,
    /// As in [`WeightSource`].
    pub(crate) precise: bool,
}

impl WeightStore for Packed {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Lines and scale bytes of a tile.
fn tile_size(format: FormatId, k: usize) -> (usize, usize) {
    fn quantised<F: Format>(k: usize) -> (usize, usize) {
        let groups = k / GROUP;
        (groups * F::Codes::LINES, groups / F::Scales::SUPER * F::Scales::BYTES)
    }
    with_format!(format, F => quantised::<F>(k), (Floats::of(format).lines(k), 0))
}

/// Bytes that a matrix `[n, k]` takes here.
pub(crate) fn packed_bytes(source: &WeightSource<'_>) -> usize {
    let (lines, scales) = tile_size(source.format, source.k);
    let tiles = source.n.div_ceil(LANES);
    whole_pages(tiles * lines * size_of::<Line>()) + whole_pages(tiles * scales)
}

impl Packed {
    /// Takes `weight` for one of ours.
    pub(crate) fn of(weight: &Weight) -> Result<&Packed> {
        weight.store.as_any().downcast_ref().ok_or(Error::ForeignBuffer)
    }

    /// Packs a matrix of a file.
    pub(crate) fn new((isa, pool): (Isa, &Pool), source: &WeightSource<'_>) -> Result<Packed> {
        check(source)?;
        let tiles = source.n.div_ceil(LANES);
        let (tile_lines, tile_scales) = tile_size(source.format, source.k);
        let lines = Pages::zeroed(tiles * tile_lines, source.name)?;
        let scales = Pages::zeroed(tiles * tile_scales, source.name)?;
        let precise = source.precise;
        let mut packed = Packed { lines, scales, tile_lines, tile_scales, precise };
        packed.fill((isa, pool), source);
        Ok(packed)
    }

    fn fill(&mut self, (isa, pool): (Isa, &Pool), source: &WeightSource<'_>) {
        let row_bytes = source.bytes.len() / source.n;
        let mut scales = self.scales.chunks_mut(self.tile_scales.max(1));
        let mut tiles: Vec<(&mut [Line], &mut [u8])> = self
            .lines
            .chunks_mut(self.tile_lines)
            .map(|lines| (lines, scales.next().unwrap_or_default()))
            .collect();
        pool.run_parts(&mut tiles, TILES_PER_CHUNK, |chunk, tiles| {
            for (i, (lines, scales)) in tiles.iter_mut().enumerate() {
                let first = (chunk * TILES_PER_CHUNK + i) * LANES;
                let rows = LANES.min(source.n - first);
                let bytes = &source.bytes[first * row_bytes..][..rows * row_bytes];
                isa.run(PackTile { source, bytes, row_bytes, lines, scales });
            }
        });
    }

    /// Tiles of 16 rows.
    pub(crate) fn tiles(&self) -> usize {
        self.lines.len() / self.tile_lines
    }

    /// Bytes of one tile.
    pub(crate) fn tile_bytes(&self) -> usize {
        self.tile_lines * size_of::<Line>() + self.tile_scales
    }

    /// Lines and scales of a tile.
    pub(crate) fn tile(&self, index: usize) -> (&[Line], &[u8]) {
        let lines = &self.lines[index * self.tile_lines..][..self.tile_lines];
        (lines, &self.scales[index * self.tile_scales..][..self.tile_scales])
    }

    /// Bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        whole_pages(size_of_val(&*self.lines)) + whole_pages(self.scales.len())
    }

    /// The values of one row, exactly those of the file.
    pub(crate) fn row(&self, format: FormatId, row: usize, out: &mut [f32]) {
        let (lines, scales) = self.tile(row / LANES);
        let row = row % LANES;
        with_format!(
            format,
            F => unpack_row::<F>(lines, scales, row, out),
            unpack_floats(Floats::of(format), lines, row, out)
        );
    }
}

fn check(source: &WeightSource<'_>) -> Result<()> {
    let WeightSource { name, n, k, format, bytes, .. } = *source;
    let row_bytes = format.row_bytes(k).filter(|_| k > 0 && n > 0);
    if row_bytes.and_then(|row_bytes| row_bytes.checked_mul(n)) == Some(bytes.len()) {
        return Ok(());
    }
    let (format, len) = (format.name(), bytes.len());
    Err(Error::Shape(format!("{name}: {len} bytes are not [{n}, {k}] of {format}")))
}

/// Packs up to 16 rows into a zeroed tile.
struct PackTile<'a> {
    source: &'a WeightSource<'a>,
    bytes: &'a [u8],
    row_bytes: usize,
    lines: &'a mut [Line],
    scales: &'a mut [u8],
}

impl Kernel for PackTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackTile { source, bytes, row_bytes, lines, scales } = self;
        with_format!(
            source.format,
            F => pack_codes::<S, F>(s, (lines, scales), bytes, row_bytes),
            pack_floats(s, Floats::of(source.format), lines, (bytes, row_bytes))
        );
    }
}

/// Superblock by superblock, so that those of all rows meet in the first cache: taken apart row by
/// row, then put together for all rows at once.
#[inline(always)]
fn pack_codes<S: Simd, F: Format>(
    s: S,
    (lines, scales): (&mut [Line], &mut [u8]),
    bytes: &[u8],
    row_bytes: usize,
) {
    // Rows past the last one stay zero.
    let mut codes = [[0; 8 * OPERANDS]; LANES];
    let lines = lines.chunks_exact_mut(F::Scales::SUPER * F::Codes::LINES);
    let scales = scales.chunks_exact_mut(F::Scales::BYTES);
    for (i, (lines, scales)) in lines.zip(scales).enumerate() {
        for (row, (bytes, codes)) in bytes.chunks_exact(row_bytes).zip(&mut codes).enumerate() {
            let block = &bytes[i * F::FILE_BYTES..][..F::FILE_BYTES];
            prefetch(s, block, LANES * row_bytes);
            let codes = &mut codes[..F::Scales::SUPER * OPERANDS];
            F::Scales::pack(scales, row, &F::split(block, codes));
        }
        for (g, lines) in lines.chunks_exact_mut(F::Codes::LINES).enumerate() {
            F::Codes::pack(s, lines, &s.columns(&codes, g * OPERANDS));
        }
    }
}

fn unpack_row<F: Format>(lines: &[Line], scales: &[u8], row: usize, out: &mut [f32]) {
    let offset = if F::Scales::MIN { 0 } else { 1 << F::Scales::SHIFT };
    let scale_len = GROUP / F::Scales::HALVES;
    for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
        let codes = F::Codes::row(&lines[g * F::Codes::LINES..][..F::Codes::LINES], row);
        let codes = codes.map(u32::to_le_bytes);
        let scales = &scales[g / F::Scales::SUPER * F::Scales::BYTES..][..F::Scales::BYTES];
        for (i, out) in out.iter_mut().enumerate() {
            let index = g % F::Scales::SUPER * F::Scales::HALVES + i / scale_len;
            let (scale, min) = F::Scales::row(scales, row, index);
            // The product is exact in f32 for every format, so this rounds at most once.
            *out = scale * (i32::from(codes[i / 4][i % 4]) - offset) as f32 + min;
        }
    }
}

/// Asks for the bytes that the next tile has in the place of `block`: the processor's own
/// prefetching does not follow 16 rows in turn.
#[inline(always)]
fn prefetch<S: Simd>(s: S, block: &[u8], tile_bytes: usize) {
    for line in 0..block.len().div_ceil(CACHE_LINE) {
        s.prefetch(block.as_ptr().wrapping_add(tile_bytes + line * CACHE_LINE));
    }
}

#[inline(always)]
fn pack_floats<S: Simd>(
    s: S,
    floats: Floats,
    lines: &mut [Line],
    (bytes, row_bytes): (&[u8], usize),
) {
    let rows = bytes.chunks_exact(row_bytes).enumerate();
    match floats {
        Floats::F32 => {
            for (i, lines) in lines.chunks_mut(FLOATS).enumerate() {
                for (row, bytes) in rows.clone() {
                    let bytes = bytes.get(4 * i * FLOATS..).unwrap_or_default();
                    prefetch(s, &bytes[..bytes.len().min(4 * FLOATS)], LANES * row_bytes);
                    for (line, bytes) in lines.iter_mut().zip(bytes.as_chunks::<4>().0) {
                        line.0[row] = u32::from_le_bytes(*bytes);
                    }
                }
            }
        }
        Floats::F16 | Floats::Bf16 => {
            let columns: &mut [[u16; LANES]] = bytemuck::cast_slice_mut(lines);
            for (i, columns) in columns.chunks_mut(FLOATS).enumerate() {
                for (row, bytes) in rows.clone() {
                    let bytes = bytes.get(2 * i * FLOATS..).unwrap_or_default();
                    prefetch(s, &bytes[..bytes.len().min(2 * FLOATS)], LANES * row_bytes);
                    for (column, bytes) in columns.iter_mut().zip(bytes.as_chunks::<2>().0) {
                        column[row] = u16::from_le_bytes(*bytes);
                    }
                }
            }
        }
        Floats::Blocks(_) => {
            let all: &mut [u8] = bytemuck::cast_slice_mut(lines);
            for (out, (_, bytes)) in all.chunks_exact_mut(row_bytes).zip(rows) {
                out.copy_from_slice(bytes);
            }
        }
    }
}

fn unpack_floats(floats: Floats, lines: &[Line], row: usize, out: &mut [f32]) {
    if let Floats::Blocks(format) = floats {
        return unpack_blocks(format, lines, (row, out.len(), 0), out);
    }
    let halves: &[[u16; LANES]] = bytemuck::cast_slice(lines);
    for (i, out) in out.iter_mut().enumerate() {
        *out = match floats {
            Floats::F32 | Floats::Blocks(_) => f32::from_bits(lines[i].0[row]),
            Floats::F16 => f16::from_bits(halves[i][row]).to_f32(),
            Floats::Bf16 => bf16::from_bits(halves[i][row]).to_f32(),
        };
    }
}

/// Values of row `row` of a tile of `k` columns, from column `first` on, which begins a block.
pub(crate) fn unpack_blocks(
    format: FormatId,
    lines: &[Line],
    (row, k, first): (usize, usize, usize),
    out: &mut [f32],
) {
    let bytes: &[u8] = bytemuck::cast_slice(lines);
    let start = row * blocks_bytes(format, k) + blocks_bytes(format, first);
    format.dequantize_row(&bytes[start..][..blocks_bytes(format, out.len())], out);
}
