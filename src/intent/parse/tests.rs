//! The forms in which models answer, and what is made of each.

use super::super::prompt::tests::question;
use super::*;

fn read(text: &str) -> String {
    let mut question = question(&["billing", "technical", "account access"], &["low", "vip"]);
    question.categories[0].synonyms = vec!["Refund".into(), "money back".into()];
    question.priorities[1].synonyms = vec!["urgent".into()];
    let Some(intent) = parse(text, &question) else { return "no JSON".into() };
    let show = |o: Option<String>| o.unwrap_or_else(|| "-".into());
    format!("{} {} {}", show(intent.category), show(intent.priority), intent.confidence)
}

/// Answers around the object `{"category":"billing","priority":"low","confidence":0.9}`.
const AROUND: &[&str] = &[
    r#"{"category":"billing","priority":"low","confidence":0.9}"#,
    "\u{feff} \r\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}\r\n",
    "```json\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}\n```",
    "```\r\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}\r\n```\r\nHope that \
        helps!",
    "~~~json\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}\n~~~",
    "json {\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    "Sure! Here it is: {\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9} Anything \
        else?",
    "I use {curly} words. {\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    "A {} and {\"a\":} and {\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    "The form is {\"category\": string or null}. \
        {\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    r#"{"thoughts":"hm"} {"category":"billing","priority":"low","confidence":0.9}"#,
    r#"{"thoughts":"hm","category":"billing","priority":"low","confidence":0.9,"tags":["a",{"b":1}]}"#,
    r#"{"result":{"category":"billing","priority":"low","confidence":0.9}}"#,
    r#"{"data":{"items":[{"category":"billing","priority":"low","confidence":0.9}]}}"#,
    r#"[{"category":"billing","priority":"low","confidence":0.9}]"#,
    r#"{"category":"billing","priority":"low","confidence":0.9} {"category":"technical","priority":"vip","confidence":1}"#,
    r#""{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}""#,
    "<think>It may be {\"category\":\"technical\"}.</\
        think>\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    "<thinking>hm</thinking>{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}",
    // Almost JSON.
    "{'category': 'billing', 'priority': 'low', 'confidence': 0.9}",
    "{category: \"billing\", priority: \"low\", confidence: 0.9}",
    "{category: billing, priority: low, confidence: 0.9}",
    "{“category”: “billing”, “priority”: „low“, “confidence”: 0.9}",
    "{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9,}",
    "{\"category\":\"billing\"\n\"priority\":\"low\"\n\"confidence\":0.9}",
    "{\"category\":\"billing\", // money\n\"priority\":\"low\", /* no hurry */ \"confidence\":.9}",
    "{`category`: `billing`, `priority`: `low`, `confidence`: `0.9`}",
    "dict: {'category': 'billing', 'priority': 'low', 'confidence': 0.9, 'sure': True, 'other': \
        None}",
    "{'result': {'category': 'billing', 'priority': 'low', 'confidence': 90%}}",
    "{\"category\":\"billing\",\"note\":\"two\nlines\",\"priority\":\"low\",\"confidence\":0.9}",
];

#[test]
fn what_stands_around_the_object_makes_no_difference() {
    for text in AROUND {
        assert_eq!(read(text), "billing low 0.9", "{text}");
    }
}

#[test]
fn names_are_read_in_any_dress() {
    let table = [
        (r#"{"Category":" Billing ","PRIORITY":"VIP","confidence":1}"#, "billing vip 1"),
        (r#"{" category ":"BILLING","priority":"Vip","Confidence":1}"#, "billing vip 1"),
        (r#"{"category":"\"billing\"","priority":"'low'","confidence":1}"#, "billing low 1"),
        (r#"{"category":"Billing.","priority":"**low**","confidence":1}"#, "billing low 1"),
        (r#"{"category":"<billing>","priority":"[low]","confidence":1}"#, "billing low 1"),
        (
            r#"{"category":"account_access","priority":"low","confidence":1}"#,
            "account access low 1",
        ),
        (
            r#"{"category":"Account-Access","priority":"low","confidence":1}"#,
            "account access low 1",
        ),
        // Synonyms of the policy.
        (r#"{"category":"refund","priority":"URGENT","confidence":1}"#, "billing vip 1"),
        (r#"{"category":"Money_Back","priority":"low","confidence":1}"#, "billing low 1"),
        // A value that is not configured is null, and nothing is guessed.
        (r#"{"category":"urgent","priority":"refund","confidence":1}"#, "- - 1"),
        (r#"{"category":"refunds","priority":"asap","confidence":0.9}"#, "- - 0.9"),
        (r#"{"category":"billing or technical","priority":"low-vip","confidence":1}"#, "- - 1"),
        (r#"{"category":null,"priority":null,"confidence":0.2}"#, "- - 0.2"),
        (r#"{"category":"null","priority":"none","confidence":0.2}"#, "- - 0.2"),
        (r#"{"category":"","priority":" ","confidence":0.2}"#, "- - 0.2"),
        (r#"{"category":["billing"],"priority":{"a":1},"confidence":[1]}"#, "- - 0"),
        (r#"{"category":1,"priority":true,"confidence":true}"#, "- - 0"),
        (r#"{"category":"billing"}"#, "billing - 0"),
        (r#"{"confidence":0.5}"#, "- - 0.5"),
        (r#"{"answer":42}"#, "- - 0"),
        ("{}", "- - 0"),
    ];
    for (text, expected) in table {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn confidence_is_read_in_any_dress() {
    let table = [
        ("0.75", 0.75),
        ("7", 1.0),
        ("-3", 0.0),
        ("1e-1", 0.1),
        // No JSON reader takes it for a number; as almost JSON it is one, and too large.
        ("1e400", 1.0),
        ("null", 0.0),
        ("\"0.75\"", 0.75),
        ("\" .75 \"", 0.75),
        ("\"0,8\"", 0.8),
        ("\"~0.8\"", 0.8),
        ("\"75%\"", 0.75),
        ("\"75 %\"", 0.75),
        ("\"12,5 %\"", 0.125),
        ("\"150%\"", 1.0),
        ("\"75 percent\"", 0.75),
        ("\"9/10\"", 0.9),
        ("\"0.9/1.0\"", 0.9),
        ("\"nine out of ten\"", 0.9),
        ("\"1/0\"", 0.0),
        ("\"Ninety percent\"", 0.9),
        ("\"ninety-five per cent\"", 0.95),
        ("\"a hundred percent\"", 1.0),
        ("\"zero point eight five\"", 0.85),
        ("\"point nine\"", 0.9),
        ("\"one\"", 1.0),
        ("\"half\"", 0.5),
        ("\"NaN\"", 0.0),
        ("\"inf\"", 1.0),
        ("\"-inf\"", 0.0),
        ("\"very high\"", 0.0),
        ("\"\"", 0.0),
    ];
    for (said, expected) in table {
        let text = format!(r#"{{"category":"billing","priority":"low","confidence":{said}}}"#);
        assert_eq!(read(&text), format!("billing low {expected}"), "{said}");
    }
}

#[test]
fn what_is_no_object_is_none() {
    let table = [
        "",
        " \n",
        "null",
        "[]",
        "0.9",
        "\"billing\"",
        "I think it is billing.",
        "Category: billing\nPriority: low\nConfidence: 0.9",
        "{{{{{{",
        "{curly}",
        // Cut off: nobody knows what it would have said.
        r#"{"category":"billing","priority":"low","confidence":0.4"#,
        "{'category': 'billing', 'priority': 'lo",
        // The form itself is no answer.
        r#"{"category": string or null, "priority": string or null, "confidence": number from 0 to 1}"#,
    ];
    for text in table {
        assert_eq!(read(text), "no JSON", "{text}");
    }
    assert_eq!(read(&"{".repeat(100_000)), "no JSON");
    assert_eq!(read(&"{a:[".repeat(100_000)), "no JSON");
    assert_eq!(read(&"{\"a\":".repeat(100_000)), "no JSON");
}

#[test]
fn a_reason_is_kept_where_it_is_asked_for() {
    let mut question = question(&["billing"], &["low"]);
    let text = format!(
        r#"{{"category":"billing","priority":"low","confidence":1,"reason":" a\nb{}"}}"#,
        "x".repeat(500)
    );
    assert_eq!(parse(&text, &question).expect("object").reason, None);
    question.options.reason = true;
    let reason = parse(&text, &question).expect("object").reason.expect("reason");
    assert!(reason.starts_with("a bx") && reason.chars().count() == REASON_CHARS_MAX);
    assert_eq!(
        parse(r#"{"category":"billing","reason":7}"#, &question).expect("object").reason,
        None
    );
}

proptest::proptest! {
    /// Any text of a model has a reading within the rules.
    #[test]
    fn every_answer_has_a_reading(text in "(\\PC|[{}\"':,\\[\\]]){0,80}", around in 0usize..AROUND.len(), at in 0usize..200) {
        let mut mixed = AROUND[around].to_owned();
        let at = (0..=at.min(mixed.len())).rev().find(|at| mixed.is_char_boundary(*at)).unwrap_or(0);
        mixed.insert_str(at, &text);
        for text in [&text, &mixed] {
            let question = question(&["billing"], &["low"]);
            if let Some(intent) = parse(text, &question) {
                assert!((0.0..=1.0).contains(&intent.confidence));
                assert!(intent.category.is_none_or(|c| c == "billing") && intent.priority.is_none_or(|p| p == "low"));
            }
        }
    }
}
