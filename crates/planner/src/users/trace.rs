//! How long requests are: tenths of the conversations of "Azure LLM inference trace 2023"
//! (19,366 requests of one hour on 16 November 2023; P. Patel et al., "Splitwise", ISCA 2024; data
//! under CC BY, `AzureLLMInferenceTrace_conv.csv`). One in a hundred is longer than the longest
//! here. Prompts and answers are drawn apart from each other: they correlate by -0.11 only.

use crate::random::Random;

/// Tokens of a prompt: none is shorter, one of ten is shorter, and so on; 99 of 100 at last.
const PROMPT_TENTHS: [f64; 11] =
    [2.0, 207.0, 387.0, 403.0, 703.0, 1020.0, 1071.0, 1130.0, 1315.0, 2734.5, 4142.0];
/// Tokens of an answer.
const ANSWER_TENTHS: [f64; 11] =
    [7.0, 54.0, 77.0, 91.0, 103.0, 129.0, 177.0, 384.0, 400.0, 424.0, 601.0];

/// A request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Request {
    /// Since the one before, as a share of the mean.
    pub(super) gap: f64,
    /// Tokens to read.
    pub(super) prompt: u64,
    /// Tokens to write.
    pub(super) answer: u64,
}

/// Requests one after another, as far as a context allows: half of it for the prompt at most, and
/// the rest for the answer.
pub(super) fn requests(count: usize, context: u64) -> Vec<Request> {
    let mut random = Random::seeded();
    let mut request = || {
        // Moments without memory: gaps are distributed exponentially.
        let gap = -(1.0 - random.share()).ln();
        let prompt = at(&PROMPT_TENTHS, random.share());
        let answer = at(&ANSWER_TENTHS, random.share());
        let prompt = prompt.min(context / 2).max(1);
        Request { gap, prompt, answer: answer.min(context.saturating_sub(prompt)).max(1) }
    };
    (0..count).map(|_| request()).collect()
}

/// Straight between tenths.
fn at(tenths: &[f64; 11], share: f64) -> u64 {
    let place = share * 10.0;
    let below = (place as usize).min(9);
    let (low, high) = (tenths[below], tenths[below + 1]);
    (low + (place - below as f64) * (high - low)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_TENTHS, at, requests};

    #[test]
    fn lengths_are_those_of_the_trace() {
        let lengths = [0.0, 0.05, 0.5, 0.95, 1.0].map(|share| at(&ANSWER_TENTHS, share));
        assert_eq!(lengths, [7, 31, 129, 513, 601]);
        let many = requests(20_000, 1 << 20);
        let mean =
            |of: &dyn Fn(usize) -> f64| (0..many.len()).map(of).sum::<f64>() / many.len() as f64;
        // The trace's own: 1155 and 211.
        let (prompt, answer) =
            (mean(&|at| many[at].prompt as f64), mean(&|at| many[at].answer as f64));
        assert!((prompt / 1155.0 - 1.0).abs() < 0.06, "{prompt}");
        assert!((answer / 211.0 - 1.0).abs() < 0.04, "{answer}");
        assert!((mean(&|at| many[at].gap) - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_short_context_cuts_both() {
        for request in requests(1000, 512) {
            assert!(request.prompt <= 256 && request.prompt + request.answer <= 512, "{request:?}");
            assert!(request.prompt > 0 && request.answer > 0);
        }
    }
}
