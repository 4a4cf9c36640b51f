//! Names of every type that GGML knows, for error messages about those that hob cannot run.

use crate::FormatId;

const NAMES: &[(u32, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (30, "BF16"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
];

/// GGML's name of a type id, also of those that hob cannot run.
#[must_use]
pub fn ggml_type_name(id: u32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// The usual format nearest in size that hob runs, to suggest instead of one that it cannot.
#[must_use]
pub fn nearest_runnable(id: u32) -> Option<FormatId> {
    if let Some(format) = FormatId::from_ggml_id(id) {
        return Some(format);
    }
    match ggml_type_name(id)? {
        "Q1_0" | "Q2_0" => Some(FormatId::Q2K),
        "Q8_1" => Some(FormatId::Q8_0),
        "F64" => Some(FormatId::F32),
        _ => None,
    }
}
