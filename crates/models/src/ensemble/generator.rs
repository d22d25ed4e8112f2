//! Random numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood 2014).

pub(super) struct Generator(u64);

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let mut first = Self(seed);
        // Seeds that follow each other must not give streams that do.
        Self(first.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0 to 1, 1 excluded.
    pub(super) fn share(&mut self) -> f64 {
        // The 53 bits a float holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A share of the features, at least one, in rising order.
    pub(super) fn columns(&mut self, all: usize, share: f64) -> Vec<usize> {
        let mut left = ((all as f64 * share).ceil() as usize).clamp(1, all);
        (0..all)
            .filter(|column| {
                // Selection sampling (Knuth, The Art of Computer Programming 3.4.2, algorithm S).
                let taken = self.share() * ((all - column) as f64) < left as f64;
                left -= usize::from(taken);
                taken
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First output for seed 0 in the reference implementation (Vigna, splitmix64.c).
    #[test]
    fn the_reference_sequence_is_met() {
        assert_eq!(Generator(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn so_many_columns_are_drawn_as_asked_and_none_twice() {
        let mut generator = Generator::new(3);
        for _ in 0..100 {
            let columns = generator.columns(21, 0.5);
            assert!(columns.len() == 11 && columns.is_sorted_by(|a, b| a < b) && columns[10] < 21);
        }
    }
}
