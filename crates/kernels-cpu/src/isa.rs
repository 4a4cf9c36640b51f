//! Which instruction sets this machine has, and the one branch between them.

use crate::simd::portable::Portable;
use crate::simd::{Kernel, Simd};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::Avx2, avx512::Avx512};

/// An instruction set that kernels are written for, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// 512-bit lanes with the int8 dot product.
    Avx512Vnni,
    /// 256-bit lanes.
    Avx2,
    /// Plain Rust.
    Portable,
}

impl Variant {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::Avx512Vnni => "AVX-512 VNNI",
            Variant::Avx2 => "AVX2",
            Variant::Portable => "portable (no AVX2 found; slow)",
        }
    }
}

/// Every variant that this machine can run, best first.
#[must_use]
pub fn variants() -> Vec<Variant> {
    let all = [Variant::Avx512Vnni, Variant::Avx2, Variant::Portable];
    all.into_iter().filter(|variant| Isa::find(*variant).is_some()).collect()
}

/// A variant that was found.
#[derive(Clone, Copy)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Isa {
    pub(crate) fn find(variant: Variant) -> Option<Isa> {
        match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => Avx512::detect().map(Isa::Avx512),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => Avx2::detect().map(Isa::Avx2),
            #[cfg(not(target_arch = "x86_64"))]
            Variant::Avx512Vnni | Variant::Avx2 => None,
            Variant::Portable => Some(Isa::Portable(Portable)),
        }
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(s) => s.vectorize(kernel),
            Isa::Portable(s) => s.vectorize(kernel),
        }
    }

    /// Activation rows of a full tile.
    pub(crate) fn tile_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Avx2::ROWS,
            Isa::Portable(_) => Portable::ROWS,
        }
    }
}
