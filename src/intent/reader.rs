//! Tickets in a request body, read while it comes in.
//!
//! Pure. Keeps id, title and body of each ticket and nothing else: other fields are checked as JSON
//! and forgotten, whatever they hold. A mistake in a single ticket ends the reading; one in a
//! ticket of a batch is kept with that ticket, and the others are read. Guarantees: any cut of the
//! bytes gives the same tickets; memory is that of the texts; a name that counts and stands in one
//! object twice is a mistake. Does not: redact, or bound the length of the body.

use super::ticket::{IntentRequest, TicketId};
use crate::bounds::{BATCH_TICKETS_MAX, TICKET_ID_CHARS_MAX};
use crate::ids::OrgId;
use crate::redact::RedactError;
use crate::redact::json::{Scalar, Sink, Take, Tokenizer};

/// One ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The caller's own id of the ticket.
    pub id: Option<TicketId>,
    pub title: String,
    /// Empty if the ticket has none.
    pub body: String,
    /// A ticket of a batch that cannot be asked about.
    pub mistake: Option<Mistake>,
}

/// The problem of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// For the caller.
    pub message: String,
    /// The field that is wrong; empty where it is the whole.
    pub field: &'static str,
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
    Form(Mistake),
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
            seen: [false; FIELDS.len()],
            key: Key::Other,
            name: Vec::new(),
            id: String::new(),
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
                Unread::Form(Mistake { message: reason.clone(), field })
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
    /// A field of a ticket, by its place in [`FIELDS`].
    Field(usize),
}

/// The fields of a ticket that count.
const FIELDS: [&str; 3] = ["id", "title", "body"];
const ID: usize = 0;
const TITLE: usize = 1;

/// The field of the string at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nothing,
    Name,
    /// The value of a field, by its place in [`FIELDS`].
    Field(usize),
}

#[derive(Debug)]
struct Tickets {
    batch: bool,
    /// Objects and lists that are open.
    depth: usize,
    list_seen: bool,
    in_list: bool,
    in_ticket: bool,
    /// Which of its fields the ticket at hand has.
    seen: [bool; FIELDS.len()],
    /// The last name in the object that counts.
    key: Key,
    /// The name at hand, as far as it can be one that counts.
    name: Vec<u8>,
    /// The id at hand.
    id: String,
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

    /// A mistake in the ticket at hand. In a batch it is kept, and the other tickets are read.
    fn wrong_ticket(&mut self, message: String, field: &'static str) -> Result<(), RedactError> {
        if !self.batch {
            return self.wrong(message, field);
        }
        if let Some(ticket) = self.done.last_mut() {
            ticket.mistake.get_or_insert(Mistake { message, field });
        }
        Ok(())
    }

    /// A value stands where a ticket has to stand.
    fn no_ticket(&mut self) -> Result<(), RedactError> {
        let which = if self.batch {
            let place = self.done.len();
            self.begin_entry()?;
            format!("tickets[{place}]")
        } else {
            "a ticket".to_owned()
        };
        self.wrong_ticket(format!("{which} must be a JSON object with a `title`"), "")
    }

    /// The place of a field of the ticket at hand.
    fn field(&self, name: &str) -> String {
        match self.done.len().checked_sub(1) {
            Some(n) if self.batch => format!("tickets[{n}].{name}"),
            _ => name.to_owned(),
        }
    }

    /// The field of which the value comes, if it stands directly in the ticket.
    fn in_field(&self) -> Option<usize> {
        let direct = self.in_ticket && self.depth == if self.batch { 3 } else { 1 };
        match self.key {
            Key::Field(field) if direct => Some(field),
            _ => None,
        }
    }

    fn wrong_type(&mut self, field: usize) -> Result<(), RedactError> {
        let name = FIELDS[field];
        let place = self.field(name);
        let types = if field == ID {
            format!("a string of at most {TICKET_ID_CHARS_MAX} characters, or a whole number")
        } else {
            "a string".to_owned()
        };
        self.wrong_ticket(format!("`{place}` must be {types}"), name)
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

    fn begin_entry(&mut self) -> Result<(), RedactError> {
        if self.done.len() == BATCH_TICKETS_MAX {
            let message =
                format!("a batch has 1 to {BATCH_TICKETS_MAX} tickets; this one has more");
            return self.wrong(message, "");
        }
        self.done.push(Ticket::default());
        Ok(())
    }

    fn begin_ticket(&mut self) -> Result<(), RedactError> {
        self.begin_entry()?;
        (self.in_ticket, self.seen, self.key) = (true, [false; FIELDS.len()], Key::Other);
        Ok(())
    }

    fn end_ticket(&mut self) -> Result<(), RedactError> {
        self.in_ticket = false;
        if self.seen[TITLE] {
            return Ok(());
        }
        let field = self.field("title");
        self.wrong_ticket(format!("`{field}` is missing"), "title")
    }

    /// The id at hand is complete.
    fn end_id(&mut self, is_text: bool) -> Result<(), RedactError> {
        let text = std::mem::take(&mut self.id);
        let id = if text.chars().count() > TICKET_ID_CHARS_MAX {
            None
        } else if is_text {
            Some(TicketId::of_text(text))
        } else {
            TicketId::of_number(&text)
        };
        match (id, self.done.last_mut()) {
            (Some(id), Some(ticket)) => {
                ticket.id = Some(id);
                Ok(())
            }
            _ => self.wrong_type(ID),
        }
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
            // One character more shows that it is too long.
            At::Field(ID) => {
                let room = (TICKET_ID_CHARS_MAX + 1).saturating_sub(self.id.chars().count());
                self.id.extend(text.chars().take(room));
            }
            At::Field(field) => {
                if let Some(ticket) = self.done.last_mut() {
                    let into = if field == TITLE { &mut ticket.title } else { &mut ticket.body };
                    let before = into.capacity();
                    into.push_str(text);
                    self.kept += into.capacity() - before;
                }
            }
        }
    }

