//! What no reference says: how good the K-quants' fits are, and that odd input is taken well.

use quant::FormatId;

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
    // Each bit more halves the step; these bounds are about a tenth above what was measured.
    for (format, bound) in [
        (FormatId::Q2K, 0.33),
        (FormatId::Q3K, 0.19),
        (FormatId::Q4K, 0.080),
        (FormatId::Q4_0, 0.10),
        (FormatId::Q4_1, 0.090),
        (FormatId::Q5K, 0.040),
        (FormatId::Q5_0, 0.050),
        (FormatId::Q5_1, 0.045),
        (FormatId::Q6K, 0.020),
        (FormatId::Q8K, 0.009),
        (FormatId::Q8_0, 0.006),
        (FormatId::BF16, 0.002),
        (FormatId::F16, 0.0003),
        (FormatId::F32, 0.0),
    ] {
        let error = error(format);
        println!("{}: {error:.5}", format.name());
        assert!(error <= bound, "{}: {error} > {bound}", format.name());
    }
}

#[test]
fn zeros_and_constants_survive() {
    for format in FormatId::all() {
        let len = format.block_len();
        assert_eq!(round_trip(format, &vec![0.0; len]), vec![0.0; len], "{}", format.name());
        for constant in [1.0, -1.0, 1e-3, 1e4_f32] {
            for found in round_trip(format, &vec![constant; len]) {
                let wrong = (found - constant).abs() / constant.abs();
                assert!(wrong < 0.03, "{} of {constant}: {found}", format.name());
            }
        }
    }
}

#[test]
fn the_default_dot_is_the_sum_over_dequantised_weights() {
    for format in FormatId::all() {
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
    assert_eq!(quant::nearest_runnable(23), Some(FormatId::Q4K));
    assert_eq!(FormatId::Q4K.row_bytes(128), None);
    assert_eq!(FormatId::F32.row_bytes(usize::MAX), None);
}
