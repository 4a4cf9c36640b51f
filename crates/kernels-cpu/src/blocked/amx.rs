//! Blocks by AMX: 16 weight rows by 16 activation rows at a time.
//!
//! A product of tiles covers the columns under one scale; its sums go through memory to the vector
//! registers, where scales are applied in the order in which `matmul` does it. The tiles work some
//! groups ahead of that, so that both run at the same time.
#![expect(unsafe_code, reason = "calls of functions with target features; intrinsics of loads")]

use std::arch::x86_64 as x86;
use std::arch::x86_64::{__m512, __m512i};
use std::marker::PhantomData;

use bytemuck::Zeroable;

use super::Task;
use crate::activation::{FINE_BITS, GROUP_DWORDS, SCALE, SUM, WIDE_ROWS};
use crate::codes::{Codes, GROUP, OPERANDS};
use crate::formats::Format;
use crate::integers::{Unpack, scale_lines, scale_of, unpack_scales};
use crate::scales::Scales;
use crate::simd::amx::{Amx, Tiles};
use crate::simd::avx512::Avx512;
use crate::simd::{Line, Simd};

/// So many groups the tiles are ahead of the scales.
const AHEAD: usize = 2;
/// Products of a group at most: of two halves, each of high and low bytes.
const PARTS: usize = 4;
/// Groups whose products are held.
const SLOTS: usize = 4;

/// Sums of 16 rows, one line each.
type Sums = [Line; WIDE_ROWS];

/// The tiles of a thread.
pub(super) struct Unit {
    amx: Amx,
    registers: Tiles,
    products: Box<[Sums; SLOTS * PARTS]>,
}

impl Unit {
    pub(super) fn new(amx: Amx) -> Unit {
        Unit { amx, registers: Tiles::new(amx), products: Box::new(Zeroable::zeroed()) }
    }

    /// Signed codes, and scales.
    pub(super) fn unpack<F: Format>(&self, unpack: Unpack<'_, F>) {
        // SAFETY: `Amx` is also proof of these features.
        unsafe { unpack_signed::<F>(self.amx.simd(), unpack) }
    }

    pub(super) fn add<F: Format>(&mut self, sums: &mut [Line], task: &Task<'_>) {
        self.registers.set_columns(GROUP / F::Scales::HALVES);
        let sums = sums.first_chunk_mut().expect("a row tile");
        // SAFETY: as above.
        unsafe {
            add_groups::<F>(self.amx.simd(), (&self.registers, &mut self.products), (sums, task));
        }
    }
}

/// Codes as signed bytes, their offset taken out.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn unpack_signed<F: Format>(
    s: Avx512,
    Unpack { lines, scales, codes_out, scales_out, .. }: Unpack<'_, F>,
) {
    let offset = if F::Scales::MIN { 0 } else { 1_u8 << F::Scales::SHIFT };
    let offset = x86::_mm512_set1_epi8(offset.cast_signed());
    let groups = lines.chunks_exact(F::Codes::LINES);
    for (lines, out) in groups.zip(codes_out.chunks_exact_mut(OPERANDS)) {
        let codes = F::Codes::unpack(s, lines);
        for v in 0..OPERANDS {
            out[v] = line_of(x86::_mm512_sub_epi8(codes[v], offset));
        }
    }
    unpack_scales::<Avx512, F::Scales>(s, scales, scales_out);
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn add_groups<F: Format>(
    s: Avx512,
    (registers, products): (&Tiles, &mut [Sums; SLOTS * PARTS]),
    (sums, task): (&mut Sums, &Task<'_>),
) {
    let mut acc = [s.splat(0.0); WIDE_ROWS];
    each_row!(r => acc[r] = x86::_mm512_castsi512_ps(integers(&sums[r])));
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
    let codes = &task.tiles[0].codes[g * OPERANDS..][..OPERANDS];
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
    let lines = scale_lines::<F::Scales>();
    let scales = &task.tiles[0].scales[g * lines..][..lines];
    let x = task.x.highs[g * GROUP_DWORDS * WIDE_ROWS..].first_chunk().expect("a group");
    let group = ScaledGroup::<F, FINE> {
        s,
        products,
        scales: [
            scale_of::<Avx512, F::Scales>(s, scales, 0),
            scale_of::<Avx512, F::Scales>(s, scales, F::Scales::HALVES - 1),
        ],
        x,
        format: PhantomData,
    };
    each_row!(r => sums[r] = group.add(sums[r], r));
}

/// Products of a group and their scales.
struct ScaledGroup<'a, F, const FINE: bool> {
    s: Avx512,
    products: &'a [Sums; PARTS],
    scales: [(__m512, __m512); 2],
    /// `[GROUP_DWORDS][WIDE_ROWS]`.
    x: &'a [i32; GROUP_DWORDS * WIDE_ROWS],
    format: PhantomData<F>,
}

impl<F: Format, const FINE: bool> ScaledGroup<'_, F, FINE> {
    /// `sum` and what `matmul` adds to it, in the same steps.
    #[inline(always)]
    fn add(&self, sum: __m512, r: usize) -> __m512 {
        let (s, x_scale) = (self.s, self.number(SCALE, r));
        let [(low, low_min), (high, high_min)] = self.scales;
        if F::Scales::HALVES == 1 {
            let sum = s.fma(s.mul(self.dots(0, r), low), x_scale, sum);
            return if F::Scales::MIN { s.fma(low_min, self.number(SUM, r), sum) } else { sum };
        }
        let term = s.fma(self.dots(1, r), high, s.mul(self.dots(0, r), low));
        let sum = s.fma(term, x_scale, sum);
        if !F::Scales::MIN {
            return sum;
        }
        let sum = s.fma(low_min, self.number(SUM + 1, r), sum);
        s.fma(high_min, self.number(SUM + 2, r), sum)
    }

    #[inline(always)]
    fn dots(&self, half: usize, r: usize) -> __m512 {
        let (s, highs) = (self.s, integers(&self.products[2 * half][r]));
        if !FINE {
            return s.to_f32(highs);
        }
        let lows = integers(&self.products[2 * half + 1][r]);
        s.to_f32(s.add_i(s.shl_i(highs, FINE_BITS), lows))
    }

    #[inline(always)]
    fn number(&self, field: usize, r: usize) -> __m512 {
        self.s.splat(f32::from_bits(self.x[field * WIDE_ROWS + r].cast_unsigned()))
    }
}
