//! Tickets in a request body, read while it comes in.
//!
//! Pure. Keeps the title and the body of each ticket and nothing else: other fields are checked as
//! JSON and forgotten, whatever they hold, and reading ends at the first mistake. Promises: any cut
//! of the bytes gives the same tickets; memory is that of the texts; a name that counts and stands
//! in one object twice is a mistake. Does not: redact, or bound the length of the body.

use super::ticket::IntentRequest;
use crate::bounds::BATCH_TICKETS_MAX;
use crate::ids::OrgId;
use crate::redact::RedactError;
use crate::redact::json::{Scalar, Sink, Take, Tokenizer};

/// One ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub title: String,
    pub body: String,
}

impl Ticket {
    /// The ticket as one of an organisation.
    pub fn of(self, org: &OrgId) -> IntentRequest {
        IntentRequest { title: self.title, body: self.body, org_id: org.clone() }
    }
}

/// Why a body holds no tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not JSON.
    Json(RedactError),
    /// It has another form.
    Form {
        /// For the caller.
        message: String,
        /// The field that is wrong; empty where it is the whole.
        field: &'static str,
    },
}

/// Reads the tickets of one body.
#[derive(Debug)]
pub struct Reader {
    tokenizer: Tokenizer,
    tickets: Tickets,
}

impl Reader {
    /// Of a body that is one ticket.
    pub fn one() -> Reader {
        Reader::new(false)
    }

    /// Of a body with a list `tickets`.
    pub fn batch() -> Reader {
        Reader::new(true)
    }

    fn new(batch: bool) -> Reader {
        let tickets = Tickets {
            batch,
            depth: 0,
            list_seen: false,
            in_list: false,
            in_ticket: false,
            seen: [false; 2],
            key: Key::Other,
            name: Vec::new(),
            at: At::Nothing,
            done: Vec::new(),
            kept: 0,
            wrong: None,
        };
        Reader { tokenizer: Tokenizer::new(), tickets }
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// See [`Unread`]. After an error nothing more is asked.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Unread> {
        let pushed = self.tokenizer.push(piece, &mut self.tickets);
        pushed.map_err(|error| self.unread(&error))
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.tickets.kept
    }

    /// The body is complete: its tickets, at least one.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn finish(mut self) -> Result<Vec<Ticket>, Unread> {
        let finished = self.tokenizer.finish(&mut self.tickets);
        finished.map_err(|error| self.unread(&error))?;
        Ok(self.tickets.done)
    }

    fn unread(&mut self, error: &RedactError) -> Unread {
        match (self.tickets.wrong.take(), error) {
            (Some(field), RedactError::InvalidRequest { reason }) => {
                Unread::Form { message: reason.clone(), field }
            }
            _ => Unread::Json(error.clone()),
        }
    }
}

/// A name that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Other,
    Tickets,
    Title,
    Body,
}

/// What the string at hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nothing,
    Name,
    Title,
    Body,
}

#[derive(Debug)]
struct Tickets {
    batch: bool,
    /// Objects and lists that are open.
    depth: usize,
    list_seen: bool,
    in_list: bool,
    in_ticket: bool,
    /// Whether the ticket at hand has its title, and its body.
    seen: [bool; 2],
    /// The last name in the object that counts.
    key: Key,
    /// The name at hand, as far as it can be one that counts.
    name: Vec<u8>,
    at: At,
    done: Vec<Ticket>,
    kept: usize,
    /// The field of the mistake that was found.
    wrong: Option<&'static str>,
}

/// The longest name that counts has so many bytes.
const NAME_BYTES_MAX: usize = 7;

impl Tickets {
    fn wrong<T>(&mut self, message: String, field: &'static str) -> Result<T, RedactError> {
        self.wrong = Some(if self.batch { "tickets" } else { field });
        Err(RedactError::InvalidRequest { reason: message })
    }

