//! Random choices that a seed repeats.

/// How many random cases a test tries: `usual`, or as many times more as `CASES_FACTOR` says.
pub fn cases(usual: u64) -> u64 {
    let factor = std::env::var_os("CASES_FACTOR").map_or(1, |factor| {
        let factor = factor.to_str().and_then(|factor| factor.parse().ok());
        factor.expect("CASES_FACTOR is a number")
    });
    usual * factor
}

/// `SplitMix64`: small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The choices of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits");
        usize::try_from(self.number() % bound).expect("below a usize")
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Choices of their own, for what goes on at the same time.
    pub fn split(&mut self) -> Self {
        Self(self.number())
    }
}