    /// A name of an object that counts has been read.
    fn named(&mut self) -> Result<(), RedactError> {
        let field = FIELDS.iter().position(|field| field.as_bytes() == self.name);
        let named = match (self.name.as_slice(), self.in_ticket) {
            (b"tickets", false) => Key::Tickets,
            (_, true) => field.map_or(Key::Other, Key::Field),
            _ => Key::Other,
        };
        self.name.clear();
        self.key = named;
        match named {
            Key::Tickets if std::mem::replace(&mut self.list_seen, true) => {
                self.wrong("`tickets` is given twice; give it once".to_owned(), "tickets")
            }
            Key::Field(field) if std::mem::replace(&mut self.seen[field], true) => {
                let (name, place) = (FIELDS[field], self.field(FIELDS[field]));
                self.wrong_ticket(format!("`{place}` is given twice; give it once"), name)
            }
            _ => Ok(()),
        }
    }

    /// Whether the ticket at hand has a mistake, so that its texts need not be kept.
    fn is_wrong(&self) -> bool {
        self.done.last().is_some_and(|ticket| ticket.mistake.is_some())
    }
}

impl Sink for Tickets {
    fn open(&mut self, object: bool, _: u64) -> Result<(), RedactError> {
        if let Some(field) = self.in_field() {
            self.wrong_type(field)?;
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
                return self.end_ticket();
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
            Some(_) if self.is_wrong() => At::Nothing,
            Some(field) => At::Field(field),
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
            At::Field(ID) => self.end_id(true),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, _: u64) -> Result<Take, RedactError> {
        self.other_value()?;
        let is_id = self.in_field() == Some(ID) && !self.is_wrong();
        Ok(if is_id { Take::Text } else { Take::Skip })
    }

    fn number(&mut self, byte: u8) {
        if self.in_field() == Some(ID) && self.id.len() <= TICKET_ID_CHARS_MAX {
            self.id.push(char::from(byte));
        }
    }

    fn scalar_end(&mut self, scalar: Scalar, _: u64) -> Result<(), RedactError> {
        match self.in_field() {
            // Like one that is not there.
            Some(field) if scalar == Scalar::Null => {
                self.seen[field] = false;
                self.key = Key::Other;
                Ok(())
            }
            Some(ID) if scalar == Scalar::Number && !self.is_wrong() => self.end_id(false),
            Some(field) => self.wrong_type(field),
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
            Unread::Form(Mistake { message, field }) => format!("{field}: {message}"),
        };
        let whole = read(batch, text.as_bytes(), text.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(read(batch, text.as_bytes(), size), whole, "{text} in pieces of {size}");
        }
        let told = |ticket: Ticket| match ticket.mistake {
            None => (ticket.title, ticket.body),
            Some(Mistake { message, field }) => (format!("{field}!"), message),
        };
        whole.map(|list| list.into_iter().map(told).collect()).map_err(message)
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
            (r#"{"title":"a"}"#, ok(&[("a", "")])),
            (r#"{"title":"a","body":null}"#, ok(&[("a", "")])),
            (r#"{"title":null,"body":"b"}"#, Err("title: `title` is missing".into())),
            (r#"{"title":7,"body":"b"}"#, Err("title: `title` must be a string".into())),
            (
                r#"{"title":{"title":"a"},"body":"b"}"#,
                Err("title: `title` must be a string".into()),
            ),
            (r#"{"title":"a","body":["b"]}"#, Err("body: `body` must be a string".into())),
            (
                r#"{"title":"a","title":"c","body":"b"}"#,
                Err("title: `title` is given twice; give it once".into()),
            ),
            (
                r#"{"title":"a","body":"b","bod\u0079":"b"}"#,
                Err("body: `body` is given twice; give it once".into()),
            ),
            ("[]", Err(": a ticket must be a JSON object with a `title`".into())),
            ("\"title\"", Err(": a ticket must be a JSON object with a `title`".into())),
            ("17", Err(": a ticket must be a JSON object with a `title`".into())),
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
                Err("tickets: `tickets` is given twice; give it once".into()),
            ),
            (
                r#"{"tickets":[{"title":"a","body":"b"},7,{"title":"c"}]}"#,
                ok(&[
                    ("a", "b"),
                    ("!", "tickets[1] must be a JSON object with a `title`"),
                    ("c", ""),
                ]),
            ),
            (
                r#"{"tickets":[["title",{"title":"x"},[]],"x",null,{"title":"a"}]}"#,
                ok(&[
                    ("!", "tickets[0] must be a JSON object with a `title`"),
                    ("!", "tickets[1] must be a JSON object with a `title`"),
                    ("!", "tickets[2] must be a JSON object with a `title`"),
                    ("a", ""),
                ]),
            ),
            (
                r#"{"tickets":[{"body":"b"},{"title":"a","body":{"title":"x"}},{"title":"c"}]}"#,
                ok(&[
                    ("title!", "`tickets[0].title` is missing"),
                    ("body!", "`tickets[1].body` must be a string"),
                    ("c", ""),
                ]),
            ),
            (
                r#"{"tickets":[{"title":1,"body":["b"]},{"title":"c","body":"d"}]}"#,
                ok(&[("title!", "`tickets[0].title` must be a string"), ("c", "d")]),
            ),
            (
                r#"{"tickets":[{"title":"a","title":"a","body":"b"},{"title":"c"}]}"#,
                ok(&[("title!", "`tickets[0].title` is given twice; give it once"), ("c", "")]),
            ),
        ] {
            assert_eq!(tickets(true, text), expected, "{text}");
        }
    }

    #[test]
    fn an_id_is_kept_as_it_is_sent() {
        let long = "😀".repeat(TICKET_ID_CHARS_MAX);
        let wrong = "id: `id` must be a string of at most 128 characters, or a whole number";
        for (id, expected) in [
            (json!("T-1"), Ok(Some(json!("T-1")))),
            (json!("ä\u{0}😀"), Ok(Some(json!("ä\u{0}😀")))),
            (json!(""), Ok(Some(json!("")))),
            (json!(4711), Ok(Some(json!(4711)))),
            (json!(-3), Ok(Some(json!(-3)))),
            (json!(u64::MAX), Ok(Some(json!(u64::MAX)))),
            (json!(null), Ok(None)),
            (json!(long), Ok(Some(json!(long)))),
            (json!(long.clone() + "x"), Err(wrong)),
            (json!(long.clone() + "😀"), Err(wrong)),
            (json!(7.0), Ok(Some(json!(7.0)))),
            (json!(1.5), Err(wrong)),
            (json!(1e20), Err(wrong)),
            (json!(18_446_744_073_709_551_616.0), Err(wrong)),
            (json!(-9_223_372_036_854_775_808.0), Err(wrong)),
            (json!(true), Err(wrong)),
            (json!([1]), Err(wrong)),
            (json!({"id": 1}), Err(wrong)),
        ] {
            let text = json!({"title": "a", "id": id}).to_string();
            for size in [1, 3, 1000] {
                let found = read(false, text.as_bytes(), size).map_err(|unread| match unread {
                    Unread::Form(Mistake { message, field }) => format!("{field}: {message}"),
                    Unread::Json(error) => error.to_string(),
                });
                let found = found.map(|mut list| list.remove(0).id.map(|id| id.to_json()));
                assert_eq!(found, expected.clone().map_err(str::to_owned), "{text}");
            }
        }
        // Also beside a mistake, and never of something deeper.
        let text =
            r#"{"tickets":[{"id":7,"body":"b"},{"title":"a","x":{"id":9}},{"id":"u","id":"v"}]}"#;
        let list = read(true, text.as_bytes(), 2).expect("good");
        let ids: Vec<_> = list.iter().map(|t| t.id.as_ref().map(TicketId::to_json)).collect();
        assert_eq!(ids, [Some(json!(7)), None, Some(json!("u"))]);
        assert_eq!(list.iter().filter(|t| t.mistake.is_some()).count(), 2);
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

    /// The result of a reader of trees.
    fn found(value: &Value) -> Option<(String, String)> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let body = match value.get("body") {
            None | Some(Value::Null) => String::new(),
            Some(_) => text("body")?,
        };
        Some((text("title")?, body)).filter(|_| value.is_object())
    }

    proptest! {
        #[test]
        fn it_finds_what_a_reader_of_trees_finds(value in any_json(), size in 1_usize..20) {
            let text = value.to_string();
            let one = read(false, text.as_bytes(), size).ok().map(|mut list| list.remove(0)).map(|t| (t.title, t.body));
            prop_assert_eq!(one, found(&value));
            let list = value.get("tickets").filter(|_| value.is_object()).and_then(Value::as_array);
            let expected: Option<Vec<_>> = list.filter(|list| !list.is_empty()).map(|list| list.iter().map(found).collect());
            let batch = read(true, text.as_bytes(), size).ok();
            let told = |t: Ticket| t.mistake.is_none().then_some((t.title, t.body));
            let batch = batch.map(|list| list.into_iter().map(told).collect::<Vec<_>>());
            prop_assert_eq!(batch, expected);
        }
    }
}
