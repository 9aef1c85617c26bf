//! Any bytes: what is accepted as JSON is what serde_json accepts (with UTF-8 checked and depth bounded), and a body in
//! which nothing is looked for leaves as it came.
#![no_main]

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate::redact::{Attachments, BodyRedactor, RedactError, Rules, RulesSpec, Shape};

fn rules() -> Arc<Rules> {
    static RULES: OnceLock<Arc<Rules>> = OnceLock::new();
    let spec = || RulesSpec {
        attachments: Attachments::Allow,
        ..RulesSpec::default()
    };
    Arc::clone(RULES.get_or_init(|| Arc::new(Rules::compile(&spec()).expect("rules"))))
}

fuzz_target!(|data: &[u8]| {
    let oracle = std::str::from_utf8(data).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    let mut redactor = BodyRedactor::new(rules(), Shape::Answer, false);
    let mut out = Vec::new();
    let result = redactor.push(Bytes::copy_from_slice(data), &mut out).and_then(|()| redactor.finish(&mut out));
    match result {
        Ok(()) => {
            assert!(oracle);
            let out: Vec<u8> = out.iter().flat_map(|r| r.as_bytes().to_vec()).collect();
            assert_eq!(out, data);
        }
        Err(RedactError::InvalidJson { reason, .. }) => assert!(!oracle || reason.contains("deep")),
        Err(other) => panic!("{other}"),
    }
});
