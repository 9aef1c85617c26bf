//! Rules: the settings of a policy, compiled once and shared by all calls of an organisation.
//!
//! Pure and immutable. A custom pattern or a word may match at most [`CUSTOM_SPAN_MAX`] bytes of
//! folded text; what is longer is not found. Patterns see folded text: full-width forms as ASCII,
//! invisible characters not at all.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind, StartKind};
use regex::bytes::{Regex, RegexBuilder};

use super::detect::{AtColon, DETECTORS, Detector, GROUPS, secret, secret::Secret, words::Words};
use super::fold;
use super::pairs::Pairs;
use super::{Action, Answers, Attachments, ENTITIES, Ledger, RulesError, RulesSpec, TokenArrays};
use crate::bounds::{CUSTOM_PATTERNS_MAX, CUSTOM_REGEX_BYTES_MAX, TERMS_MAX};
use crate::digest::plain;
use crate::names::Names;
use crate::placeholder::{self, Placeholders};

/// Word lists of fewer bytes than this get the faster kind of automaton, which takes up to a
/// kilobyte for each byte.
const TERMS_TABLE_BYTES: usize = 1024;

/// Fewest digits of what begins with a digit, where no detector says less.
const DIGITS_MIN: u32 = Detector::NEW.digits_min;

/// Number of a kind in [`Compiled::kinds`].
pub(crate) type KindId = u16;

/// One kind of what is taken out.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Entity name, or the name of a custom pattern or word list.
    pub(crate) name: Arc<str>,
    /// Its replacement, not escaped.
    pub(crate) replacement: String,
    /// The name in its placeholders, if they get marks.
    pub(crate) mark: Option<Box<str>>,
    /// The first kind with the same placeholder: all of them are marked together.
    pub(crate) marked_as: KindId,
    /// The action on a match.
    pub(crate) action: Action,
}

impl Kind {
    /// The kind that follows on `before`.
    fn new(before: &[Kind], name: &str, replacement: String) -> Kind {
        let id = before.len() as KindId;
        // The end of a credential is not kept.
        let is_whole = !kind::is_open(id) && id != kind::ATTACHMENT;
        let mark = placeholder::name(&replacement).filter(|_| is_whole);
        let same = before.iter().position(|kind| mark.is_some() && kind.mark == mark);
        let marked_as = same.map_or(id, |same| same as KindId);
        let action = Action::default();
        Kind { name: Arc::from(name), replacement, mark, marked_as, action }
    }
}

/// The first of [`Compiled::kinds`]: the detectors in their order, and the kinds that are no
/// entities.
pub(crate) mod kind {
    use super::KindId;
    use crate::detect::{DETECTORS, email, phone, secret};

    pub(crate) const EMAIL: KindId = number(email::DETECTOR.name);
    pub(crate) const PHONE: KindId = number(phone::DETECTOR.name);
    pub(crate) const API_KEY: KindId = number(secret::DETECTOR.name);
    pub(crate) const JWT: KindId = number(secret::JWT.name);
    pub(crate) const PRIVATE_KEY: KindId = number(secret::PRIVATE_KEY.name);
    pub(crate) const URL_CREDENTIALS: KindId = number("url_credentials");
    /// Not an entity: `data:` URLs, counted apart.
    pub(crate) const ATTACHMENT: KindId = DETECTORS.len() as KindId;
    /// Not an entity: text that looks like a placeholder of this call, and is not counted.
    pub(crate) const TEXT: KindId = ATTACHMENT + 1;
    pub(crate) const FIRST_CUSTOM: KindId = TEXT + 1;

    /// Whether the end of a match is not kept: a credential of any length.
    pub(crate) fn is_open(kind: KindId) -> bool {
        matches!(kind, API_KEY | JWT | PRIVATE_KEY)
    }

    /// Whether a policy may let matches of this kind stay.
    pub(crate) fn may_stay(kind: KindId) -> bool {
        kind < ATTACHMENT && !matches!(kind, API_KEY | JWT | PRIVATE_KEY | URL_CREDENTIALS)
    }

    /// The place of a detector in the table.
    const fn number(name: &str) -> KindId {
        let mut n = 0;
        while !same(DETECTORS[n].name.as_bytes(), name.as_bytes()) {
            n += 1;
        }
        n as KindId
    }

    const fn same(a: &[u8], b: &[u8]) -> bool {
        let mut n = 0;
        while n < a.len() && n < b.len() && a[n] == b[n] {
            n += 1;
        }
        n == a.len() && n == b.len()
    }
}

/// Compiled rules. Immutable and shared by all calls of an organisation.
#[derive(Debug)]
pub struct Rules(pub(crate) Arc<Compiled>);

