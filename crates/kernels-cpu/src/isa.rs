//! Which instruction sets this machine has, and the one branch between them.

#[cfg(target_arch = "x86_64")]
use crate::activation::WIDE_ROWS;
#[cfg(target_arch = "aarch64")]
use crate::simd::neon::{Dotprod, I8mm, Neon, Widening};
use crate::simd::portable::Portable;
use crate::simd::{Kernel, Simd};
#[cfg(target_arch = "x86_64")]
use crate::simd::{
    amx::Amx,
    avx2::{Avx2, Vnni, Words},
    avx512::Avx512,
};

/// An instruction set that kernels are written for, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// x86: as `Avx512Vnni`, and products of whole tiles of bytes and of bf16.
    Amx,
    /// x86: 512-bit lanes with the int8 dot product.
    Avx512Vnni,
    /// x86: 256-bit lanes with the int8 dot product.
    AvxVnni,
    /// x86: 256-bit lanes.
    Avx2,
    /// Arm: 128-bit lanes with the dot product of unsigned and signed bytes.
    NeonI8mm,
    /// Arm: 128-bit lanes with the dot product of signed bytes.
    NeonDotprod,
    /// Arm: 128-bit lanes.
    Neon,
    /// Plain Rust.
    Portable,
}

/// All, best first.
const ALL: [Variant; 8] = [
    Variant::Amx,
    Variant::Avx512Vnni,
    Variant::AvxVnni,
    Variant::Avx2,
    Variant::NeonI8mm,
    Variant::NeonDotprod,
    Variant::Neon,
    Variant::Portable,
];

impl Variant {
    /// As a person types it.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Variant::Amx => "amx",
            Variant::Avx512Vnni => "avx512",
            Variant::AvxVnni => "avx-vnni",
            Variant::Avx2 => "avx2",
            Variant::NeonI8mm => "neon-i8mm",
            Variant::NeonDotprod => "neon-dotprod",
            Variant::Neon => "neon",
            Variant::Portable => "portable",
        }
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::Amx => "AMX and AVX-512 VNNI",
            Variant::Avx512Vnni => "AVX-512 VNNI",
            Variant::AvxVnni => "AVX2 and AVX-VNNI",
            Variant::Avx2 => "AVX2",
            Variant::NeonI8mm => "NEON i8mm",
            Variant::NeonDotprod => "NEON dotprod",
            Variant::Neon => "NEON",
            Variant::Portable => "portable (neither AVX2 nor NEON found; slow)",
        }
    }
}

/// Every variant that this machine can run, best first.
#[must_use]
pub fn variants() -> Vec<Variant> {
    ALL.into_iter().filter(|variant| Isa::find(*variant).is_some()).collect()
}

/// A variant that was found.
#[derive(Clone, Copy)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(Avx2<Vnni>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2<Words>),
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(Neon<I8mm>),
    #[cfg(target_arch = "aarch64")]
    NeonDotprod(Neon<Dotprod>),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<Widening>),
    Portable(Portable),
}

impl Isa {
    pub(crate) fn find(variant: Variant) -> Option<Isa> {
        match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Amx => Amx::detect().map(Isa::Amx),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni => Avx512::detect().map(Isa::Avx512),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni => Avx2::<Vnni>::detect().map(Isa::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2 => Avx2::<Words>::detect().map(Isa::Avx2),
            #[cfg(not(target_arch = "x86_64"))]
            Variant::Amx | Variant::Avx512Vnni | Variant::AvxVnni | Variant::Avx2 => None,
            #[cfg(target_arch = "aarch64")]
            Variant::NeonI8mm => Neon::<I8mm>::detect().map(Isa::NeonI8mm),
            #[cfg(target_arch = "aarch64")]
            Variant::NeonDotprod => Neon::<Dotprod>::detect().map(Isa::NeonDotprod),
            #[cfg(target_arch = "aarch64")]
            Variant::Neon => Neon::<Widening>::detect().map(Isa::Neon),
            #[cfg(not(target_arch = "aarch64"))]
            Variant::NeonI8mm | Variant::NeonDotprod | Variant::Neon => None,
            Variant::Portable => Some(Isa::Portable(Portable)),
        }
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(amx) => amx.simd().vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(s) => s.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm(s) => s.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod(s) => s.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(s) => s.vectorize(kernel),
            Isa::Portable(s) => s.vectorize(kernel),
        }
    }

    /// Activation rows of a full tile for integer weights.
    pub(crate) fn integer_tile_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_) => WIDE_ROWS,
            _ => self.float_tile_rows(),
        }
    }

    /// Activation rows of a full tile for float weights.
    pub(crate) fn float_tile_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_) => Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(_) => Avx2::<Vnni>::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Avx2::<Words>::ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm(_) => Neon::<I8mm>::ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod(_) => Neon::<Dotprod>::ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => Neon::<Widening>::ROWS,
            Isa::Portable(_) => Portable::ROWS,
        }
    }
}
