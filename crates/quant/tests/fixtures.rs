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

#[test]
fn every_format_is_bit_exact() {
    let mut seen = Vec::new();
    for line in include_str!("fixtures/blocks.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, what, input, output] = words.as_slice() else { panic!("{line}") };
        let format = FormatId::from_name(name).expect("a format");
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
        seen.push((*name, *what));
    }
    let count = |what: &str| seen.iter().filter(|(_, found)| *found == what).count();
    // F32 is its own truth, and Q8_K has no numpy reference.
    assert_eq!(count("dequantize"), FormatId::all().count() - 2);
    assert_eq!(count("quantize"), 8);
}
