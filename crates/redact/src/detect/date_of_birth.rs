//! Dates of birth: a date beside a birth word.
//!
//! Pure. The forms are those of ISO 8601, day or month first with marks between, and with the name
//! of the month. Does not: find an age, a year alone or a date that no word stands before.

use super::places::{ANY, DASH, DOT, LETTER, MARK, SPACE, WIDE, digits};
use super::shape::{Names, is_day};
use super::{Detector, Digits, Span, View, in_word};

/// Dates of birth.
pub(crate) const DETECTOR: Detector = Detector {
    name: "date_of_birth",
    digits: Some(find),
    places: &[
        digits(&[1, 2], LETTER | WIDE | SPACE | DOT | DASH | MARK),
        digits(&[4], DOT | DASH | MARK | WIDE),
        digits(&[8], ANY),
    ],
    ..Detector::NEW
};

static WORDS: Names = Names::new(&[
    "born",
    "birth",
    "birthday",
    "birthdate",
    "dateofbirth",
    "fechanacimiento",
    "fechadenacimiento",
    "datanascimento",
    "datanascita",
    "datenaissance",
    "birth date",
    "dob",
    "d.o.b",
    "bday",
    "geboren",
    "geb",
    "geburtsdatum",
    "geburtstag",
    "né",
    "née",
    "naissance",
    "nacido",
    "nacida",
    "nacimiento",
    "nato",
    "nata",
    "nascita",
    "nascido",
    "nascida",
    "nascimento",
    "geboortedatum",
    "geboorte",
    "urodzony",
    "urodzona",
    "ur",
    "urodzenia",
    "född",
    "født",
    "fødselsdato",
    "födelsedatum",
    "syntynyt",
    "syntymäaika",
    "narozen",
    "narozena",
    "narození",
    "született",
    "doğum",
    "родился",
    "родилась",
    "рождения",
    "народився",
    "народилася",
    "народження",
    "出生",
    "生日",
    "生年月日",
    "誕生日",
    "생년월일",
    "생일",
    "ميلاد",
    "الميلاد",
    "जन्म",
    "जन्मतिथि",
]);
/// Months as they begin in English and its kin, for a name before the day.
const MONTHS: &[&[u8]] = &[
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
/// Longest name of a month, in bytes.
const NAME_MAX: usize = 18;

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    // Most numbers are followed by something else.
    let goes_on = |b: u8| {
        b.is_ascii_alphabetic() || b >= 0x80 || matches!(b, b' ' | b'.' | b'-' | b'/' | b',')
    };
    let (next, second) = (view.at(q + at.run), view.at(q + at.run + 1));
    if at.run < 8 && !next.is_some_and(goes_on) {
        return None;
    }
    // "12 1985": the name of the month stands before it.
    let named = || q >= 2 && matches!(view.text[q - 2], b'a'..=b'z' | b'A'..=b'Z' | b'.');
    if next == Some(b' ') && second.is_some_and(|b| b.is_ascii_digit()) && !named() {
        return None;
    }
    let (start, end) = match at.run {
        4 => year_first(view, q)?,
        1 | 2 => day_first(view, q)?,
        8 => (q, compact(view, q)?),
        _ => return None,
    };
    let joined = matches!(view.before(start), Some(b'.' | b'-' | b'/' | b','))
        && start > view.lo + 1
        && view.before(start - 1).is_some_and(|b| b.is_ascii_digit());
    let time = view.at(end) == Some(b'T') && view.at(end + 1).is_some_and(|b| b.is_ascii_digit());
    let alone = !in_word(view, start, if time { view.text.len() } else { end }) && !joined;
    (alone && WORDS.call(view, start)).then_some((start, end))
}

/// The number at `i`, of at most four digits, and where it ends.
fn number(view: &View<'_>, i: usize) -> Option<(u64, usize)> {
    let digits = view.text.get(i..)?.iter().take(5).take_while(|b| b.is_ascii_digit()).count();
    let number = view.text[i..i + digits].iter().fold(0, |n, b| n * 10 + u64::from(b - b'0'));
    (1..=4).contains(&digits).then_some((number, i + digits))
}

fn is_year(year: u64, digits: usize) -> bool {
    digits == 4 && (1880..2100).contains(&year) || digits == 2
}

