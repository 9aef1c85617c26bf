//! Detectors: each finds one kind of personal data in folded text, around a trigger byte.
//!
//! Pure. Promise: what a detector says of a place depends only on the `BEHIND` bytes before it and
//! the `AHEAD` bytes after it; the caller cuts the text there, so that nothing else can be seen,
//! and so a text cut into pieces anywhere gives the same matches as the whole.

use std::cell::RefCell;

pub(crate) mod card;
mod crypto_address;
pub(crate) mod data_url;
mod date_of_birth;
pub(crate) mod email;
mod iban;
mod id;
mod ip;
pub(crate) mod key_memo;
mod mac_address;
pub(crate) mod phone;
pub(crate) mod places;
pub(crate) mod secret;
mod shape;
mod tld;
mod url_credentials;
mod word_leads;
mod word_lists;
pub(crate) mod words;

use places::{Place, Table};

/// How far behind its trigger a detector may look, in folded bytes: a local part of 64 characters
/// of up to four bytes.
pub(crate) const BEHIND: usize = 256;
/// How far after its trigger a detector may look: a domain of 253 characters (RFC 5321 §4.5.3.1.2),
/// a phone number with its local part to come.
pub(crate) const AHEAD: usize = 512;

/// The entities that a policy may name. Where digits begin, they are asked in this order and the
/// telephone number last.
pub(crate) const DETECTORS: [Detector; 29] = [
    email::DETECTOR,
    phone::DETECTOR,
    card::DETECTOR,
    iban::DETECTOR,
    id::us_itin::DETECTOR,
    id::us_ssn::DETECTOR,
    ip::DETECTOR,
    secret::DETECTOR,
    secret::JWT,
    secret::PRIVATE_KEY,
    url_credentials::DETECTOR,
    mac_address::DETECTOR,
    crypto_address::DETECTOR,
    date_of_birth::DETECTOR,
    id::passport::DETECTOR,
    id::vat_id::DETECTOR,
    id::de_tax_id::DETECTOR,
    id::fr_nir::DETECTOR,
    id::es_dni::DETECTOR,
    id::it_codice_fiscale::DETECTOR,
    id::nl_bsn::DETECTOR,
    id::pl_pesel::DETECTOR,
    id::uk_nino::DETECTOR,
    id::uk_nhs::DETECTOR,
    id::br_cpf::DETECTOR,
    id::br_cnpj::DETECTOR,
    id::in_aadhaar::DETECTOR,
    id::in_pan::DETECTOR,
    id::cn_resident_id::DETECTOR,
];

/// Names for several entities, which a policy may give in their place.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("@all_ids", ALL_IDS),
    (
        "@eu_ids",
        &["vat_id", "de_tax_id", "fr_nir", "es_dni", "it_codice_fiscale", "nl_bsn", "pl_pesel"],
    ),
    ("@financial", &["credit_card", "iban", "crypto_address"]),
    ("@network", &["ip", "mac_address"]),
    ("@secrets", &["api_key", "jwt", "private_key", "url_credentials"]),
];

const ALL_IDS: &[&str] = &[
    "us_itin",
    "us_ssn",
    "passport",
    "vat_id",
    "de_tax_id",
    "fr_nir",
    "es_dni",
    "it_codice_fiscale",
    "nl_bsn",
    "pl_pesel",
    "uk_nino",
    "uk_nhs",
    "br_cpf",
    "br_cnpj",
    "in_aadhaar",
    "in_pan",
    "cn_resident_id",
];

/// Finds one kind of personal data. E-mail addresses, telephone numbers and credentials, which need
/// more than a place, have a way of their own in `scan`; all others are asked at the places that
/// they name here.
pub(crate) struct Detector {
    /// The name of the entity.
    pub(crate) name: &'static str,
    /// Asked where digits begin that stand as one of `places` says.
    pub(crate) digits: Option<AtDigits>,
    pub(crate) places: &'static [Place],
    /// Asked at a colon.
    pub(crate) colon: Option<AtColon>,
    /// Fewest digits of a match.
    pub(crate) digits_min: u32,
}

