//! Texts that people send, made anew in every run from a seed: logs, tables, code, conversations.
//!
//! Two sets of the same kinds: the redactor is tuned with the first, and figures are taken from the
//! second, which has other seeds and other shapes of lines. The same bytes on every machine.

/// A kind of text: its name, its lines in the first set and in the second one.
struct Kind(&'static str, &'static [&'static str], &'static [&'static str]);

/// Which texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Tuning,
    Report,
}

/// Makes all texts of a set. Each has at least so many bytes, and stands beside its name.
pub fn all(set: Set, bytes: usize) -> Vec<(&'static str, String)> {
    let texts = KINDS.iter().enumerate().map(|(i, Kind(name, tuning, report))| {
        let (lines, seed) = match set {
            Set::Tuning => (tuning, 0x51_7C_C1 + i as u64),
            Set::Report => (report, 0xB7_27_22 + i as u64),
        };
        (*name, text(lines, seed, bytes))
    });
    texts.collect()
}

fn text(lines: &[&str], seed: u64, bytes: usize) -> String {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut text = String::with_capacity(bytes + 512);
    while text.len() < bytes {
        let line = lines[random.below(lines.len())];
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('<') {
            text.push_str(before);
            let (field, after) = after.split_once('>').unwrap_or((after, ""));
            random.field(field, &mut text);
            rest = after;
        }
        text.push_str(rest);
    }
    text
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % n as u64) as usize
    }

    /// Writes what stands in the place of a field: `d4` four digits, `n5` a number of one to five,
    /// `x8` hex digits, `b60` base64, `o` a byte as a number, `m`, `t`, `s` a month or a day of it,
    /// an hour, a minute or a second, `w` a word, `f` and `l` the names of a person.
    fn field(&mut self, field: &str, text: &mut String) {
        let (kind, count) = field.split_at(1);
        let count = count.parse().unwrap_or(1);
        let two = |n: usize| format!("{n:02}");
        match kind {
            "d" => (0..count).for_each(|_| self.one(DIGITS, text)),
            "n" => {
                self.one(&DIGITS[1..], text);
                let more = self.below(count);
                (0..more).for_each(|_| self.one(DIGITS, text));
            }
            "x" => (0..count).for_each(|_| self.one(HEX, text)),
            "b" => (0..count).for_each(|_| self.one(BASE64, text)),
            "o" => text.push_str(&self.below(256).to_string()),
            "m" => text.push_str(&two(1 + self.below(12))),
            "t" => text.push_str(&two(self.below(24))),
            "s" => text.push_str(&two(self.below(60))),
            "f" => text.push_str(FIRST[self.below(FIRST.len())]),
            "l" => text.push_str(LAST[self.below(LAST.len())]),
            _ => text.push_str(WORDS[self.below(WORDS.len())]),
        }
    }

    fn one(&mut self, of: &[u8], text: &mut String) {
        text.push(char::from(of[self.below(of.len())]));
    }
}

const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FIRST: &[&str] =
    &["Anna", "Boris", "Chen", "Dora", "Emil", "Fatima", "Jane", "Kofi", "Luis", "Mia", "Yuki"];
const LAST: &[&str] =
    &["Adler", "Brown", "Costa", "Diaz", "Eriksen", "Moreau", "Novak", "Okafor", "Rossi", "Wang"];
const WORDS: &[&str] = &[
    "the", "meeting", "was", "moved", "because", "of", "a", "room", "that", "we", "could", "not",
    "get", "and", "so", "summary", "is", "written", "together", "for", "everyone", "who", "asked",
    "in", "time", "result", "between", "question", "answer", "document", "change", "later",
    "other", "value", "with", "under", "to", "each", "part", "table", "reason", "example",
    "service",
];