    fn no_batch<T>(&mut self) -> Result<T, RedactError> {
        self.wrong("a batch is a JSON object with `tickets`, a list of tickets".to_owned(), "")
    }

    fn no_ticket<T>(&mut self) -> Result<T, RedactError> {
        let which = if self.batch {
            format!("tickets[{}]", self.done.len())
        } else {
            "a ticket".to_owned()
        };
        self.wrong(format!("{which} must be a JSON object with `title` and `body`"), "")
    }

    /// The place of a field of the ticket at hand.
    fn field(&self, name: &str) -> String {
        match self.done.len().checked_sub(1) {
            Some(n) if self.batch => format!("tickets[{n}].{name}"),
            _ => name.to_owned(),
        }
    }

    /// Whether what comes stands directly in the ticket, and under which name.
    fn in_field(&self) -> Option<(usize, &'static str)> {
        let direct = self.in_ticket && self.depth == if self.batch { 3 } else { 1 };
        match self.key {
            Key::Title if direct => Some((0, "title")),
            Key::Body if direct => Some((1, "body")),
            _ => None,
        }
    }

    fn no_text<T>(&mut self, name: &'static str) -> Result<T, RedactError> {
        let field = self.field(name);
        self.wrong(format!("`{field}` must be a string"), name)
    }

    /// A value that is no object begins where a ticket, the list of them or a text has to stand.
    fn other_value(&mut self) -> Result<(), RedactError> {
        match (self.depth, self.batch) {
            (0, true) => self.no_batch(),
            (0, false) => self.no_ticket(),
            (1, true) if self.key == Key::Tickets => self.no_batch(),
            (2, true) if self.in_list => self.no_ticket(),
            _ => Ok(()),
        }
    }

    fn begin_ticket(&mut self) -> Result<(), RedactError> {
        if self.done.len() == BATCH_TICKETS_MAX {
            let message =
                format!("a batch has 1 to {BATCH_TICKETS_MAX} tickets; this one has more");
            return self.wrong(message, "");
        }
        self.done.push(Ticket::default());
        (self.in_ticket, self.seen, self.key) = (true, [false; 2], Key::Other);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        match self.at {
            At::Nothing => {}
            At::Name => {
                if self.name.len() <= NAME_BYTES_MAX {
                    let room = (NAME_BYTES_MAX + 1 - self.name.len()).min(text.len());
                    self.name.extend_from_slice(&text.as_bytes()[..room]);
                }
            }
            At::Title | At::Body => {
                if let Some(ticket) = self.done.last_mut() {
                    let into =
                        if self.at == At::Title { &mut ticket.title } else { &mut ticket.body };
                    let before = into.capacity();
                    into.push_str(text);
                    self.kept += into.capacity() - before;
                }
            }
        }
    }

    /// A name of an object that counts has been read.
    fn named(&mut self) -> Result<(), RedactError> {
        let named = match (self.name.as_slice(), self.in_ticket) {
            (b"tickets", false) => Key::Tickets,
            (b"title", true) => Key::Title,
            (b"body", true) => Key::Body,
            _ => Key::Other,
        };
        self.name.clear();
        self.key = named;
        let twice = match named {
            Key::Other => return Ok(()),
            Key::Tickets => std::mem::replace(&mut self.list_seen, true)
                .then_some(("tickets".to_owned(), "tickets")),
            Key::Title => {
                std::mem::replace(&mut self.seen[0], true).then(|| (self.field("title"), "title"))
            }
            Key::Body => {
                std::mem::replace(&mut self.seen[1], true).then(|| (self.field("body"), "body"))
            }
        };
        match twice {
            Some((field, name)) => {
                self.wrong(format!("`{field}` is there twice; give it once"), name)
            }
            None => Ok(()),
        }
    }
}