/// The inside of [`Rules`].
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) kinds: Vec<Kind>,
    /// Which of the built-in entities are on, by number.
    pub(crate) on: [bool; kind::FIRST_CUSTOM as usize],
    /// One bit for each detector other than that of telephone numbers that is asked where digits
    /// begin, by its place in [`DETECTORS`].
    pub(crate) at_digits: u32,
    pub(crate) at_colon: Vec<(KindId, AtColon)>,
    /// Fewest digits of what begins with a digit.
    pub(crate) digits_min: u32,
    /// Values of others are taken out of answers.
    pub(crate) mask_answers: bool,
    /// A message may be removed for what it holds.
    pub(crate) removes: bool,
    pub(crate) attachments: Attachments,
    pub(crate) token_arrays: TokenArrays,
    pub(crate) placeholders: Placeholders,
    /// Values are put back; whether in arguments, too.
    pub(crate) restore: Option<bool>,
    /// Text like a placeholder of a call, where it would be put back as a value.
    pub(crate) markers: Option<Markers>,
    pub(crate) words: &'static Words,
    /// Prefixes of secrets, if they are looked for.
    pub(crate) secrets: Option<Prefixes>,
    pub(crate) custom: Vec<(KindId, Regex)>,
    /// Word lists, all in one.
    pub(crate) terms: Option<Terms>,
    /// Long lists of names.
    pub(crate) names: Vec<(KindId, Names)>,
    /// Values that may stay, in the form of [`plain`].
    allowed: HashSet<Box<[u8]>>,
    /// One bit for the length of each of them, up to 63, and one for all that are longer.
    allowed_lens: u64,
    /// Rules with the same number find the same.
    finds: u64,
    /// Rules with the same number have the same patterns, words and values that may stay.
    own: u64,
}

/// Prefixes of secrets.
#[derive(Debug)]
pub(crate) struct Prefixes {
    /// Leaves out most of a text that has none.
    pub(crate) rare: AhoCorasick,
    /// Takes less for one that is near.
    pub(crate) near: AhoCorasick,
    pub(crate) pairs: Pairs,
}

impl Prefixes {
    fn build() -> Option<Prefixes> {
        let mut builder = AhoCorasickBuilder::new();
        builder.match_kind(MatchKind::LeftmostFirst);
        let rare = builder.build(secret::prefixes()).ok()?;
        builder.kind(Some(AhoCorasickKind::DFA)).start_kind(StartKind::Both).prefilter(false);
        let pairs = Pairs::of(secret::prefixes());
        Some(Prefixes { rare, near: builder.build(secret::prefixes()).ok()?, pairs })
    }
}

/// Numbered placeholders that a text may hold.
#[derive(Debug)]
pub(crate) struct Markers {
    /// The first words of their names.
    pub(crate) stems: AhoCorasick,
    /// The most low lines that stand before one.
    pub(crate) lead: usize,
    /// Their names.
    pub(crate) names: Vec<Box<str>>,
}

impl Markers {
    fn build(kinds: &[Kind]) -> Option<Markers> {
        let mut names: Vec<Box<str>> = kinds.iter().filter_map(|kind| kind.mark.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let mut stems: Vec<&str> =
            names.iter().filter_map(|name| name.split('_').find(|word| !word.is_empty())).collect();
        stems.sort_unstable();
        stems.dedup();
        let lead =
            names.iter().map(|name| name.len() - name.trim_start_matches('_').len()).max()?;
        let mut builder = AhoCorasickBuilder::new();
        builder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostFirst);
        builder.start_kind(StartKind::Both);
        Some(Markers { stems: builder.build(&stems).ok()?, lead, names })
    }
}

/// The words of all lists.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) automaton: AhoCorasick,
    /// For each word its kind.
    pub(crate) kinds: Vec<KindId>,
    /// Bytes of the longest.
    pub(crate) longest: usize,
    /// In all cases.
    pub(crate) pairs: Pairs,
}

/// The first two bytes of words, in both cases.
fn cases(words: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> + '_ {
    words.iter().flat_map(|word| {
        let lead = &word[..word.len().min(2)];
        (0..4u8).map(|upper| {
            let cased = lead.iter().enumerate().map(|(i, b)| match upper >> i & 1 {
                0 => b.to_ascii_lowercase(),
                _ => b.to_ascii_uppercase(),
            });
            cased.collect()
        })
    })
}

impl Rules {
    /// Whether any of the built-in entities is looked for.
    pub fn has_entities(&self) -> bool {
        self.0.on[..ENTITIES.len()].contains(&true)
    }

