//! Vectors of the simulated embedding models.

/// A vector of length one that depends on the text alone.
pub(crate) fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    // FNV-1a spreads the text over the state; splitmix64 draws from it.
    let mut state = digest(text);
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f32::from((mixed >> 48) as u16) / 32_768.0 - 1.0
    };
    let raw: Vec<f32> = (0..dimensions).map(|_| draw()).collect();
    let length =
        raw.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|number| number / length).collect()
}

/// FNV-1a of a text.
pub(crate) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
