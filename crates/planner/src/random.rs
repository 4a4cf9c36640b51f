//! Draws that are the same every time (SplitMix64 with a fixed seed), so that what rests on them is
//! too.

/// Any number would do; another one changes medians of errors by a tenth of a percent.
const SEED: u64 = 1;

/// A stream of numbers.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The one stream.
    pub(crate) fn seeded() -> Random {
        Random { state: SEED }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to 1, without 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts so many, drawn without repetition, first.
    pub(crate) fn shuffle_first(&mut self, items: &mut [usize], count: usize) {
        for index in 0..count.min(items.len()) {
            let rest = (items.len() - index) as u64;
            items.swap(index, index + (self.next() % rest) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn draws_are_the_same_every_time() {
        let draw = || {
            let mut random = Random::seeded();
            let mut items: Vec<usize> = (0..50).collect();
            random.shuffle_first(&mut items, 50);
            (items, random.share())
        };
        let (mut items, share) = draw();
        assert_eq!(draw(), (items.clone(), share));
        assert!(!items.is_sorted() && (0.0..1.0).contains(&share));
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50));
    }

    #[test]
    fn shares_are_spread_evenly() {
        let mut random = Random::seeded();
        let shares: Vec<f64> = (0..100_000).map(|_| random.share()).collect();
        let mean = shares.iter().sum::<f64>() / 100_000.0;
        assert!((mean - 0.5).abs() < 0.004, "{mean}");
        let low = shares.iter().filter(|share| **share < 0.1).count();
        assert!((9600..10_400).contains(&low), "{low}");
    }
}