/// The detectors by the places at which they are asked about digits: one bit for each.
pub(crate) static PLACES: Table = {
    let mut places: [&[Place]; DETECTORS.len()] = [&[]; DETECTORS.len()];
    let mut n = 0;
    while n < DETECTORS.len() {
        places[n] = DETECTORS[n].places;
        n += 1;
    }
    Table::of(&places)
};

/// Where a match begins and ends.
pub(crate) type Span = (usize, usize);
/// Finds a match that begins at some digits, or right before them.
pub(crate) type AtDigits = fn(&Digits<'_>) -> Option<Span>;
/// Finds a match around a colon.
pub(crate) type AtColon = fn(&View<'_>, usize) -> Option<Span>;

impl Detector {
    /// One that is asked nowhere.
    pub(crate) const NEW: Detector = Detector {
        name: "",
        digits: None,
        places: &[],
        colon: None,
        digits_min: phone::DIGITS_MIN as u32,
    };
}

/// A place where digits begin.
pub(crate) struct Digits<'a> {
    pub(crate) view: &'a View<'a>,
    /// The first digit.
    pub(crate) q: usize,
    /// Digits in a row from there, at most [`places::RUN_MAX`].
    pub(crate) run: usize,
    /// Digits that were read for payment cards.
    pub(crate) cards: &'a RefCell<card::Row>,
}

/// The text a detector may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Folded text, cut at the right.
    pub(crate) text: &'a [u8],
    /// Nothing before it may be looked at; a match begins here at the earliest.
    pub(crate) lo: usize,
}

impl View<'_> {
    /// The byte before `i`, if it may be looked at.
    pub(crate) fn before(&self, i: usize) -> Option<u8> {
        if i > self.lo { self.text.get(i - 1).copied() } else { None }
    }

    /// The byte at `i`.
    pub(crate) fn at(&self, i: usize) -> Option<u8> {
        self.text.get(i).copied()
    }

    /// The character that ends before `i`, if it may be looked at whole.
    pub(crate) fn char_before(&self, i: usize) -> Option<char> {
        let lo = self.lo.max(i.saturating_sub(4));
        let bytes = self.text.get(lo..i)?;
        let start = bytes.iter().rposition(|b| b & 0xC0 != 0x80)?;
        std::str::from_utf8(&bytes[start..]).ok()?.chars().next_back()
    }

    /// The character that begins at `i`.
    pub(crate) fn char_at(&self, i: usize) -> Option<char> {
        let bytes = self.text.get(i..self.text.len().min(i + 4))?;
        let end = (1..bytes.len()).find(|&k| bytes[k] & 0xC0 != 0x80).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).ok()?.chars().next()
    }
}

/// Whether a match is a part of a longer word or number.
fn glued(view: &View<'_>, start: usize, end: usize) -> bool {
    let word = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let left = matches!(view.before(start), Some(b'.' | b'-'))
        && start > view.lo + 1
        && word(view.before(start - 1));
    let right = matches!(view.at(end), Some(b'.' | b'-')) && word(view.at(end + 1));
    left || right || in_word(view, start, end)
}

/// Whether a letter, a digit or a low line beside a match makes it a part of a word. Low lines may
/// be the marks of emphasis in Markdown, which no letter stands behind: "__8.8.8.8__".
fn in_word(view: &View<'_>, start: usize, end: usize) -> bool {
    let letter = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    match (view.before(start), view.at(end)) {
        (Some(b'_'), _) | (_, Some(b'_')) => {}
        (before, next) => return letter(next) || letter(before) && !ends_escape(view, start),
    }
    let marks = |text: &mut dyn Iterator<Item = &u8>| text.take_while(|b| **b == b'_').count();
    let left = marks(&mut view.text[view.lo..start].iter().rev().take(MARKS_MAX));
    let right = marks(&mut view.text[end.min(view.text.len())..].iter().take(MARKS_MAX));
    letter(view.at(end + right))
        || letter(view.before(start - left)) && (left > 0 || !ends_escape(view, start))
        || left == 1 && right == 0
}

/// Low lines that are looked at.
const MARKS_MAX: usize = 4;

/// Whether a backslash and a letter end before `start` that stand for white space in the text of a
/// program: "\\n8.8.8.8".
pub(crate) fn ends_escape(view: &View<'_>, start: usize) -> bool {
    matches!(view.before(start), Some(b'n' | b'r' | b't')) && view.before(start - 1) == Some(b'\\')
}