    /// The kinds in a ledger for which a request is refused, by name.
    pub fn rejected(&self, ledger: &Ledger) -> Vec<Arc<str>> {
        let rejects = |name: &str| {
            self.0.kinds.iter().any(|kind| &*kind.name == name && kind.action == Action::Reject)
        };
        let found = ledger.counts.iter().filter(|(name, _)| rejects(name));
        let mut kinds: Vec<Arc<str>> = found.map(|(name, _)| Arc::clone(name)).collect();
        kinds.sort_unstable();
        kinds
    }

    /// Whether both find the same in every request, whatever they do with it.
    pub fn finds_the_same(&self, other: &Rules) -> bool {
        self.0.finds == other.0.finds
    }

    /// Whether both do the same with what they find, kind by kind.
    pub fn acts_the_same(&self, other: &Rules) -> bool {
        let actions = |rules: &Rules| -> Vec<(Arc<str>, Action)> {
            rules.0.kinds.iter().map(|kind| (Arc::clone(&kind.name), kind.action)).collect()
        };
        actions(self) == actions(other)
    }

    /// Whether both let the same values stay, and find the same by patterns and words of their own.
    pub fn allows_the_same(&self, other: &Rules) -> bool {
        self.0.own == other.0.own
    }

    /// Whether they let values stay, or have patterns or words of their own.
    pub fn may_leave(&self) -> bool {
        !self.0.allowed.is_empty() || self.0.windowed()
    }

    /// Whether a kind is looked for, by its name.
    pub fn looks_for(&self, kind: &str) -> bool {
        let found = self.0.kinds.iter().position(|known| &*known.name == kind);
        found.is_some_and(|id| self.0.has(id as KindId))
    }

    /// Whether attachments pass.
    pub fn allows_attachments(&self) -> bool {
        self.0.attachments == Attachments::Allow
    }

    /// The action on matches of a kind, by its name.
    pub fn action(&self, kind: &str) -> Action {
        let found = self.0.kinds.iter().find(|known| &*known.name == kind);
        found.map(|found| found.action).unwrap_or_default()
    }

    /// Its long lists of names.
    pub fn names(&self) -> impl Iterator<Item = &Names> {
        self.0.names.iter().map(|(_, names)| names)
    }

    /// Whether values that a call has not sent are taken out of its answer.
    pub fn mask_answers(&self) -> bool {
        self.0.mask_answers
    }

    /// Whether placeholders are made with a key.
    pub fn need_key(&self) -> bool {
        self.0.placeholders == Placeholders::Stable
    }

    /// Compiles what a policy asks for.
    ///
    /// # Errors
    /// Every problem, in the order of the spec.
    pub fn compile(spec: &RulesSpec) -> Result<Rules, Vec<RulesError>> {
        let mut problems = Vec::new();
        let mut kinds: Vec<Kind> = Vec::new();
        for name in ENTITIES.iter().copied().chain(["attachment", "text"]) {
            kinds.push(Kind::new(&kinds, name, format!("[REDACTED_{}]", name.to_uppercase())));
        }
        let mut on = [false; kind::FIRST_CUSTOM as usize];
        let acted = spec.actions.iter().map(|(name, _)| name);
        for entity in spec.entities.iter().chain(acted.filter(|n| ENTITIES.contains(&n.as_str()))) {
            let group = GROUPS.iter().find(|(name, _)| name == entity);
            for member in group.map_or(&[entity.as_str()][..], |(_, members)| *members) {
                match ENTITIES.iter().position(|e| e == member) {
                    Some(i) => on[i] = true,
                    None => problems.push(RulesError::UnknownEntity(entity.clone())),
                }
            }
        }
        on[kind::ATTACHMENT as usize] = spec.attachments != Attachments::Allow;
        let detectors = || (0..).zip(&DETECTORS).filter(|(kind, _)| on[usize::from(*kind)]);
        let asked = detectors().filter(|(_, detector)| detector.digits.is_some());
        let at_digits = asked.fold(0, |bits, (kind, _): (KindId, _)| bits | 1 << kind);
        let at_colon: Vec<_> = detectors().filter_map(|(kind, d)| Some((kind, d.colon?))).collect();
        let digits_min = detectors().map(|(_, d)| d.digits_min).chain([DIGITS_MIN]).min();
        let custom = compile_custom(spec, &mut kinds, &mut problems);
        let terms = compile_terms(spec, &mut kinds, &mut problems);
        let secrets = [kind::API_KEY, kind::JWT, kind::PRIVATE_KEY];
        let secrets = secrets.iter().any(|kind| on[usize::from(*kind)]).then(Prefixes::build);
        let mut names = Vec::new();
        for list in &spec.names {
            names.push((kinds.len() as KindId, list.names.clone()));
            kinds.push(Kind::new(&kinds, &list.name, list.replacement.clone()));
        }
        for (index, (name, action)) in spec.actions.iter().enumerate() {
            match kinds.iter_mut().find(|kind| *kind.name == **name) {
                Some(kind) => kind.action = *action,
                None => problems.push(RulesError::Action { index }),
            }
        }
        let removes = kinds.iter().any(|kind| kind.action == Action::DropMessage);
        let placeholders = match spec.placeholders {
            Placeholders::Plain if spec.restore => Placeholders::Numbered,
            given => given,
        };
        let escapes = spec.restore && placeholders == Placeholders::Numbered;
        let markers = if escapes { Markers::build(&kinds) } else { None };
        let (finds, own) = (finds(spec, &on, escapes, &kinds), own(spec));
        let mut allowed = HashSet::new();
        for (index, value) in spec.allow.iter().enumerate() {
            let value = plain(value.as_bytes());
            if value.is_empty() || &*value == b"@" {
                problems.push(RulesError::Allow { index });
            }
            allowed.insert(value);
        }
        match Words::all() {
            Some(words) if problems.is_empty() => Ok(Rules(Arc::new(Compiled {
                allowed_lens: allowed.iter().fold(0, |bits, value| bits | len_bit(value.len())),
                kinds,
                on,
                at_digits,
                at_colon,
                digits_min: digits_min.unwrap_or(DIGITS_MIN),
                mask_answers: spec.answers == Answers::Mask,
                removes,
                attachments: spec.attachments,
                token_arrays: spec.token_arrays,
                placeholders,
                restore: spec.restore.then_some(spec.restore_arguments),
                markers,
                words,
                secrets: secrets.flatten(),
                custom,
                terms,
                names,
                allowed,
                finds,
                own,
            }))),
            _ => Err(problems),
        }
    }
}