/// `1985-03-12`, `1985/3/12`, `1985年3月12日`
fn year_first(view: &View<'_>, q: usize) -> Option<Span> {
    let (year, i) = number(view, q)?;
    let marks = |at: usize, mark: char| {
        let c = view.char_at(at)?;
        (matches!(c, '-' | '/' | '.') || c == mark).then(|| at + c.len_utf8())
    };
    let (month, i) = number(view, marks(i, '年')?)?;
    let (day, i) = number(view, marks(i, '月')?)?;
    let end = if view.char_at(i) == Some('日') { i + '日'.len_utf8() } else { i };
    (is_year(year, 4) && is_day(month, day)).then_some((q, end))
}

/// `12.03.1985`, `3/12/85`, `12 March 1985`, `March 12, 1985`
fn day_first(view: &View<'_>, q: usize) -> Option<Span> {
    let (first, i) = number(view, q)?;
    if let Some(mark @ (b'.' | b'/' | b'-')) = view.at(i)
        && let Some((second, j)) = number(view, i + 1)
        && view.at(j) == Some(mark)
        && let Some((year, end)) = number(view, j + 1)
    {
        let day = is_day(first, second) || is_day(second, first);
        return (day && is_year(year, end - j - 1)).then_some((q, end));
    }
    let day = is_day(1, first);
    // "12th of March", "12. März", "12 de marzo de": words, and the year.
    if let Some(year) = after_name(view, i).filter(|_| day) {
        return Some((q, year));
    }
    let before = &view.text[view.lo.max(q.saturating_sub(NAME_MAX))..q];
    let name = before.strip_suffix(b" ").map(|name| name.strip_suffix(b".").unwrap_or(name))?;
    let len = name.iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
    let name = &name[name.len() - len..];
    let month = len >= 3 && MONTHS.iter().any(|month| name[..3].eq_ignore_ascii_case(month));
    let gap = view.text.get(i..)?.iter().take(5).take_while(|b| !b.is_ascii_digit()).count();
    let between = [&b" "[..], b", ", b",", b"th, ", b"st, ", b"nd, ", b"rd, "];
    let (year, end) = number(view, i + gap)?;
    let right = month && day && between.contains(&&view.text[i..i + gap]);
    let dots = usize::from(before.ends_with(b". "));
    (right && is_year(year, 4) && end - i - gap == 4).then_some((q - 1 - dots - len, end))
}

/// Where the year ends that follows the name of a month and a word or two.
fn after_name(view: &View<'_>, from: usize) -> Option<usize> {
    let rest = &view.text[from..view.text.len().min(from + 2 * NAME_MAX)];
    let letters = rest.iter().position(|b| b.is_ascii_digit()).filter(|n| *n >= 3)?;
    let words = rest[..letters].iter().filter(|b| b.is_ascii_alphabetic() || **b >= 0x80).count();
    let marks = rest[..letters]
        .iter()
        .all(|b| b.is_ascii_alphabetic() || *b >= 0x80 || matches!(b, b' ' | b'.' | b',' | b'-'));
    let (year, end) = number(view, from + letters)?;
    let right = marks && words >= 3 && is_year(year, 4) && end - from - letters == 4;
    right.then_some(end)
}

/// `19850312`
fn compact(view: &View<'_>, q: usize) -> Option<usize> {
    let n = |from: usize, to: usize| {
        view.text[q + from..q + to].iter().fold(0, |n, b| n * 10 + u64::from(b - b'0'))
    };
    (is_year(n(0, 4), 4) && is_day(n(4, 6), n(6, 8))).then_some(q + 8)
}

#[cfg(test)]
#[test]
fn dates_beside_a_birth_word() {
    super::shape::check(
        "date_of_birth",
        &[
            "DOB: «1985-03-12», born on «12/03/1985» in Leeds",
            "Date of birth «March 12, 1985».",
            "Jane was born «12 March 1985»; married 4 May 2010",
            "geboren am «12. März 1985», Geburtsdatum: «12.3.85»",
            "née le «1er mars 1985» à Lyon, nacida el «12 de marzo de 1985»",
            "生年月日：«1985年3月12日»",
            "{\"date_of_birth\":\"«19850312»\",\"birthDate\": \"«1985-03-12»T00:00:00Z\"}",
            "on 1985-03-12, born 1985-13-40, born 12, the birth of 19850312345",
            "Birth certificate no. 1234-56-789",
        ],
    );
}
