//! Matrix products by AMX: 16 weight rows by 16 activation rows at a time, bit for bit those of
//! `matmul`.
//!
//! Weights are unpacked to signed bytes once for all rows. A product of tiles covers the columns
//! under one scale; its sums go through memory to the vector registers, where scales are applied
//! in the order in which `matmul` does it. The tiles work some groups ahead of that, so that both
//! run at the same time.
#![expect(unsafe_code, reason = "calls of functions with target features; intrinsics of loads")]

use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m512, __m512i};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;
use quant::FormatId;

use crate::activation::{self, Activation, FINE_BITS, GROUP_DWORDS, SCALE, SUM, WIDE_ROWS};
use crate::codes::{Codes, GROUP, OPERANDS};
use crate::formats::{Format, is_quantised, with_format};
use crate::isa::Isa;
use crate::matmul::Matrix;
use crate::scales::Scales;
use crate::simd::amx::{Amx, Tiles};
use crate::simd::avx512::Avx512;
use crate::simd::{LANES, Line, Simd};

/// Weight tiles that are multiplied by a row tile while its codes are in the cache.
pub(crate) const TILES: usize = 8;
/// Activation rows whose sums are held at a time, a multiple of 16.
const ROWS: usize = 512;
/// Groups that are multiplied before the next row tile: their codes stay in the first cache.
const BLOCK_GROUPS: usize = 16;
/// So many groups the tiles are ahead of the scales.
const AHEAD: usize = 2;
/// Products of a group at most: of two halves, each of high and low bytes.
const PARTS: usize = 4;
/// Groups whose products are held.
const SLOTS: usize = 4;

/// Sums of 16 rows, one line each.
type Sums = [Line; WIDE_ROWS];