impl Compiled {
    /// Whether this kind is looked for.
    pub(crate) fn has(&self, kind: KindId) -> bool {
        self.on.get(kind as usize).copied().unwrap_or(true)
    }

    /// The kind of a secret that begins with this prefix, if it is looked for.
    pub(crate) fn kind_of_secret(&self, prefix: usize) -> Option<KindId> {
        let own = match secret::secret(prefix) {
            Secret::Jwt => kind::JWT,
            Secret::PrivateKey => kind::PRIVATE_KEY,
            Secret::Key => kind::API_KEY,
        };
        [own, kind::API_KEY].into_iter().find(|kind| self.has(*kind))
    }

    /// Whether a match of this kind in an answer is replaced.
    pub(crate) fn masks(&self, kind: KindId) -> bool {
        let no_value = kind == kind::ATTACHMENT || kind == kind::TEXT;
        !no_value && self.kinds[usize::from(kind)].action != Action::Count
    }

    /// Whether this match may stay.
    pub(crate) fn allows(&self, text: &[u8]) -> bool {
        if self.allowed_lens == 0 {
            return false;
        }
        // Most matches are out by their length alone.
        let text = text.trim_ascii();
        let at = text.iter().position(|b| *b == b'@');
        let digits = text.iter().filter(|b| b.is_ascii_digit()).count();
        let domain = at.map_or(digits, |at| text.len() - at);
        if [text.len(), digits, domain].iter().all(|len| self.allowed_lens & len_bit(*len) == 0) {
            return false;
        }
        let value = plain(text);
        let domain = value.iter().position(|b| *b == b'@').map(|i| &value[i..]);
        self.allowed.contains(&value) || domain.is_some_and(|d| self.allowed.contains(d))
    }

    /// Whether a detector other than that of telephone numbers is asked where digits begin.
    pub(crate) fn numbers(&self) -> bool {
        self.at_digits != 0
    }

    /// Whether patterns whose matches depend on where a search begins are in use: then text is
    /// looked at in windows that lie at fixed places of the string.
    pub(crate) fn windowed(&self) -> bool {
        !self.custom.is_empty() || self.terms.is_some() || !self.names.is_empty()
    }
}

/// A number for the patterns and words of a spec, and the values that may stay.
fn own(spec: &RulesSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    spec.custom.iter().for_each(|custom| (&custom.name, &custom.pattern).hash(&mut hasher));
    spec.terms.iter().for_each(|terms| (&terms.name, &terms.words).hash(&mut hasher));
    spec.names.iter().for_each(|names| (&names.name, &names.names).hash(&mut hasher));
    spec.allow.hash(&mut hasher);
    hasher.finish()
}

