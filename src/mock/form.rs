//! Forms (`multipart/form-data`) as the simulated provider reads them: one JSON object, with each
//! file in the form `{"filename", "content_type", "bytes"}`.
//!
//! Pure. Written for itself, beside the reader of the gateway, so that one finds the mistakes of
//! the other. Does not: read a form that is not exactly as RFC 7578 has it.

use serde_json::{Map, Value, json};

/// A form as an object; nothing if `content_type` is none of a form. A field that comes again is a
/// list.
///
/// # Errors
/// A message for the client.
pub(crate) fn parse(content_type: &str, body: &[u8]) -> Option<Result<Value, String>> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?;
    Some(read(boundary.trim_matches('"'), body))
}

fn read(boundary: &str, body: &[u8]) -> Result<Value, String> {
    let wrong = || "Could not parse multipart form.".to_owned();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", body].concat();
    let mut places = memchr::memmem::find_iter(&body, &delimiter).peekable();
    if places.peek() != Some(&0) {
        return Err(wrong());
    }
    let mut fields = Map::new();
    while let Some(at) = places.next() {
        let from = at + delimiter.len();
        let Some(&to) = places.peek() else {
            return if &body[from..] == b"--\r\n" {
                Ok(Value::Object(fields))
            } else {
                Err(wrong())
            };
        };
        let part = body[from..to].strip_prefix(b"\r\n").ok_or_else(wrong)?;
        let end = memchr::memmem::find(part, b"\r\n\r\n").ok_or_else(wrong)?;
        let head = std::str::from_utf8(&part[..end]).map_err(|_| wrong())?;
        let (name, value) = field(head, &part[end + 4..]).ok_or_else(wrong)?;
        add(&mut fields, name, value);
    }
    Err(wrong())
}

/// The name of a part, and its value.
fn field(head: &str, content: &[u8]) -> Option<(String, Value)> {
    let header = |name: &str| {
        let line = head.split("\r\n").find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(str::to_owned)
    };
    let disposition = header("content-disposition")?;
    let parameter = |name: &str| {
        let begin = format!("; {name}=\"");
        let rest = &disposition[disposition.find(&begin)? + begin.len()..];
        Some(rest[..rest.find('"')?].to_owned())
    };
    let name = parameter("name")?;
    let value = match parameter("filename") {
        None => Value::from(std::str::from_utf8(content).ok()?),
        Some(filename) => json!({
            "filename": filename,
            "content_type": header("content-type"),
            "bytes": content.len(),
        }),
    };
    Some((name, value))
}

fn add(fields: &mut Map<String, Value>, name: String, value: Value) {
    match fields.get_mut(&name) {
        None => drop(fields.insert(name, value)),
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = json!([first.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_become_an_object() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n\
            --b\r\nContent-Disposition: form-data; name=\"a[]\"\r\n\r\nx\r\n\
            --b\r\nContent-Disposition: form-data; name=\"a[]\"\r\n\r\n\r\n\
            --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
            Content-Type: audio/wav\r\n\r\n\u{0}12\r\n--b--\r\n";
        let read = parse("multipart/form-data; boundary=b", form.as_bytes()).expect("a form");
        let file = json!({"filename": "a.wav", "content_type": "audio/wav", "bytes": 3});
        assert_eq!(read, Ok(json!({"model": "m", "a[]": ["x", ""], "file": file})));
        for broken in [
            "",
            "--b--",
            &form.replace("--b--\r\n", ""),
            &form.replace("\r\n\r\n", "\r\n"),
            &form[1..],
        ] {
            let read = parse("multipart/form-data; boundary=b", broken.as_bytes());
            assert!(read.expect("a form").is_err(), "{broken}");
        }
        assert_eq!(parse("application/json", b"{}"), None);
    }
}
