//! What is measured and how far ahead it must be: a row for each.

/// One figure of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Case {
    /// As in file names: `SmolLM2`, or a shape that `testkit` makes.
    pub(crate) shape: &'static str,
    /// Type of its weights.
    pub(crate) kind: &'static str,
    pub(crate) test: Test,
    /// Least ratio to the peer, where one is asked for.
    pub(crate) at_least: Option<f64>,
}

/// As llama-bench counts: prompts or tokens, at a depth, of so many sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) n_prompt: u32,
    pub(crate) n_gen: u32,
    pub(crate) n_depth: u32,
    pub(crate) n_sequences: u32,
}

/// Reading 512 tokens; making so many.
const READ: Test = Test { n_prompt: 512, n_gen: 0, n_depth: 0, n_sequences: 1 };
const MAKE_128: Test = Test { n_prompt: 0, n_gen: 128, n_depth: 0, n_sequences: 1 };
const MAKE_64: Test = Test { n_gen: 64, ..MAKE_128 };
const MAKE_32: Test = Test { n_gen: 32, ..MAKE_128 };
const DEEP_READ: Test = Test { n_depth: 4096, ..READ };
const DEEP_MAKE: Test = Test { n_depth: 4096, ..MAKE_64 };
const TOGETHER: Test = Test { n_depth: 256, n_sequences: 8, ..MAKE_32 };

/// `(shape, type, test, least ratio)`.
const ROWS: &[(&str, &str, Test, Option<f64>)] = &[
    ("SmolLM2", "Q4_1", READ, Some(2.5)),
    ("SmolLM2", "Q4_1", MAKE_128, Some(1.2)),
    ("SmolLM2", "Q4_1", TOGETHER, Some(2.5)),
    ("SmolLM2", "Q4_1", DEEP_READ, Some(2.5)),
    ("SmolLM2", "Q4_1", DEEP_MAKE, Some(2.0)),
    ("SmolLM2", "Q8_0", READ, Some(2.5)),
    ("SmolLM2", "Q8_0", MAKE_128, Some(1.2)),
    ("SmolLM2", "Q4_K_M", READ, Some(2.5)),
    ("SmolLM2", "Q4_K_M", MAKE_128, Some(1.2)),
    ("SmolLM2", "MXFP4", READ, Some(2.5)),
    ("SmolLM2", "MXFP4", MAKE_128, Some(1.2)),
    ("SmolLM2", "F16", READ, Some(2.5)),
    ("SmolLM2", "F16", MAKE_128, Some(1.2)),
    ("1.17B", "Q4_K_M", READ, Some(4.0)),
    ("1.17B", "Q4_K_M", MAKE_64, Some(1.7)),
    ("1.17B", "Q4_K_M", TOGETHER, Some(2.5)),
    ("1.17B", "Q4_K_M", DEEP_READ, Some(2.5)),
    ("1.17B", "Q4_K_M", DEEP_MAKE, Some(2.0)),
    ("1.17B", "Q6_K", READ, Some(4.0)),
    ("1.17B", "Q6_K", MAKE_64, Some(1.7)),
    ("1.17B", "MXFP4", READ, Some(4.0)),
    ("1.17B", "MXFP4", MAKE_64, Some(1.7)),
    ("1.17B", "IQ4_XS", READ, Some(4.0)),
    ("1.17B", "IQ4_XS", MAKE_64, Some(1.7)),
    ("1.17B", "Q4_0", READ, Some(3.0)),
    ("1.17B", "Q4_0", MAKE_64, Some(1.05)),
    ("1.17B", "Q8_0", READ, Some(3.0)),
    ("1.17B", "Q8_0", MAKE_64, Some(1.05)),
    ("1.17B", "F16", READ, Some(3.0)),
    ("1.17B", "F16", MAKE_64, Some(1.05)),
    ("1.17B", "BF16", READ, Some(3.0)),
    ("1.17B", "BF16", MAKE_64, None),
    ("7.4B", "Q4_K_M", READ, None),
    ("7.4B", "Q4_K_M", MAKE_32, Some(1.7)),
];

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let case = |row: &(&'static str, &'static str, Test, Option<f64>)| {
        let (shape, kind, test, at_least) = *row;
        Case { shape, kind, test, at_least }
    };
    ROWS.iter().map(case).collect()
}

/// What takes less than three minutes: the model as it is shipped, at small depths.
pub(crate) fn quick() -> Vec<Case> {
    let shipped = |case: &Case| case.model() == ("SmolLM2", "Q4_1") && case.test.n_depth <= 256;
    all().into_iter().filter(shipped).collect()
}

/// Cases that one process measures: the same model at the same depth.
pub(crate) fn groups(cases: &[Case]) -> Vec<&[Case]> {
    let place = |case: &Case| (case.model(), case.test.n_depth, case.test.n_sequences);
    cases.chunk_by(|a, b| place(a) == place(b)).collect()
}

impl Case {
    /// `(shape, type)`.
    pub(crate) fn model(&self) -> (&'static str, &'static str) {
        (self.shape, self.kind)
    }

    /// `1.17B Q4_K_M tg64 @ d4096`.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {}", self.shape, self.kind, self.test.name())
    }
}

impl Test {
    /// `pp512`, `tg64 @ d4096`, `tg32 @ d256 x8`.
    pub(crate) fn name(&self) -> String {
        let mut name = match self.n_prompt {
            0 => format!("tg{}", self.n_gen),
            n_prompt => format!("pp{n_prompt}"),
        };
        if self.n_depth > 0 {
            name += &format!(" @ d{}", self.n_depth);
        }
        if self.n_sequences > 1 {
            name += &format!(" x{}", self.n_sequences);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::{all, groups, quick};

    #[test]
    fn a_process_measures_one_model_at_one_depth() {
        let cases = quick();
        let found: Vec<Vec<String>> = groups(&cases)
            .iter()
            .map(|group| group.iter().map(|case| case.test.name()).collect())
            .collect();
        assert_eq!(found, [vec!["pp512", "tg128"], vec!["tg32 @ d256 x8"]]);
        let all = all();
        let mut names: Vec<String> = all.iter().map(super::Case::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len(), "a name twice");
    }
}
