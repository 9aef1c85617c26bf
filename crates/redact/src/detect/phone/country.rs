//! Country codes, and how many digits a number has under each.
//!
//! Source: ITU-T E.164 and its list of assigned country codes.

/// Fewest and most digits of an international number, its country code counted; nothing for a code
/// that does not exist.
pub(crate) fn country(digits: &[u8]) -> Option<(usize, usize)> {
    let n = |k: usize| {
        digits
            .get(..k)?
            .iter()
            .try_fold(0u32, |n, d| Some(n * 10 + u32::from(d.checked_sub(b'0')?)))
    };
    let one = n(1)?;
    if one == 0 {
        return None;
    }
    if matches!(one, 1 | 7) {
        return Some((11, 11));
    }
    let two = n(2)?;
    if let Some(max) = most_after_two(two) {
        let min = if matches!(two, 39 | 52) { 10 } else { 9 };
        return Some((min, max));
    }
    most_after_three(n(3)?).map(|max| (9, max))
}

/// The most digits of a number whose country code has these two.
fn most_after_two(code: u32) -> Option<usize> {
    Some(match code {
        20 => 12,
        27 | 31 | 33 | 34 | 41 | 48 | 51 | 56 | 61 | 66 | 93 | 94 => 11,
        30 | 44 | 57 | 58 | 60 | 63 | 64 | 81 | 82 | 84 | 90 | 91 | 92 | 95 | 98 => 12,
        32 | 36 | 40 | 46 => 11,
        39 | 43 | 54 | 55 | 86 => 13,
        45 | 47 | 53 | 65 => 10,
        49 | 62 => 14,
        52 => 13,
        _ => return None,
    })
}

/// The most digits of a number whose country code has these three.
fn most_after_three(code: u32) -> Option<usize> {
    Some(match code {
        354 => 10,
        370..=374 | 216 | 386 | 852 | 853 | 961 | 965 | 973 | 974 => 11,
        225 | 229 | 234 | 358 | 856 | 880 | 964 | 967 | 977 => 13,
        // Codes that are not assigned.
        210
        | 214
        | 215
        | 217
        | 219
        | 259
        | 280..=289
        | 292..=296
        | 384
        | 388
        | 422
        | 424..=429
        | 693..=699
        | 801..=807
        | 809..=849
        | 851
        | 854
        | 857..=869
        | 871..=877
        | 879
        | 884
        | 885
        | 887
        | 889
        | 969
        | 978
        | 990
        | 991
        | 997
        | 999 => return None,
        _ => 12,
    })
}
