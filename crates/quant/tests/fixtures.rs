//! Bit for bit what the numpy reference of the `gguf` package gives; see tools/reference/quant.py.

use quant::FormatId;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    // Zeros of either sign are one value.
    values.iter().map(|value| (value + 0.0).to_bits()).collect()
}

/// As `swept` of tools/reference/quant.py: a hash of the values of random blocks.
fn swept(format: FormatId, places: &str) -> u64 {
    let places: Vec<usize> = places.split(',').filter_map(|at| at.parse().ok()).collect();
    let (mut state, mut hash) = (1_u64, 0xCBF2_9CE4_8422_2325_u64);
    let mut values = vec![0.0; format.block_len()];
    for _ in 0..2048 {
        let mut block: Vec<u8> = (0..format.block_bytes())
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        for at in &places {
            block[*at] &= 0xBF;
        }
        format.dequantize_row(&block, &mut values);
        for word in bits(&values) {
            hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01B3);
        }
    }
    hash
}

#[test]
fn every_format_is_bit_exact() {
    let mut seen = Vec::new();
    for line in include_str!("fixtures/blocks.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, what, input, output] = words.as_slice() else { panic!("{line}") };
        let format = FormatId::from_name(name).expect("a format");
        seen.push((*name, *what));
        if *what == "sweep" {
            assert_eq!(format!("{:016x}", swept(format, input)), *output, "{name}");
            continue;
        }
        let (input, output) = (bytes(input), bytes(output));
        match *what {
            "dequantize" => {
                let wanted = floats(&output);
                let mut found = vec![f32::NAN; wanted.len()];
                format.dequantize_row(&input, &mut found);
                assert_eq!(bits(&found), bits(&wanted), "{name}");
            }
            "quantize" => {
                let mut found = vec![0xAA; output.len()];
                format.quantize_row(&floats(&input), &mut found);
                assert_eq!(found, output, "{name}");
            }
            other => panic!("{other}"),
        }
    }
    let count = |what: &str| seen.iter().filter(|(_, found)| *found == what).count();
    // F32 is its own truth, and Q8_K has no numpy reference.
    assert_eq!(count("dequantize"), FormatId::all().count() - 2);
    assert_eq!(count("quantize"), 10);
    assert_eq!(count("sweep"), FormatId::all().filter(|format| format.block_len() > 1).count() - 1);
}
