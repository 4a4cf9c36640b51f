//! Which matrix of a quantised model has which format: the rules of llama.cpp's quantiser for a
//! `llama` with grouped heads and an output matrix of its own, so that speeds can be compared.

use quant::FormatId;

/// Matrices that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The embedding table.
    Embedding,
    /// The output matrix.
    Output,
    /// A layer's value projection.
    Value,
    /// A layer's last feed-forward matrix.
    Down,
    /// Every other matrix of a layer.
    Other,
}

/// A row: what one type of file is made of.
pub struct Mix {
    /// As in file names.
    pub name: &'static str,
    /// Name of the format of `(part, layer, layers)`.
    pub format: fn(Part, u32, u32) -> &'static str,
}

/// Every type that speed is judged on.
pub static MIXES: &[Mix] = &[
    Mix { name: "BF16", format: |_, _, _| "BF16" },
    Mix { name: "F16", format: |_, _, _| "F16" },
    Mix { name: "IQ4_XS", format: iq4_xs },
    Mix { name: "MXFP4", format: mxfp4 },
    Mix { name: "Q4_0", format: q4_0 },
    Mix { name: "Q4_K_M", format: q4_k_m },
    Mix { name: "Q6_K", format: |_, _, _| "Q6_K" },
    Mix { name: "Q8_0", format: |_, _, _| "Q8_0" },
];

impl Mix {
    /// Whether this program knows every format in it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let parts = [Part::Embedding, Part::Output, Part::Value, Part::Down, Part::Other];
        let known = |part, layer| FormatId::from_name((self.format)(part, layer, 32)).is_some();
        parts.into_iter().all(|part| (0..32).all(|layer| known(part, layer)))
    }
}

fn q4_0(part: Part, _layer: u32, _layers: u32) -> &'static str {
    if part == Part::Output { "Q6_K" } else { "Q4_0" }
}

fn q4_k_m(part: Part, layer: u32, layers: u32) -> &'static str {
    match part {
        Part::Output => "Q6_K",
        Part::Value | Part::Down if use_more_bits(layer, layers) => "Q6_K",
        _ => "Q4_K",
    }
}

fn iq4_xs(part: Part, layer: u32, layers: u32) -> &'static str {
    match part {
        Part::Output => "Q6_K",
        Part::Value => "Q5_K",
        Part::Down if layer < layers / 8 => "Q5_K",
        _ => "IQ4_XS",
    }
}

/// What `--tensor-type attn_=mxfp4 --tensor-type ffn_=mxfp4` makes of a dense model.
fn mxfp4(part: Part, _layer: u32, _layers: u32) -> &'static str {
    match part {
        Part::Embedding | Part::Output => "Q8_0",
        _ => "MXFP4",
    }
}

/// The first and the last eighth of the layers, and every third between.
fn use_more_bits(layer: u32, layers: u32) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::{MIXES, Part, q4_k_m};

    #[test]
    fn a_q4_k_m_of_22_layers_has_more_bits_where_llama_cpp_has() {
        let more: Vec<u32> = (0..22).filter(|l| q4_k_m(Part::Down, *l, 22) == "Q6_K").collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]);
        assert_eq!(q4_k_m(Part::Other, 0, 22), "Q4_K");
    }

    #[test]
    fn the_types_are_sorted() {
        assert!(MIXES.iter().map(|mix| mix.name).is_sorted());
    }
}
