//! The encodings of OpenAI's models: token ids to text.
//!
//! Pure. `embeddings` and `completions` take text as token ids, too, and clients use that
//! (LangChain does so unless it is told not to). The redactor reads them with these tables.
//!
//! Guarantees: every token of `cl100k_base`, `o200k_base` and `p50k_base` (of which `r50k_base` and
//! `gpt2` are the beginning) stands for its exact bytes; a model that is not listed has no
//! encoding. A table is unpacked when it is needed first (cl100k: 1.1 MB). Special tokens
//! (`<|endoftext|>`) are no text and are unknown here. Does not encode, or count tokens.
//!
//! # Source
//! OpenAI's tiktoken, the files of SHA-256 223921b7… (cl100k), 446a9538… (o200k) and 94b5ca7d…
//! (p50k), as `tiktoken-rs` 0.12.1 has them; the tests hold every token against that crate. A table
//! has a byte for the length of each token and then all tokens, deflated.

use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::DeflateDecoder;
use tollgate_redact::{Encodings, Vocabulary};

/// The encodings of OpenAI's models.
#[derive(Clone, Copy, Debug)]
pub struct OpenAi;

/// The tokens of an encoding, by their ids.
#[derive(Debug)]
struct Table {
    name: &'static str,
    tokens: LazyLock<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    bytes: Vec<u8>,
    /// Where each token begins, and at last where they end.
    begin: Vec<u32>,
}

static CL100K: Table = Table {
    name: "cl100k_base",
    tokens: LazyLock::new(|| unpacked(include_bytes!("cl100k_base.bin"), 100_256)),
};
static O200K: Table = Table {
    name: "o200k_base",
    tokens: LazyLock::new(|| unpacked(include_bytes!("o200k_base.bin"), 199_998)),
};
static P50K: Table = Table {
    name: "p50k_base",
    tokens: LazyLock::new(|| unpacked(include_bytes!("p50k_base.bin"), 50_281)),
};

/// A table of `count` tokens; empty if it is damaged, so that no token is known.
fn unpacked(packed: &[u8], count: usize) -> Tokens {
    let mut lengths = vec![0; count];
    let mut bytes = Vec::new();
    let mut from = DeflateDecoder::new(packed);
    if from.read_exact(&mut lengths).is_err() || from.read_to_end(&mut bytes).is_err() {
        return Tokens::default();
    }
    let mut at = 0;
    let mut begin = Vec::with_capacity(count + 1);
    for length in lengths {
        begin.push(at);
        at += u32::from(length);
    }
    begin.push(at);
    Tokens { bytes, begin }
}

impl Vocabulary for Table {
    fn name(&self) -> &'static str {
        self.name
    }

    fn bytes_of(&self, token: u32) -> Option<&[u8]> {
        let at = usize::try_from(token).ok()?;
        let (from, to) = (*self.tokens.begin.get(at)?, *self.tokens.begin.get(at + 1)?);
        self.tokens.bytes.get(from as usize..to as usize).filter(|bytes| !bytes.is_empty())
    }
}

impl Encodings for OpenAi {
    fn of_model(&self, model: &str) -> Option<&'static dyn Vocabulary> {
        // A router's name has the maker before it: `openai/text-embedding-3-small`.
        let name = model.strip_prefix("openai/").unwrap_or(model);
        // A model of one's own: `ft:gpt-4o:organisation:name:id`.
        let name =
            name.strip_prefix("ft:").map_or(name, |own| own.split(':').next().unwrap_or(own));
        let exact = MODELS.iter().find(|(known, _)| *known == name);
        let family = || FAMILIES.iter().find(|(begin, _)| name.starts_with(begin));
        let (_, table) = exact.or_else(family)?;
        Some(*table)
    }

    fn usual(&self) -> &'static dyn Vocabulary {
        // All models of `embeddings` and `completions` that are still served have it.
        &CL100K
    }
}

