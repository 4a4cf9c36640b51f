//! Layers that see only a window keep no more than it, and give the same logits.

mod support;

use model::{LoadOptions, Model, WindowTables};
use quant::FormatId;
use support::{bits, file, load, options};
use tensor::{Batch, Span};

const LEN: usize = 120;
const PAGE_LEN: usize = 4;

/// Logits of every position, in chunks that are no pages.
fn logits(model: &mut Model, tokens: &[u32]) -> Vec<u32> {
    let pages: Vec<u32> = (0..).take(LEN.div_ceil(PAGE_LEN)).collect();
    let mut tables = WindowTables::new(model);
    let (mut all, mut first) = (Vec::new(), 0);
    for rows in [16, 1, 7, 16, 13, 1].into_iter().cycle() {
        let part = &tokens[first..LEN.min(first + rows)];
        if part.is_empty() {
            return bits(&all);
        }
        let spans = [Span { rows: part.len(), first_position: first, pages: &pages, state: 0 }];
        let wanted: Vec<u32> = (0..).take(part.len()).collect();
        let (batch, mut found) = (Batch::decode(part, &spans), Vec::new());
        tables.forward(model, &batch, (&wanted, &mut found)).expect("a sound step");
        all.extend(found);
        first += part.len();
    }
    unreachable!("the chunks go on")
}

#[test]
fn what_lies_behind_a_window_is_not_missed() {
    let one = LoadOptions {
        rows_max: 16,
        kv_page_len: PAGE_LEN,
        kv_page_count: LEN.div_ceil(PAGE_LEN),
        state_slots: 1,
        ..options()
    };
    let mut seen = Vec::new();
    for reference in testkit::reference_models() {
        let file = file(&reference.writer(FormatId::F32));
        let spec = model::spec(&file).expect("a sound model");
        if !spec.layers.iter().any(|layer| layer.mixer.window().is_some()) {
            continue;
        }
        let context_len = spec.context_len.min(128);
        assert!(context_len as usize >= LEN, "{}", reference.name);
        let one = LoadOptions { context_len, ..one.clone() };
        // The windows of so many are no less than the pages for one.
        let many = LoadOptions { state_slots: 2, ..one.clone() };
        let tokens: Vec<u32> = reference.tokens.iter().copied().cycle().take(LEN).collect();
        let (mut apart, mut together) = (load(&file, &one), load(&file, &many));
        let window = apart.kv_window().expect("pages of its own");
        assert!(window.page_count < one.kv_page_count && together.kv_window().is_none());
        let backend = tensor::reference::Reference::new();
        let bytes = |options| model::memory_need(&file, options, &backend).unwrap().kv_bytes;
        assert!(bytes(&one) < bytes(&many), "{}", reference.name);
        let expected = logits(&mut together, &tokens);
        assert_eq!(logits(&mut apart, &tokens), expected, "{}", reference.name);
        let spans = [Span { rows: 1, first_position: 0, pages: &[0], state: 0 }];
        let batch = Batch::decode(&tokens[..1], &spans);
        let error = apart.forward((&batch, &[]), &[0], &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("pages of windows for 0 of 1 sequences"), "{error}");
        seen.push(reference.name);
    }
    assert!(seen.len() >= 3, "{seen:?}");
}