const KINDS: &[Kind] = &[
    Kind(
        "prose",
        &["<w> <w> <w> <w>, <w> <w> <w> <w> <w>. ", "<w> <w> <w> <w> <w> <w> <w>.\n"],
        &["<w> <w> <w> <w> <w> <w> (<w> <w>) <w>; ", "<w> <w> <w>: “<w> <w> <w>”, <w> <w>. "],
    ),
    Kind(
        "code",
        &[
            "    let <w>_<w> = <w>.get(<n2>).unwrap_or(0x<x4>);\n",
            "fn <w>_<w>(<w>: &str, <w>: usize) -> Option<w> {\n    if <w> >= <n3> { return None; }\n}\n",
            "// <w> <w> <w> <w> <w>: see <w>.rs, line <n3>\n",
            "const <w>: [u32; 4] = [<n5>, <n4>, <n6>, <n2>];\n",
        ],
        &[
            "  def <w>(self, <w>=None, *<w>):\n    return self.<w>[<n2>:<n3>] % <n2> == 0\n",
            "  for (int i = 0; i < <n3>; i++) { <w>[i] = <w>(i, <n2>.<n1>f) << <n1>; }\n",
            "  \"<w>\": { \"version\": \"^<n1>.<n2>.<n1>\", \"size\": <n5> },\n",
            "@decorator\nclass <w>(<w>.<w>):  # <w> <w>, issue #<n4>\n",
        ],
    ),
    Kind(
        "app log",
        &["2026-<m>-1<d1>T<t>:<s>:<s>.<d3>Z id=<d9> took <n3>ms <o>.<o>.<o>.<o>\n"],
        &[
            "[2026/<m>/0<d1> <t>:<s>:<s>,<d3>] INFO <w>.<w> - job <d8> done in <n5> us on <o>.<o>.<o>.<o>:<d4>\n",
        ],
    ),
    Kind(
        "access log",
        &[
            "<o>.<o>.<o>.<o> - - [1<d1>/Nov/2026:<t>:<s>:<s> +0000] \"GET /<w>/<n6>?page=<n2> HTTP/1.1\" 200 <n6> \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:<n2>.0) Firefox/<n3>.0\"\n",
        ],
        &[
            "2026-<m>-2<d1> <t>:<s>:<s> <o>.<o>.<o>.<o> POST /api/v<n1>/<w>/<x24> - 443 - <o>.<o>.<o>.<o> curl/8.<n1>.0 - 20<d1> 0 0 <n5>\n",
            "fe80::<x4>:<x4>:<x4> - <w> [0<d1>/Oct/2026:<t>:<s>:<s> -0700] \"PUT /<w>/<d8>.png HTTP/2.0\" 304 0 <n1>.<d3>\n",
        ],
    ),
    Kind(
        "JSON log",
        &[
            "{\"ts\":\"2026-<m>-1<d1>T<t>:<s>:<s>.<d6>Z\",\"level\":\"info\",\"trace_id\":\"<x32>\",\"status\":200,\"ms\":<n3>,\"bytes\":<n6>}\n",
        ],
        &[
            "{\"time\":17<d8>,\"msg\":\"<w> <w>\",\"pod\":\"<w>-<x10>-<x5>\",\"duration\":<n1>.<d6>,\"req\":\"<x8>-<x4>-4<x3>-a<x3>-<x12>\"}\n",
            "{\"@t\":\"2026-<m>-0<d1> <t>:<s>:<s>.<d3>\",\"user\":<n7>,\"count\":<n4>,\"tags\":[<n2>,<n3>,<n1>]}\n",
        ],
    ),
    Kind(
        "CSV",
        &["<n6>,2026-<m>-1<d1>,<w>,<n3>,<n4>.<d2>,<d5>,<w> <w>\n"],
        &["\"<d8>\";<n2>.<m>.2026;\"<w> <w>\";<n1>.<d3>,<d2>;<n2>;<x6>;-<n3>.<d4>\n"],
    ),
    Kind(
        "price table",
        &["| <w> <w> | <n3>.<d2> | <n2> | <n4>.<d2> | 19% | <n5>.<d2> |\n"],
        &[
            "<w>\t<n2> x $<n1>,<d3>.<d2>\t<n2>%\t$<n2>,<d3>.<d2>\tSKU <d4>-<d3>\n",
            "Total: <n1> <d3> <d3>,<d2> EUR (<n2> <w>)\n",
        ],
    ),
    Kind(
        "UUIDs",
        &["<x8>-<x4>-4<x3>-a<x3>-<x12>\n"],
        &["urn:uuid:<x8>-<x4>-7<x3>-8<x3>-<x12>, <x40>; "],
    ),
    Kind("base64", &["<b76>\n"], &["<b64>", "<b60>==\n\n"]),
    Kind(
        "contacts",
        &[
            "<f> <l>: please call me at +1 (4<d2>) 5<d2>-<d4> or write to <f>.<l>@example.com about the <w> of the <w>.\n",
            "Agent: thank you, <f>. The <w> is <w>, and the <w> <w> <w>. Is there anything else about <w>?\n",
        ],
        &[
            "[<t>:<s>] <f>: my number is 0<d2> <d7>, mail <l><d2>@mail.example.org (not before <t>:<s>)\n",
            "[<t>:<s>] Support: order #<d7> was sent on 2026-<m>-1<d1>; call +44 20 7<d3> <d4> if the <w> <w>\n",
        ],
    ),
    Kind(
        "contact table",
        &["<n5>,<f>,<l>,<f>.<l>@example.com,+49 30 <d7>,2026-<m>-1<d1>\n"],
        &["<l>; <f>; <l><n3>@firma.example.de; 0<d2>-<d7>; <d5> <l>stadt\n"],
    ),
    Kind(
        "each 100 bytes",
        &[
            "Please write to the person in charge of it, <f><n3>@example.com or 4<d2>-5<d2>-<d4>, before the <w> <w> ends. ",
        ],
        &[
            "The <w> of <w> <w> goes to <l>.<f>@<w>.example.net, or by phone to +33 6 <d2> <d2> <d2> <d2> after the <w>; ",
        ],
    ),
    Kind(
        "phone list",
        &["<f> 06 <d2> <d2> <d2> <d2>\n", "+1 4<d2> 555 <d4>\n"],
        &["0<d2>/<d7> (<f>)\n", "(4<d2>) 5<d2>-<d4>, +34 9<d2> <d2> <d2> <d2>; "],
    ),
    Kind(
        "Chinese tickets",
        &[
            "客户<d4>报告订单<d10>没有在2026年<m>月收到，请联系。会议改期了，因为没有人同意房间安排。\n",
        ],
        &[
            "工单#<d6>：用户反映系统在<t>:<s>出现错误<n3>次，电话1<d2>-<d4>-<d4>，请尽快处理。\n",
            "今天的会议讨论了第<n2>项，结果见附件。\n",
        ],
    ),
    Kind(
        "Arabic tickets",
        &["العميل رقم <d6> يطلب تحديث الطلب <d8> بتاريخ <d2>/<m>/2026 ولم يصل بعد إلى العنوان.\n"],
        &["تم فتح التذكرة <d5> في الساعة <t>:<s> والهاتف هو 05<d8>، يرجى المتابعة مع القسم.\n"],
    ),
];