/// A number for all of a spec that says what is found.
fn finds(spec: &RulesSpec, on: &[bool], escapes: bool, kinds: &[Kind]) -> u64 {
    let mut hasher = DefaultHasher::new();
    on.hash(&mut hasher);
    (spec.attachments, spec.token_arrays, escapes).hash(&mut hasher);
    own(spec).hash(&mut hasher);
    for kind in kinds {
        // Text like a placeholder is found, too; a match in a removed message is not.
        escapes.then_some(&kind.mark).hash(&mut hasher);
        (kind.action == Action::DropMessage).hash(&mut hasher);
    }
    hasher.finish()
}

fn len_bit(len: usize) -> u64 {
    1 << len.min(63)
}

fn compile_custom(
    spec: &RulesSpec,
    kinds: &mut Vec<Kind>,
    problems: &mut Vec<RulesError>,
) -> Vec<(KindId, Regex)> {
    let mut compiled = Vec::new();
    for (index, custom) in spec.custom.iter().enumerate() {
        let mut problem = |reason: String| problems.push(RulesError::Pattern { index, reason });
        if index >= CUSTOM_PATTERNS_MAX {
            problem(format!("too many patterns; give at most {CUSTOM_PATTERNS_MAX}"));
            break;
        }
        if custom.name.is_empty() {
            problem("the name is empty; give one".to_owned());
        }
        match RegexBuilder::new(&custom.pattern)
            .size_limit(CUSTOM_REGEX_BYTES_MAX)
            .dfa_size_limit(CUSTOM_REGEX_BYTES_MAX)
            .build()
        {
            Ok(regex) if regex.is_match(b"") => problem(
                "matches empty text; write `+` instead of `*`, for at least one \
                    character"
                    .to_owned(),
            ),
            Ok(regex) => {
                compiled.push((kinds.len() as KindId, regex));
                kinds.push(Kind::new(kinds, &custom.name, custom.replacement.clone()));
            }
            // The parser draws the pattern and points at the place, in several lines; the last line
            // is the reason.
            Err(error) => {
                let text = error.to_string();
                let reason = text.rsplit("error: ").next().unwrap_or(&text).trim();
                problem(format!(
                    "not a usable pattern: {reason}; write it in the syntax of Rust's regex crate"
                ));
            }
        }
    }
    compiled
}

fn compile_terms(
    spec: &RulesSpec,
    kinds: &mut Vec<Kind>,
    problems: &mut Vec<RulesError>,
) -> Option<Terms> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word_kinds = Vec::new();
    for (index, terms) in spec.terms.iter().enumerate() {
        let mut problem = |reason: String| problems.push(RulesError::Terms { index, reason });
        if index >= CUSTOM_PATTERNS_MAX || words.len() + terms.words.len() > TERMS_MAX {
            problem(format!(
                "too many words; give at most {CUSTOM_PATTERNS_MAX} lists with {TERMS_MAX} words \
                 together"
            ));
            break;
        }
        if terms.name.is_empty() || terms.words.is_empty() {
            problem("the name or the list of words is empty; give both".to_owned());
        }
        if let Some(word) =
            terms.words.iter().find(|w| w.trim().is_empty() || w.len() > super::CUSTOM_SPAN_MAX)
        {
            let bytes = if word.trim().is_empty() { 0 } else { word.len() };
            let most = super::CUSTOM_SPAN_MAX;
            problem(format!("a word of {bytes} bytes; give 1 to {most} bytes"));
            continue;
        }
        for word in &terms.words {
            let word = fold::folded(word);
            if !word.is_empty() {
                words.push(word);
                word_kinds.push(kinds.len() as KindId);
            }
        }
        kinds.push(Kind::new(kinds, &terms.name, terms.replacement.clone()));
    }
    if words.is_empty() {
        return None;
    }
    // Few words take less time, and not much more memory, with a table of every step.
    let few = words.iter().map(|word| word.len()).sum::<usize>() <= TERMS_TABLE_BYTES;
    let built = AhoCorasickBuilder::new()
        .kind(few.then_some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .start_kind(StartKind::Both)
        .build(&words);
    match built {
        Ok(automaton) => {
            let longest = words.iter().map(|word| word.len()).max().unwrap_or_default();
            Some(Terms { automaton, kinds: word_kinds, longest, pairs: Pairs::of(cases(&words)) })
        }
        Err(error) => {
            let reason = format!("not usable as a list of words: {error}; give fewer words");
            problems.push(RulesError::Terms { index: 0, reason });
            None
        }
    }
}
