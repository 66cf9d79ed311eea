//! The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), 32-bit. Only the raw words; what is made of them is
//! in `noise`.

const N: usize = 624;
const M: usize = 397;

/// The generator's state.
#[derive(Debug, Clone)]
pub(crate) struct Mt19937 {
    words: [u32; N],
    next: usize,
}

impl Mt19937 {
    pub(crate) fn new(seed: u32) -> Self {
        let mut words = [seed; N];
        for i in 1..N {
            let previous = words[i - 1];
            words[i] = (previous ^ (previous >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { words, next: N }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.words[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.words[i] & 0x8000_0000) | (self.words[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[i] = self.words[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 10000th word after the default seed is fixed by the C++ standard ([rand.predef]).
    #[test]
    fn the_ten_thousandth_word_is_the_standard_one() {
        let mut generator = Mt19937::new(5489);
        let word = (0..10_000).map(|_| generator.next_u32()).last();
        assert_eq!(word, Some(4_123_659_995));
    }
}
