//! The rows: that all parse, are sorted and plausible, and say what is published.

use std::collections::HashSet;

use super::{Flag, machines, measurements, models};
use crate::machine::{Class, Machine};
use crate::names::{find_machine, find_model, normalised};
use crate::row::ModelRow;

#[test]
fn all_rows_are_there_and_sorted() {
    assert_eq!((machines().len(), models().len(), measurements().len()), (125, 124, 780));
    assert!(machines().is_sorted_by_key(|row| row.name.to_lowercase()));
    assert!(models().is_sorted_by_key(|row| row.name.to_lowercase()));
    let key = |row: &super::Measurement| (row.machine.to_lowercase(), row.model.to_lowercase());
    assert!(measurements().is_sorted_by_key(key));
}

#[test]
fn names_differ_in_letters_and_digits() {
    let machines = machines().iter().map(|row| (&row.name, &row.also));
    let models = models().iter().map(|row| (&row.name, &row.also));
    for rows in [machines.collect::<Vec<_>>(), models.collect()] {
        let mut seen = HashSet::new();
        for name in rows.iter().flat_map(|(name, also)| std::iter::once(*name).chain(*also)) {
            assert!(normalised(name).len() > 1, "{name}");
            assert!(seen.insert(normalised(name)), "{name} is there twice");
        }
    }
}

#[test]
fn every_machine_has_a_name_to_type() {
    let is_short = |name: &String| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for row in machines() {
        assert!(row.also.iter().any(is_short), "{}", row.name);
    }
}

/// A year, and a month and a day where they are known.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    parts.iter().all(is_number)
        && text.starts_with("20")
        && [4, 2, 2].starts_with(&lengths)
        && !lengths.is_empty()
}

#[test]
fn every_row_says_where_it_comes_from_and_when() {
    for row in machines() {
        assert!(!row.source.is_empty() && is_date(&row.date), "{}", row.name);
        assert_eq!(row.price_usd.is_some(), row.price_source.is_some(), "{}", row.name);
        if let Some(source) = &row.price_source {
            assert!(is_date(source.split([' ', ',']).next().unwrap()), "{}: {source}", row.name);
        }
    }
    for row in models() {
        assert!(!row.source.is_empty() && is_date(&row.date), "{}", row.name);
        assert!(!row.licence.is_empty() && !row.family.is_empty(), "{}", row.name);
    }
    for row in measurements() {
        assert!(!row.source.is_empty() && row.date.as_deref().is_none_or(is_date), "{row:?}");
    }
}

fn check_machine(row: &Machine) {
    let name = &row.name;
    let boxes = f64::from(row.count);
    assert!((1.0..=8.0).contains(&boxes), "{name}");
    assert!((4.0..=1024.0).contains(&row.memory_gib), "{name}");
    assert!((16.0..=10_000.0).contains(&row.bandwidth_gbs), "{name}");
    if let Some(usable) = row.usable_gib {
        assert!((0.45..=0.999).contains(&(usable / row.memory_gib)), "{name}: {usable} GiB");
    }
    if let Some(measured) = row.bandwidth_measured_gbs {
        let share = measured / (row.bandwidth_gbs / boxes);
        assert!((0.5..=1.0).contains(&share), "{name}: {share} of bandwidth");
    }
    let flops = [row.fp16_tflops, row.fp8_tflops, row.fp4_tflops];
    let known: Vec<f64> = flops.into_iter().flatten().collect();
    assert!(known.is_sorted() && known.iter().all(|x| (0.05..=20_000.0).contains(x)), "{name}");
    let ranges = [row.idle_watts, row.load_watts, row.price_usd];
    assert!(ranges.iter().flatten().all(|[low, high]| 0.0 < *low && low <= high), "{name}");
    if let (Some(load), Some(rated)) = (row.load_watts, row.rated_watts) {
        assert!(load[1] <= rated, "{name}");
    }
    if let (Some(idle), Some(load)) = (row.idle_watts, row.load_watts) {
        assert!(idle[1] <= load[0], "{name}");
    }
    if row.class == Class::Cpu {
        assert!(row.usable_gib.is_none(), "{name}: a share of what is free decides");
    }
}

#[test]
fn machines_are_plausible() {
    for row in machines() {
        check_machine(row);
    }
}

fn check_model(row: &ModelRow) {
    let name = &row.name;
    assert!(row.active <= row.parameters, "{name}");
    assert!((100_000_000..=2_000_000_000_000).contains(&row.parameters), "{name}");
    assert!((4096..=10_485_760).contains(&row.context_max), "{name}");
    assert!(row.heads.is_multiple_of(row.kv_heads), "{name}");
    let window = row.window.as_ref().map_or(0, |window| window.layers);
    let recurrent = row.recurrent.as_ref().map_or(0, |recurrent| recurrent.layers);
    assert!(row.full_layers + window + recurrent <= row.layers, "{name}");
    assert!(row.feed_forward.is_some() || row.experts.is_some(), "{name}");
    if let Some(values) = row.full_values {
        let most = row.full_layers * 2 * row.kv_heads * row.head_dim;
        assert!(values < most, "{name}: said only where layers share");
    }
    if let Some(window) = &row.window {
        assert!(window.storing.is_none_or(|storing| storing <= window.layers), "{name}");
    }
    if let Some(experts) = &row.experts {
        assert!(experts.used < experts.total, "{name}");
        assert!(experts.layers.is_none_or(|layers| layers < row.layers), "{name}");
        let all_layers = experts.layers.is_none();
        assert!(!(all_layers && row.feed_forward.is_some()), "{name}: no layer is dense");
    }
    // The embedding and the head alone are not more than all weights.
    let copies = if row.tied { 1 } else { 2 };
    assert!(copies * row.vocabulary * row.width < row.parameters, "{name}");
}

#[test]
fn models_are_plausible() {
    for row in models() {
        check_model(row);
    }
}

#[test]
fn measurements_are_of_rows_of_the_tables() {
    for row in measurements() {
        assert!(machines().iter().any(|machine| machine.name == row.machine), "{}", row.machine);
        assert!(models().iter().any(|model| model.name == row.model), "{}", row.model);
        let machine = find_machine(&row.machine_as_published).unwrap();
        assert_eq!(machine.name, row.machine, "{}", row.machine_as_published);
        let model = find_model(&row.model_as_published).unwrap();
        assert_eq!(model.name, row.model, "{}", row.model_as_published);
    }
}

#[test]
fn measurements_are_plausible() {
    for row in measurements() {
        let is_compute_error = row.flags.contains(&Flag::PrefillAboveComputeRoofline);
        let prefill_max = if is_compute_error { f64::MAX } else { 50_000.0 };
        assert!(row.prefill_tps.is_none_or(|tps| 1.0 < tps && tps < prefill_max), "{row:?}");
        assert!(row.decode_tps.is_none_or(|tps| 0.5 < tps && tps < 1200.0), "{row:?}");
        assert!(row.prefill_tps.is_some() || row.decode_tps.is_some(), "{row:?}");
        assert!(row.context <= 131_072 && !row.quant.is_empty(), "{row:?}");
    }
    let flagged = |flag| measurements().iter().filter(|row| row.flags.contains(&flag)).count();
    assert_eq!((flagged(Flag::MaybeMtp), flagged(Flag::Multi)), (27, 7));
    assert_eq!((flagged(Flag::Offload), flagged(Flag::AboveRoofline)), (42, 4));
}
