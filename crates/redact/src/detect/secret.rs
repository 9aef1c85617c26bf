//! Credentials that show by their prefix: keys of providers and forges, tokens, JWTs, private keys
//! in PEM.
//!
//! Sources: the issuers' documentation of their prefixes. Only prefixes that stand for a secret;
//! publishable keys pass.

use super::{Detector, View, ends_escape};

/// Credentials: the scanner looks for their prefixes and asks [`find`].
pub(crate) const DETECTOR: Detector = Detector { name: "api_key", ..Detector::NEW };
/// JWTs and private keys alone; where they are not asked for, they are credentials like others.
pub(crate) const JWT: Detector = Detector { name: "jwt", ..Detector::NEW };
pub(crate) const PRIVATE_KEY: Detector = Detector { name: "private_key", ..Detector::NEW };

/// How the text after a prefix has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// At least so many characters of a token, then the rest of it.
    Token(usize),
    /// Exactly so many upper-case letters and digits.
    Fixed(usize),
    /// Exactly so many hexadecimal digits.
    Hex(usize),
    /// Three base64url parts.
    Jwt,
    /// A PEM block of a private key.
    Pem,
}

const FORMS: &[(&str, Form)] = &[
    ("sk-", Form::Token(20)),
    ("sk_live_", Form::Token(16)),
    ("sk_test_", Form::Token(16)),
    ("rk_live_", Form::Token(16)),
    ("rk_test_", Form::Token(16)),
    ("whsec_", Form::Token(16)),
    ("ghp_", Form::Token(30)),
    ("gho_", Form::Token(30)),
    ("ghu_", Form::Token(30)),
    ("ghs_", Form::Token(30)),
    ("ghr_", Form::Token(30)),
    ("github_pat_", Form::Token(22)),
    ("glpat-", Form::Token(20)),
    ("glptt-", Form::Token(20)),
    ("glrt-", Form::Token(20)),
    ("gldt-", Form::Token(20)),
    ("glcbt-", Form::Token(20)),
    ("ATATT3", Form::Token(30)),
    ("xoxb-", Form::Token(10)),
    ("xoxp-", Form::Token(10)),
    ("xoxa-", Form::Token(10)),
    ("xoxr-", Form::Token(10)),
    ("xoxs-", Form::Token(10)),
    ("xoxc-", Form::Token(10)),
    ("xoxd-", Form::Token(10)),
    ("xoxe-", Form::Token(10)),
    ("xoxe.xox", Form::Token(10)),
    ("xapp-", Form::Token(10)),
    ("AKIA", Form::Fixed(16)),
    ("ASIA", Form::Fixed(16)),
    ("AIza", Form::Token(35)),
    ("ya29.", Form::Token(20)),
    ("hf_", Form::Token(30)),
    ("gsk_", Form::Token(30)),
    ("xai-", Form::Token(30)),
    ("pplx-", Form::Token(30)),
    ("npm_", Form::Token(30)),
    ("pypi-", Form::Token(30)),
    ("dckr_pat_", Form::Token(20)),
    ("dop_v1_", Form::Token(40)),
    ("doo_v1_", Form::Token(40)),
    ("dapi", Form::Hex(32)),
    ("hvs.", Form::Token(20)),
    ("hvb.", Form::Token(20)),
    ("AGE-SECRET-KEY-1", Form::Token(40)),
    ("GOCSPX-", Form::Token(20)),
    ("r8_", Form::Token(30)),
    ("sbp_", Form::Token(40)),
    ("tvly-", Form::Token(20)),
    ("glsa_", Form::Token(30)),
    ("lin_api_", Form::Token(30)),
    ("ntn_", Form::Token(30)),
    ("figd_", Form::Token(20)),
    ("PMAK-", Form::Token(40)),
    ("sq0csp-", Form::Token(20)),
    ("sq0atp-", Form::Token(20)),
    ("shpat_", Form::Token(30)),
    ("shpss_", Form::Token(30)),
    ("shpca_", Form::Token(30)),
    ("shppa_", Form::Token(30)),
    ("SG.", Form::Token(40)),
    ("tg-", Form::Token(20)),
    ("eyJ", Form::Jwt),
    ("-----BEGIN ", Form::Pem),
];

/// The prefixes, for the search; the number of a prefix is what [`find`] asks for.
pub(crate) fn prefixes() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|(prefix, _)| *prefix)
}