/// Memory of a thread that the next call can use again.
#[derive(Default)]
struct Scratch {
    /// `[tiles][rows]`.
    sums: Vec<Line>,
    /// `[tiles][BLOCK_GROUPS][OPERANDS]`.
    codes: Vec<Line>,
    /// `[SLOTS][PARTS]`.
    products: Vec<Sums>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Of `rows` activation rows, how many `multiply` takes.
pub(crate) fn rows(isa: Isa, format: FormatId, rows: usize) -> usize {
    if matches!(isa, Isa::Amx(_)) && is_quantised(format) {
        rows / WIDE_ROWS * WIDE_ROWS
    } else {
        0
    }
}

/// Gives `each` the products of `tiles` of weights with the first `rows` of `x`, some rows at a
/// time: the first of them, then a slice for each tile.
pub(crate) fn multiply(
    isa: Isa,
    tiles: &[(&Matrix<'_>, usize)],
    (x, rows): (&Activation, usize),
    mut each: impl FnMut(usize, &mut [&mut [[f32; LANES]]]),
) {
    let Isa::Amx(amx) = isa else { unreachable!("`rows` is 0 without AMX") };
    SCRATCH.with_borrow_mut(|scratch| {
        for first in (0..rows).step_by(ROWS) {
            let block = first..(first + ROWS).min(rows);
            scratch.multiply(amx, tiles, (x, &block));
            let sums = &mut scratch.sums[..tiles.len() * block.len()];
            let sums: &mut [[f32; LANES]] = bytemuck::cast_slice_mut(sums);
            each(first, &mut sums.chunks_exact_mut(block.len()).collect::<Vec<_>>());
        }
    });
}

/// Operations of a turn of [`spend`], where there is one.
pub(crate) fn ops_per_turn(isa: Isa) -> Option<usize> {
    matches!(isa, Isa::Amx(_)).then_some(Tiles::OPS_PER_TURN)
}

/// Multiplies tiles in registers, `turns` times.
pub(crate) fn spend(isa: Isa, turns: usize) {
    if let Isa::Amx(amx) = isa {
        Tiles::new(amx).spend(turns);
    }
}

impl Scratch {
    fn multiply(
        &mut self,
        amx: Amx,
        tiles: &[(&Matrix<'_>, usize)],
        (x, rows): (&Activation, &Range<usize>),
    ) {
        let sums = tiles.len() * rows.len();
        self.sums.resize(sums.max(self.sums.len()), Line::zeroed());
        let block = BLOCK_GROUPS * OPERANDS;
        self.codes.resize((tiles.len() * block).max(self.codes.len()), Line::zeroed());
        self.products.resize(SLOTS * PARTS, Sums::zeroed());
        let products: &mut [Sums; SLOTS * PARTS] =
            self.products.as_mut_slice().try_into().expect("resized to it");
        let k = tiles.first().map_or(0, |(weight, _)| weight.k);
        let mut registers = Tiles::new(amx);
        for first in (0..k / GROUP).step_by(BLOCK_GROUPS) {
            let groups = first..(first + BLOCK_GROUPS).min(k / GROUP);
            for ((weight, tile), codes) in tiles.iter().zip(self.codes.chunks_exact_mut(block)) {
                let codes = &mut codes[..groups.len() * OPERANDS];
                let lines = weight.packed.tile(*tile).0;
                with_format!(weight.format, F => unpack::<F>(amx, lines, &groups, codes), ());
            }
            for row in rows.clone().step_by(WIDE_ROWS) {
                let x = x.codes(k, (row, WIDE_ROWS)).groups(&groups, WIDE_ROWS);
                for (i, (weight, tile)) in tiles.iter().enumerate() {
                    let at = i * rows.len() + row - rows.start;
                    let sums = self.sums[at..].first_chunk_mut().expect("whole row tiles");
                    let task = Task {
                        is_first: first == 0,
                        x,
                        codes: &self.codes[i * block..][..groups.len() * OPERANDS],
                        scales: weight.packed.tile(*tile).1,
                        first,
                    };
                    with_format!(
                        weight.format,
                        F => add::<F>(amx, (&mut registers, &mut *products), (sums, &task)),
                        ()
                    );
                }
            }
        }
    }
}

fn unpack<F: Format>(amx: Amx, lines: &[Line], groups: &Range<usize>, out: &mut [Line]) {
    let lines = &lines[groups.start * F::Codes::LINES..groups.end * F::Codes::LINES];
    // SAFETY: `Amx` is also proof of these features.
    unsafe { unpack_signed::<F>(amx.simd(), lines, out) }
}

fn add<F: Format>(
    amx: Amx,
    (registers, products): (&mut Tiles, &mut [Sums; SLOTS * PARTS]),
    (sums, task): (&mut Sums, &Task<'_>),
) {
    registers.set_columns(GROUP / F::Scales::HALVES);
    // SAFETY: as above.
    unsafe { add_groups::<F>(amx.simd(), (registers, products), (sums, task)) }
}

/// Codes as signed bytes, their offset taken out.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn unpack_signed<F: Format>(s: Avx512, lines: &[Line], out: &mut [Line]) {
    let offset = if F::Scales::MIN { 0 } else { 1_u8 << F::Scales::SHIFT };
    let offset = x86::_mm512_set1_epi8(offset.cast_signed());
    let groups = lines.chunks_exact(F::Codes::LINES);
    for (lines, out) in groups.zip(out.chunks_exact_mut(OPERANDS)) {
        let codes = F::Codes::unpack(s, lines);
        for v in 0..OPERANDS {
            out[v] = line_of(x86::_mm512_sub_epi8(codes[v], offset));
        }
    }
}

#[inline(always)]
fn line_of(x: __m512i) -> Line {
    let mut out = Line::zeroed();
    // SAFETY: the callers have AVX-512; a line is as long and as aligned as the register.
    unsafe { x86::_mm512_store_si512(out.0.as_mut_ptr().cast(), x) };
    out
}

#[inline(always)]
fn integers(line: &Line) -> __m512i {
    // SAFETY: as above.
    unsafe { x86::_mm512_load_si512(line.0.as_ptr().cast()) }
}

/// Does it for each of the 16 rows, unrolled: a loop would keep the rows' sums in memory.
macro_rules! each_row {
    ($r:ident => $do:expr) => {
        each_row!($r => $do, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($r:ident => $do:expr, $($row:literal)*) => {
        $({
            let $r: usize = $row;
            $do;
        })*
    };
}

/// Some groups of a weight tile and a row tile.
struct Task<'a> {
    /// Whether the sums start here.
    is_first: bool,
    x: activation::Codes<'a>,
    /// Signed, `[groups][OPERANDS]`.
    codes: &'a [Line],
    /// Of the whole tile.
    scales: &'a [u8],
    /// Index of the first group in the tile.
    first: usize,
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn add_groups<F: Format>(
    s: Avx512,
    (registers, products): (&Tiles, &mut [Sums; SLOTS * PARTS]),
    (sums, task): (&mut Sums, &Task<'_>),
) {
    let mut acc = [s.splat(0.0); WIDE_ROWS];
    if !task.is_first {
        each_row!(r => acc[r] = x86::_mm512_castsi512_ps(integers(&sums[r])));
    }
    let groups = task.x.fine.len();
    for step in 0..groups + AHEAD {
        if step < groups {
            let slot = step % SLOTS * PARTS;
            let out = products[slot..].first_chunk_mut().expect("a slot");
            multiply_group::<F>(registers, out, task, step);
        }
        if let Some(g) = step.checked_sub(AHEAD) {
            let slot = g % SLOTS * PARTS;
            let products = products[slot..].first_chunk().expect("a slot");
            if task.x.fine[g] == 0 {
                scale_group::<F, false>(s, &mut acc, products, task, g);
            } else {
                scale_group::<F, true>(s, &mut acc, products, task, g);
            }
        }
    }
    each_row!(r => sums[r] = line_of(x86::_mm512_castps_si512(acc[r])));
}

/// `out[2 half + b] = x . codes` of group `g`, of the high (`b` = 0) and the low bytes.
#[inline(always)]
fn multiply_group<F: Format>(
    registers: &Tiles,
    out: &mut [Sums; PARTS],
    task: &Task<'_>,
    g: usize,
) {
    let codes = &task.codes[g * OPERANDS..][..OPERANDS];
    let highs = &task.x.highs[g * GROUP_DWORDS * WIDE_ROWS..][..OPERANDS * WIDE_ROWS];
    for half in 0..F::Scales::HALVES {
        let first = half * OPERANDS / 2;
        registers.multiply(2 * g + half, &mut out[2 * half], &highs[first..], &codes[first..]);
    }
    if task.x.fine[g] == 0 {
        return;
    }
    let lows = &task.x.lows[g * OPERANDS * WIDE_ROWS..][..OPERANDS * WIDE_ROWS];
    for half in 0..F::Scales::HALVES {
        let first = half * OPERANDS / 2;
        let out = &mut out[2 * half + 1];
        registers.multiply(2 * g + 1 - half, out, &lows[first..], &codes[first..]);
    }
}

/// `sums += scale * products + minimum * x` of group `g`.
#[inline(always)]
fn scale_group<F: Format, const FINE: bool>(
    s: Avx512,
    sums: &mut [__m512; WIDE_ROWS],
    products: &[Sums; PARTS],
    task: &Task<'_>,
    g: usize,
) {
    let at = task.first + g;
    let block = &task.scales[at / F::Scales::SUPER * F::Scales::BYTES..][..F::Scales::BYTES];
    let head = F::Scales::head(s, block);
    let x = &task.x.highs[g * GROUP_DWORDS * WIDE_ROWS..][..GROUP_DWORDS * WIDE_ROWS];
    for half in 0..F::Scales::HALVES {
        let index = at % F::Scales::SUPER * F::Scales::HALVES + half;
        let (scale, min) = F::Scales::group(s, head, block, index);
        let part = if F::Scales::HALVES == 1 { 0 } else { 1 + half };
        let row = ScaleRow::<F, FINE> {
            s,
            products: [&products[2 * half], &products[2 * half + 1]],
            scale,
            min,
            x_scales: x[SCALE * WIDE_ROWS..].first_chunk().expect("a group"),
            x_sums: x[(SUM + part) * WIDE_ROWS..].first_chunk().expect("a group"),
            format: PhantomData,
        };
        each_row!(r => sums[r] = row.add(sums[r], r));
    }
}

/// The columns of a group that share a scale, for any of the rows.
struct ScaleRow<'a, F, const FINE: bool> {
    s: Avx512,
    /// Of the high and the low bytes.
    products: [&'a Sums; 2],
    scale: __m512,
    min: __m512,
    x_scales: &'a [i32; WIDE_ROWS],
    x_sums: &'a [i32; WIDE_ROWS],
    format: PhantomData<F>,
}

impl<F: Format, const FINE: bool> ScaleRow<'_, F, FINE> {
    #[inline(always)]
    fn add(&self, sum: __m512, r: usize) -> __m512 {
        let s = self.s;
        let mut dots = integers(&self.products[0][r]);
        if FINE {
            dots = s.add_i(s.shl_i(dots, FINE_BITS), integers(&self.products[1][r]));
        }
        let x_scale = s.splat(f32::from_bits(self.x_scales[r].cast_unsigned()));
        let sum = s.fma(s.to_f32(dots), s.mul(self.scale, x_scale), sum);
        if !F::Scales::MIN {
            return sum;
        }
        s.fma(self.min, s.splat(f32::from_bits(self.x_sums[r].cast_unsigned())), sum)
    }
}
