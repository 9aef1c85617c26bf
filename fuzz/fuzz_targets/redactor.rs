//! Any bytes, cut anywhere: the same outcome as in one piece; what is given out is JSON.
#![no_main]

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate::redact::{
    Attachments, BodyRedactor, CustomSpec, ENTITIES, RedactError, Rules, RulesSpec, Shape, TermsSpec,
};

fn rules(everything: bool) -> Arc<Rules> {
    static RULES: OnceLock<[Arc<Rules>; 2]> = OnceLock::new();
    let make = |everything: bool| {
        let entities: Vec<String> = ENTITIES.iter().map(|e| (*e).to_owned()).collect();
        let custom = CustomSpec { name: "c".into(), pattern: r"\bC-\d+".into(), replacement: "\"c\"".into() };
        let terms = TermsSpec { name: "t".into(), words: vec!["heron".into()], replacement: "t".into() };
        let spec = RulesSpec {
            entities: if everything { entities } else { entities[..2].to_vec() },
            attachments: Attachments::Drop,
            custom: if everything { vec![custom] } else { vec![] },
            terms: if everything { vec![terms] } else { vec![] },
            ..RulesSpec::default()
        };
        Arc::new(Rules::compile(&spec).expect("rules"))
    };
    Arc::clone(&RULES.get_or_init(|| [make(false), make(true)])[usize::from(everything)])
}

fn run(everything: bool, shape: Shape, pieces: &[&[u8]]) -> Result<Vec<u8>, RedactError> {
    let mut redactor = BodyRedactor::new(rules(everything), shape, true);
    let mut out = Vec::new();
    for piece in pieces {
        redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    redactor.finish(&mut out)?;
    Ok(out.iter().flat_map(|r| r.as_bytes().to_vec()).collect())
}

fuzz_target!(|data: &[u8]| {
    let [how, cut, data @ ..] = data else { return };
    let shape = [Shape::Chat, Shape::Responses, Shape::Messages, Shape::Other][usize::from(how % 4)];
    let everything = how & 0x80 != 0;
    let whole = run(everything, shape, &[data]);
    let size = usize::from(*cut % 32) + 1;
    let pieces: Vec<&[u8]> = data.chunks(size).collect();
    assert_eq!(whole, run(everything, shape, &pieces));
    if let Ok(out) = whole
        && !data.is_empty()
    {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok());
    }
});