impl Sink for Tickets {
    fn open(&mut self, object: bool, _: u64) -> Result<(), RedactError> {
        if let Some((_, name)) = self.in_field() {
            return self.no_text(name);
        }
        let is_list = self.batch && self.depth == 1 && self.key == Key::Tickets;
        if is_list == object {
            self.other_value()?;
        } else if is_list {
            self.in_list = true;
        } else if self.depth == if self.batch { 2 } else { 0 } && (self.in_list || !self.batch) {
            self.begin_ticket()?;
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, _: u64) -> Result<(), RedactError> {
        self.depth -= 1;
        match (self.batch, self.depth) {
            (true, 2) | (false, 0) if self.in_ticket => {
                self.in_ticket = false;
                for (seen, name) in self.seen.into_iter().zip(["title", "body"]) {
                    if !seen {
                        let field = self.field(name);
                        return self.wrong(format!("`{field}` is missing"), name);
                    }
                }
            }
            (true, 1) => self.in_list = false,
            (true, 0) if !self.list_seen => return self.no_batch(),
            (true, 0) if self.done.is_empty() => {
                let message =
                    format!("a batch has 1 to {BATCH_TICKETS_MAX} tickets; this one has 0");
                return self.wrong(message, "");
            }
            _ => {}
        }
        Ok(())
    }

    fn string(&mut self, key: bool, _: u64) -> Result<Take, RedactError> {
        self.at = match self.in_field() {
            _ if key => {
                let counts = match (self.batch, self.in_ticket) {
                    (true, true) => self.depth == 3,
                    (_, in_ticket) => self.depth == 1 && in_ticket != self.batch,
                };
                if counts { At::Name } else { At::Nothing }
            }
            Some((0, _)) => At::Title,
            Some(_) => At::Body,
            None => {
                self.other_value()?;
                At::Nothing
            }
        };
        Ok(if self.at == At::Nothing { Take::Skip } else { Take::Text })
    }

    fn plain(&mut self, text: &[u8], _: u64, _: bool) -> Result<(), RedactError> {
        // ASCII, says the tokenizer.
        self.text(std::str::from_utf8(text).unwrap_or_default());
        Ok(())
    }

    fn wide(&mut self, text: &str, _: u64) -> Result<(), RedactError> {
        self.text(text);
        Ok(())
    }

    fn char(&mut self, c: Option<char>, _: u64, _: u64) -> Result<(), RedactError> {
        self.text(c.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn string_end(&mut self, _: u64) -> Result<(), RedactError> {
        match std::mem::replace(&mut self.at, At::Nothing) {
            At::Name => self.named(),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, _: u64) -> Result<Take, RedactError> {
        self.other_value()?;
        Ok(Take::Skip)
    }

    fn scalar_end(&mut self, scalar: Scalar, _: u64) -> Result<(), RedactError> {
        match self.in_field() {
            // Like one that is not there.
            Some((which, _)) if scalar == Scalar::Null => {
                self.seen[which] = false;
                self.key = Key::Other;
                Ok(())
            }
            Some((_, name)) => self.no_text(name),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(batch: bool, text: &[u8], size: usize) -> Result<Vec<Ticket>, Unread> {
        let mut reader = Reader::new(batch);
        text.chunks(size).try_for_each(|piece| reader.push(piece))?;
        reader.finish()
    }

    /// However it is cut.
    fn tickets(batch: bool, text: &str) -> Result<Vec<(String, String)>, String> {
        let message = |unread| match unread {
            Unread::Json(_) => "no JSON".to_owned(),
            Unread::Form { message, field } => format!("{field}: {message}"),
        };
        let whole = read(batch, text.as_bytes(), text.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(read(batch, text.as_bytes(), size), whole, "{text} in pieces of {size}");
        }
        whole.map(|list| list.into_iter().map(|t| (t.title, t.body)).collect()).map_err(message)
    }

    fn ok(list: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(list.iter().map(|(title, body)| ((*title).to_owned(), (*body).to_owned())).collect())
    }

    #[test]
    fn one_ticket() {
        for (text, expected) in [
            (r#"{"title":"a","body":"b"}"#, ok(&[("a", "b")])),
            (
                r#" { "body" : "" , "title" : "\u00e4\n\ud83d\ude00ö\"\\" } "#,
                ok(&[("ä\n😀ö\"\\", "")]),
            ),
            (
                r#"{"t\u0069tle":"a","body":"b","x":{"title":1,"body":[{"title":2}]},"y":[[],{}],"z":null}"#,
                ok(&[("a", "b")]),
            ),
            (r#"{"title":"\ud800","body":"b"}"#, ok(&[("\u{fffd}", "b")])),
            (r#"{"title":null,"body":"b","title":"a"}"#, ok(&[("a", "b")])),
            (r#"{"x":{"tickets":[]},"tickets":[1],"title":"a","body":"b"}"#, ok(&[("a", "b")])),
            (r#"{"title":"a"}"#, Err("body: `body` is missing".into())),
            (r#"{"title":null,"body":"b"}"#, Err("title: `title` is missing".into())),
            (r#"{"title":7,"body":"b"}"#, Err("title: `title` must be a string".into())),
            (
                r#"{"title":{"title":"a"},"body":"b"}"#,
                Err("title: `title` must be a string".into()),
            ),
            (r#"{"title":"a","body":["b"]}"#, Err("body: `body` must be a string".into())),
            (
                r#"{"title":"a","title":"c","body":"b"}"#,
                Err("title: `title` is there twice; give it once".into()),
            ),
            (
                r#"{"title":"a","body":"b","bod\u0079":"b"}"#,
                Err("body: `body` is there twice; give it once".into()),
            ),
            ("[]", Err(": a ticket must be a JSON object with `title` and `body`".into())),
            ("\"title\"", Err(": a ticket must be a JSON object with `title` and `body`".into())),
            ("17", Err(": a ticket must be a JSON object with `title` and `body`".into())),
            ("{}", Err("title: `title` is missing".into())),
            ("", Err("no JSON".into())),
            (r#"{"title":"a","body":"b""#, Err("no JSON".into())),
            (r#"{"title":"a","body":"b"}{}"#, Err("no JSON".into())),
            (r#"{"title":"a","body":"b","x":01}"#, Err("no JSON".into())),
        ] {
            assert_eq!(tickets(false, text), expected, "{text}");
        }
    }

    #[test]
    fn a_batch_of_tickets() {
        let list = "a batch is a JSON object with `tickets`, a list of tickets";
        for (text, expected) in [
            (
                r#"{"tickets":[{"title":"a","body":"b"},{"body":"d","title":"c"}]}"#,
                ok(&[("a", "b"), ("c", "d")]),
            ),
            (
                r#"{"title":"x","x":[{"title":"y"},{"tickets":[1]}],"tickets":[{"title":"a","body":"b","tickets":[{}]}],"z":[{}]}"#,
                ok(&[("a", "b")]),
            ),
            (
                r#"{"tickets":[]}"#,
                Err("tickets: a batch has 1 to 100 tickets; this one has 0".into()),
            ),
            (r#"{"tickets":{}}"#, Err(format!("tickets: {list}"))),
            (r#"{"tickets":null}"#, Err(format!("tickets: {list}"))),
            (r#"{"tickets":"x"}"#, Err(format!("tickets: {list}"))),
            ("{}", Err(format!("tickets: {list}"))),
            ("[]", Err(format!("tickets: {list}"))),
            ("null", Err(format!("tickets: {list}"))),
            (r#"[{"title":"a","body":"b"}]"#, Err(format!("tickets: {list}"))),
            (r#"{"x":[{"title":"a","body":"b"}]}"#, Err(format!("tickets: {list}"))),
            (
                r#"{"tickets":[],"tickets":[]}"#,
                Err("tickets: `tickets` is there twice; give it once".into()),
            ),
            (
                r#"{"tickets":[{"title":"a","body":"b"},7]}"#,
                Err("tickets: tickets[1] must be a JSON object with `title` and `body`".into()),
            ),
            (
                r#"{"tickets":[["title"]]}"#,
                Err("tickets: tickets[0] must be a JSON object with `title` and `body`".into()),
            ),
            (
                r#"{"tickets":[{"title":"a","body":"b"},{"title":"a"}]}"#,
                Err("tickets: `tickets[1].body` is missing".into()),
            ),
            (
                r#"{"tickets":[{"title":1,"body":"b"}]}"#,
                Err("tickets: `tickets[0].title` must be a string".into()),
            ),
            (
                r#"{"tickets":[{"title":"a","title":"a","body":"b"}]}"#,
                Err("tickets: `tickets[0].title` is there twice; give it once".into()),
            ),
        ] {
            assert_eq!(tickets(true, text), expected, "{text}");
        }
    }

    #[test]
    fn reading_ends_at_the_bound_and_keeps_no_more_than_the_texts() {
        let many =
            |n: usize| json!({"tickets": vec![json!({"title": "x", "body": "y"}); n]}).to_string();
        assert_eq!(
            tickets(true, &many(BATCH_TICKETS_MAX)).map(|list| list.len()),
            Ok(BATCH_TICKETS_MAX)
        );
        let more = "tickets: a batch has 1 to 100 tickets; this one has more".to_owned();
        assert_eq!(tickets(true, &many(BATCH_TICKETS_MAX + 1)), Err(more));
        // It is told before the end has come.
        let mut reader = Reader::batch();
        assert!(reader.push(b"{\"tickets\":[").is_ok());
        let mut taken = 0;
        while reader.push(b"{\"title\":\"x\",\"body\":\"y\"},").is_ok() {
            taken += 1;
        }
        assert_eq!(taken, BATCH_TICKETS_MAX);

        // Megabytes of other fields, before, within and behind the tickets.
        let junk = vec![json!({"a": 0, "title": "zzzz"}); 20_000];
        let text = json!({
            "a": junk,
            "tickets": [{"title": "x", "body": "y", "junk": junk}],
            "z": junk,
        })
        .to_string();
        let mut reader = Reader::batch();
        for piece in text.as_bytes().chunks(1000) {
            reader.push(piece).expect("good");
            assert!(reader.bytes() <= 16, "{}", reader.bytes());
        }
        assert_eq!(reader.finish().expect("good").len(), 1);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-zäö\"\\\\]{0,6}".prop_map(Value::from),
            Just(json!("title")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let name = prop_oneof![
                Just("title"),
                Just("body"),
                Just("tickets"),
                Just("x"),
                Just("titles")
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((name, inner), 0..4).prop_map(|fields| {
                    Value::Object(
                        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                    )
                }),
            ]
        })
    }

    /// What a reader of trees finds.
    fn found(value: &Value) -> Option<(String, String)> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some((text("title")?, text("body")?)).filter(|_| value.is_object())
    }

    proptest! {
        #[test]
        fn it_finds_what_a_reader_of_trees_finds(value in any_json(), size in 1_usize..20) {
            let text = value.to_string();
            let one = read(false, text.as_bytes(), size).ok().map(|mut list| list.remove(0)).map(|t| (t.title, t.body));
            prop_assert_eq!(one, found(&value));
            let list = value.get("tickets").filter(|_| value.is_object()).and_then(Value::as_array);
            let expected: Option<Vec<_>> = list.filter(|list| !list.is_empty()).and_then(|list| list.iter().map(found).collect());
            let batch = read(true, text.as_bytes(), size).ok();
            let batch = batch.map(|list| list.into_iter().map(|t| (t.title, t.body)).collect::<Vec<_>>());
            prop_assert_eq!(batch, expected);
        }
    }
}
