//! What the reference answers to a fixture's tokens.

use gguf::GgufFile;
use tensor::{Batch, Span};
use testkit::ReferenceModel;

use crate::loaded::load;

/// Logits of the fixture's positions, one after the other.
pub(crate) fn logits(of: &ReferenceModel, file: &GgufFile) -> Vec<f32> {
    let mut model = load(of, file);
    let spans = [Span { rows: of.tokens.len(), first_position: 0, pages: &[0], state: 0 }];
    let rows: Vec<u32> = of.positions.iter().map(|at| *at as u32).collect();
    let mut found = Vec::new();
    let batch = Batch::decode(&of.tokens, &spans);
    model.forward((&batch, &[]), &rows, &mut found).expect("a sound step");
    found
}