/// Beginnings of names.
const FAMILIES: &[(&str, &Table)] = &[
    ("o1-", &O200K),
    ("o3-", &O200K),
    ("o4-mini-", &O200K),
    ("gpt-5", &O200K),
    ("gpt-4.5-", &O200K),
    ("gpt-4.1-", &O200K),
    ("chatgpt-4o-", &O200K),
    ("gpt-4o-", &O200K),
    ("gpt-oss-", &O200K),
    ("codex-mini", &O200K),
    ("gpt-4-", &CL100K),
    ("gpt-3.5-turbo-", &CL100K),
    ("gpt-35-turbo-", &CL100K),
];

/// Whole names.
const MODELS: &[(&str, &Table)] = &[
    ("o1", &O200K),
    ("o3", &O200K),
    ("o4-mini", &O200K),
    ("gpt-4.1", &O200K),
    ("gpt-4o", &O200K),
    ("gpt-4", &CL100K),
    ("gpt-3.5-turbo", &CL100K),
    ("gpt-35-turbo", &CL100K),
    ("davinci-002", &CL100K),
    ("babbage-002", &CL100K),
    ("text-embedding-ada-002", &CL100K),
    ("text-embedding-3-small", &CL100K),
    ("text-embedding-3-large", &CL100K),
    ("text-davinci-003", &P50K),
    ("text-davinci-002", &P50K),
    ("text-davinci-001", &P50K),
    ("text-curie-001", &P50K),
    ("text-babbage-001", &P50K),
    ("text-ada-001", &P50K),
    ("davinci", &P50K),
    ("curie", &P50K),
    ("babbage", &P50K),
    ("ada", &P50K),
    ("code-davinci-002", &P50K),
    ("code-davinci-001", &P50K),
    ("code-cushman-002", &P50K),
    ("code-cushman-001", &P50K),
    ("gpt2", &P50K),
    ("gpt-2", &P50K),
];

#[cfg(test)]
mod tests {
    use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};
    use tiktoken_rs::{CoreBPE, cl100k_base, o200k_base, p50k_base};

    use super::*;

    /// Each token of the reference, and none beside.
    fn check(table: &'static Table, reference: &CoreBPE, count: u32, unknown: &[u32]) {
        for token in 0..count {
            let expected = reference.decode_bytes(&[token]).expect("a token");
            let found = table.bytes_of(token);
            if unknown.contains(&token) {
                assert_eq!(found, None, "{} {token} is special", table.name);
            } else {
                assert_eq!(found, Some(&*expected), "{} {token}", table.name);
            }
        }
        for token in [count, count + 1, 1_000_000, u32::MAX] {
            assert_eq!(table.bytes_of(token), None, "{} {token}", table.name);
        }
    }

    #[test]
    fn every_token_stands_for_its_bytes() {
        check(&CL100K, &cl100k_base().expect("cl100k"), 100_256, &[]);
        check(&O200K, &o200k_base().expect("o200k"), 199_998, &[]);
        check(&P50K, &p50k_base().expect("p50k"), 50_281, &[50_256]);
    }

    #[test]
    fn models_have_the_encoding_that_openai_gives_them() {
        let names = MODELS.iter().chain(FAMILIES).map(|(name, _)| (*name).to_owned());
        let more = [
            "gpt-5.6-terra",
            "gpt-4o-mini",
            "gpt-4-0613",
            "gpt-3.5-turbo-instruct",
            "gpt-6",
            "o4",
            "text-embedding-4",
            "bge-m3",
            "",
            "ft:gpt-4o:org:name:id",
            "ft:davinci-002:org",
            "ft:bge-m3:x",
            "text-embedding-3-small-x",
        ];
        for name in names.chain(more.map(str::to_owned)) {
            let expected = get_tokenizer(&name).map(|tokenizer| match tokenizer {
                Tokenizer::Cl100kBase => "cl100k_base",
                Tokenizer::O200kBase | Tokenizer::O200kHarmony => "o200k_base",
                _ => "p50k_base",
            });
            let found = OpenAi.of_model(&name).map(Vocabulary::name);
            assert_eq!(found, expected, "{name}");
        }
        let routed = OpenAi.of_model("openai/text-embedding-3-small").map(Vocabulary::name);
        assert_eq!(routed, Some("cl100k_base"));
        assert!(OpenAi.of_model("else/text-embedding-3-small").is_none());
    }
}
