//! Which tokens may come next.

use llguidance::toktrie::SimpleVob;

/// A set of token ids, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    bits: Vec<u32>,
}

impl Mask {
    pub(crate) fn of(set: &SimpleVob) -> Mask {
        Mask { bits: set.as_slice().to_vec() }
    }

    /// All of `0..len`.
    pub(crate) fn all(len: usize) -> Mask {
        let mut mask = Mask { bits: vec![u32::MAX; len.div_ceil(32)] };
        if let Some(last) = mask.bits.last_mut()
            && !len.is_multiple_of(32)
        {
            *last = (1 << (len % 32)) - 1;
        }
        mask
    }

    pub(crate) fn none(len: usize) -> Mask {
        Mask { bits: vec![0; len.div_ceil(32)] }
    }

    pub(crate) fn insert(&mut self, id: u32) {
        if let Some(word) = self.bits.get_mut(id as usize / 32) {
            *word |= 1 << (id % 32);
        }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(word) = self.bits.get_mut(id as usize / 32) {
            *word &= !(1 << (id % 32));
        }
    }

    /// Whether the token may come.
    #[must_use]
    pub fn allows(&self, id: u32) -> bool {
        self.bits.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    /// Whether no token may come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Sets the logits (of shape `[vocab]`) of all others to negative infinity, also of ids beyond
    /// the vocabulary.
    pub fn apply(&self, logits: &mut [f32]) {
        for (at, chunk) in logits.chunks_mut(32).enumerate() {
            let word = self.bits.get(at).copied().unwrap_or(0);
            match word {
                0 => chunk.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                _ => {
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
    }
}
