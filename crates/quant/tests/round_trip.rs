//! What no reference says: how good the K-quants' fits are, and that odd input is taken well.

use quant::FormatId;

fn made() -> impl Iterator<Item = FormatId> {
    FormatId::all().filter(|format| format.can_quantize())
}

/// Normal-like values from a fixed seed: the sum of twelve uniforms.
fn values(count: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn round_trip(format: FormatId, src: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; format.row_bytes(src.len()).expect("whole blocks")];
    format.quantize_row(src, &mut bytes);
    let mut out = vec![0.0; src.len()];
    format.dequantize_row(&bytes, &mut out);
    out
}

/// Root mean square error relative to the values'.
fn error(format: FormatId) -> f64 {
    let src = values(256 * 64);
    let out = round_trip(format, &src);
    let square = |x: f32| f64::from(x).powi(2);
    let wrong: f64 = src.iter().zip(&out).map(|(a, b)| square(a - b)).sum();
    (wrong / src.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

#[test]
fn errors_fall_with_the_bits() {
    // Each bit more halves the step; these bounds are about a tenth above what was measured. Those
    // of Q2_K, Q4_K and Q5_K are below what scales and minimums rounded each for itself give.
    let bounds = [
        (FormatId::IQ4NL, 0.081),
        (FormatId::IQ4XS, 0.082),
        (FormatId::MXFP4, 0.126),
        (FormatId::NVFP4, 0.090),
        (FormatId::Q2K, 0.262),
        (FormatId::Q3K, 0.16),
        (FormatId::Q4K, 0.0695),
        (FormatId::Q4_0, 0.10),
        (FormatId::Q4_1, 0.090),
        (FormatId::Q5K, 0.0345),
        (FormatId::Q5_0, 0.050),
        (FormatId::Q5_1, 0.045),
        (FormatId::Q6K, 0.019),
        (FormatId::Q8K, 0.009),
        (FormatId::Q8_0, 0.006),
        (FormatId::BF16, 0.002),
        (FormatId::F16, 0.0003),
        (FormatId::F32, 0.0),
        // Made for weights that are -1, 0 or 1 times a scale, which these are not.
        (FormatId::TQ1_0, 0.86),
        (FormatId::TQ2_0, 0.86),
    ];
    assert_eq!(bounds.len(), made().count());
    for (format, bound) in bounds {
        let error = error(format);
        println!("{}: {error:.5}", format.name());
        assert!(error <= bound, "{}: {error} > {bound}", format.name());
    }
}

#[test]
fn zeros_and_constants_survive() {
    for format in made() {
        let len = format.block_len();
        assert_eq!(round_trip(format, &vec![0.0; len]), vec![0.0; len], "{}", format.name());
        // Scales that are powers of two leave the steps of the codes: 12 of 16 at worst.
        let bound = if format == FormatId::MXFP4 { 0.25 } else { 0.03 };
        // Scales of 8 bits end at 448, codes at 6.
        let largest = if format == FormatId::NVFP4 { 2688.0 } else { f32::INFINITY };
        for constant in [1.0, -1.0, 1e-3, 1e4_f32] {
            for found in round_trip(format, &vec![constant; len]) {
                let wanted = constant.min(largest);
                let wrong = (found - wanted).abs() / wanted.abs();
                assert!(wrong < bound, "{} of {constant}: {found}", format.name());
            }
        }
    }
}

/// Scales of one byte by the letter of their specifications, in f64; all 256 of them.
#[test]
fn scales_of_a_byte_are_floats() {
    for byte in 0..=u8::MAX {
        let power = 2.0_f64.powi(i32::from(byte) - 127);
        let found = f64::from(quant::formats::mxfp4::half_scale(byte));
        assert_eq!(found, power / 2.0, "E8M0 {byte}");
        let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f64::from(byte & 7));
        let wanted = match exponent {
            _ if byte == 127 => 0.0,
            0 => mantissa / 8.0 * 2.0_f64.powi(-6),
            _ => (1.0 + mantissa / 8.0) * 2.0_f64.powi(exponent - 7),
        };
        let found = f64::from(quant::formats::nvfp4::half_scale(byte));
        assert_eq!(found, wanted / 2.0, "E4M3 {byte}");
    }
}

#[test]
fn the_default_dot_is_the_sum_over_dequantised_weights() {
    for format in made() {
        let k = format.block_len() * 3;
        let (src, x) = (values(k), values(2 * k)[k..].to_vec());
        let mut bytes = vec![0; format.row_bytes(k).expect("whole blocks")];
        format.quantize_row(&src, &mut bytes);
        let mut weights = vec![0.0; k];
        format.dequantize_row(&bytes, &mut weights);
        let wanted: f64 = weights.iter().zip(&x).map(|(w, x)| f64::from(w * x)).sum();
        let found = f64::from(format.dot_row(&bytes, &x));
        assert!((found - wanted).abs() < 1e-4, "{}: {found} {wanted}", format.name());
    }
}

#[test]
fn ids_and_names_lead_back() {
    for format in FormatId::all() {
        assert_eq!(FormatId::from_ggml_id(format.ggml_id()), Some(format));
        assert_eq!(FormatId::from_name(format.name()), Some(format));
        assert_eq!(quant::ggml_type_name(format.ggml_id()), Some(format.name()));
    }
    assert_eq!(FormatId::from_ggml_id(4), None);
    assert_eq!(quant::nearest_runnable(21), Some(FormatId::IQ3S));
    assert_eq!(quant::nearest_runnable(42), Some(FormatId::Q2K));
    assert_eq!(quant::nearest_runnable(23), Some(FormatId::IQ4XS));
    assert_eq!(FormatId::Q4K.row_bytes(128), None);
    assert_eq!(FormatId::F32.row_bytes(usize::MAX), None);
}

#[test]
fn any_bytes_are_blocks() {
    for format in FormatId::all() {
        let mut values = vec![0.0; format.block_len()];
        for byte in 0..=u8::MAX {
            format.dequantize_row(&vec![byte; format.block_bytes()], &mut values);
        }
    }
}

#[test]
fn bytes_of_zero_are_weights_of_zero() {
    // Backends pad matrices so.
    for format in FormatId::all() {
        let mut values = vec![1.0; format.block_len()];
        format.dequantize_row(&vec![0; format.block_bytes()], &mut values);
        assert!(values.iter().all(|value| *value == 0.0), "{}", format.name());
    }
}

#[test]
#[should_panic(expected = "256 values as IQ2_XS, which is only read")]
fn what_is_only_read_is_not_made() {
    FormatId::IQ2XS.quantize_row(&[1.0; 256], &mut [0; 74]);
}