/// Secrets that are entities of their own, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    Key,
    Jwt,
    PrivateKey,
}

/// The secret that begins with the prefix number `form`.
pub(crate) fn secret(form: usize) -> Secret {
    match FORMS.get(form).map(|(_, form)| form) {
        Some(Form::Jwt) => Secret::Jwt,
        Some(Form::Pem) => Secret::PrivateKey,
        _ => Secret::Key,
    }
}

/// How the secret goes on after the part that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// The rest of the token, of any length.
    Token,
    /// The rest of the PEM block.
    Pem,
    Nothing,
}

/// Bytes of the shortest secret: "xoxb-" and ten characters.
pub(crate) const SHORTEST: usize = 15;
/// Bytes of the longest prefix.
pub(crate) const PREFIX_MAX: usize = 16;
/// How far a token is looked at.
const TOKEN_SEEN: usize = 200;

/// Runs of the text from the last prefixes on, so that a row of them is not read again for
/// each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    token: Run,
    /// Without a dot in it.
    part: Run,
    /// Without a digit in it.
    digitless: Run,
}

/// Bytes that are all of one kind, as far as they were looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    from: usize,
    to: usize,
}

impl Run {
    /// Where the run that begins at `from` ends, looking no further than `limit`.
    fn end(
        &mut self,
        text: &[u8],
        from: usize,
        limit: usize,
        belongs: impl Fn(u8) -> bool,
    ) -> usize {
        if from < self.from || from > self.to {
            *self = Run { from, to: from };
        }
        let limit = limit.min(text.len());
        while self.to < limit && belongs(text[self.to]) {
            self.to += 1;
        }
        self.to.min(limit)
    }
}

/// Whether the prefix number `form` at `start` begins a secret: where its fixed part ends and what
/// goes on after it.
pub(crate) fn find(
    view: &View<'_>,
    start: usize,
    form: usize,
    runs: &mut Runs,
) -> Option<(usize, More)> {
    let (prefix, form) = FORMS.get(form)?;
    let from = start + prefix.len();
    let before = view.before(start).filter(|_| *form != Form::Pem);
    if from > view.text.len()
        || before.is_some_and(|b| b.is_ascii_alphanumeric()) && !ends_escape(view, start)
    {
        return None;
    }
    // "AWS_AKIA…", "__sk-…__": a low line ends a name or a mark, but "use_npm_package_of_2024…" is
    // all one name.
    let in_name = before == Some(b'_') && prefix.ends_with('_');
    let mut run = |seen: usize| {
        let end = runs.token.end(view.text, from, from + seen, is_token);
        &view.text[from..end]
    };
    let ends = |n: usize| !view.at(from + n).is_some_and(|b| b.is_ascii_alphanumeric());
    match *form {
        Form::Token(min) => {
            let run = run(TOKEN_SEEN);
            if run.len() < min || in_name && run[..min].contains(&b'_') {
                return None;
            }
            // Keys are random: words with dashes between them ("sk-learn-is-a-library…") are not.
            let end = from + run.len();
            let digits = runs.digitless.end(view.text, from, end, |b| !b.is_ascii_digit()) < end;
            let random = digits && run.iter().filter(|b| b.is_ascii_alphabetic()).nth(2).is_some();
            random.then_some((from + min, More::Token))
        }
        Form::Fixed(n) => {
            let run = run(n);
            let fits =
                run.len() == n && run.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            (fits && ends(n)).then_some((from + n, More::Nothing))
        }
        Form::Hex(n) => {
            let run = run(n);
            let fits = run.len() == n && run.iter().all(u8::is_ascii_hexdigit);
            (fits && ends(n)).then_some((from + n, More::Nothing))
        }
        Form::Jwt => {
            let dot = runs.part.end(view.text, from, from + 240, |b| is_token(b) && b != b'.');
            let more = view.text.get(dot..dot + 4)?;
            (dot - from >= 10 && dot - from < 240 && more == b".eyJ")
                .then_some((dot + 4, More::Token))
        }
        Form::Pem => {
            let head = &view.text[from..view.text.len().min(from + 60)];
            let end = head.windows(5).position(|w| w == b"-----")?;
            head[..end].ends_with(b"PRIVATE KEY").then_some((from + end + 5, More::Pem))
        }
    }
}

/// A character of a token. The dot belongs to it only inside (see `scan`).
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}
