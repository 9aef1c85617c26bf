//! Labelled tickets out of a CSV file.
//!
//! RFC 4180: fields in quotes may hold commas, line ends and doubled quotes. The first line names
//! the columns; `title`, `body`, `category` and `priority` are needed, in any order, others are
//! passed over. An empty label means that none fits. Promises: every problem with its line; nothing
//! is taken from a file that has one.

use crate::bounds::EVAL_TICKETS_MAX;
use crate::config::suggest;

/// A ticket, and what is right for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labelled {
    /// Where it begins in the file.
    pub(crate) line: usize,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) category: Option<String>,
    pub(crate) priority: Option<String>,
}

const COLUMNS: [&str; 4] = ["title", "body", "category", "priority"];

/// Reads the tickets. `categories` and `priorities` are the configured names.
///
/// # Errors
/// Every problem, each with its line.
pub(crate) fn read(
    text: &str,
    categories: &[&str],
    priorities: &[&str],
) -> Result<Vec<Labelled>, Vec<String>> {
    let records =
        records(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|problem| vec![problem])?;
    let mut records = records.into_iter();
    let (_, header) = records.next().ok_or_else(|| vec!["1: the file is empty".to_owned()])?;
    let named =
        |name: &str| header.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
    let [Some(title), Some(body), Some(category), Some(priority)] = COLUMNS.map(named) else {
        return Err(vec![format!(
            "1: the first line names the columns, and {} are needed",
            COLUMNS.join(", ")
        )]);
    };
    let (mut tickets, mut problems) = (Vec::new(), Vec::new());
    for (line, fields) in records {
        if fields.len() != header.len() {
            problems.push(format!(
                "{line}: {} fields, where the first line has {}",
                fields.len(),
                header.len()
            ));
            continue;
        }
        let field = |at: usize| fields.get(at).map_or("", String::as_str);
        let mut label = |at: usize, what: &str, names: &[&str]| {
            let word = Some(field(at).trim()).filter(|word| !word.is_empty())?;
            let known = names.iter().find(|name| name.to_lowercase() == word.to_lowercase());
            if known.is_none() {
                let hint = suggest(word, names.iter().copied());
                problems.push(format!(
                    "{line}: {what} `{word}` is not one of the configured ones; {hint}"
                ));
            }
            known.map(|name| (*name).to_owned())
        };
        tickets.push(Labelled {
            line,
            category: label(category, "category", categories),
            priority: label(priority, "priority", priorities),
            title: field(title).to_owned(),
            body: field(body).to_owned(),
        });
    }
    if tickets.is_empty() && problems.is_empty() {
        problems.push("1: there are no tickets in the file".to_owned());
    }
    if tickets.len() > EVAL_TICKETS_MAX {
        problems.push(format!("{}: more than {EVAL_TICKETS_MAX} tickets", EVAL_TICKETS_MAX + 2));
    }
    if problems.is_empty() { Ok(tickets) } else { Err(problems) }
}

/// The records with the lines they begin in; empty lines are none.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut records = Vec::new();
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut line, mut begun) = (1, 1);
    // The line in which a quoted field began, while it lasts.
    let (mut quoted, mut was_quoted) = (None, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        line += usize::from(c == '\n');
        match (quoted, c) {
            (Some(_), '"') if rest.next_if_eq(&'"').is_some() => field.push('"'),
            (Some(_), '"') => (quoted, was_quoted) = (None, true),
            (Some(_), c) => field.push(c),
            (None, '"') if field.is_empty() && !was_quoted => quoted = Some(line),
            (None, ',') => {
                fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            (None, '\r') if rest.peek() == Some(&'\n') => {}
            (None, '\n') => {
                end(&mut records, begun, &mut fields, &mut field, was_quoted);
                (begun, was_quoted) = (line, false);
            }
            (None, _) if was_quoted => {
                return Err(format!(
                    "{line}: text behind a closing quote; double a quote to mean one"
                ));
            }
            (None, c) => field.push(c),
        }
    }
    if let Some(from) = quoted {
        return Err(format!("{from}: a quote begins here and is not closed"));
    }
    end(&mut records, begun, &mut fields, &mut field, was_quoted);
    Ok(records)
}

fn end(
    records: &mut Vec<(usize, Vec<String>)>,
    line: usize,
    fields: &mut Vec<String>,
    field: &mut String,
    was_quoted: bool,
) {
    if fields.is_empty() && field.is_empty() && !was_quoted {
        return;
    }
    fields.push(std::mem::take(field));
    records.push((line, std::mem::take(fields)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Labelled>, Vec<String>> {
        read(text, &["billing", "other"], &["low", "high"])
    }

    #[test]
    fn tickets_are_read_as_spreadsheets_write_them() {
        let text = "\u{feff}id,Title,BODY,priority,category\r\n1,a,\"b, \"\"c\"\"\r\nd\",Low,\
            billing\r\n\r\n2,,x,,\n3,y,\"\",high,Other";
        let ticket = |line: usize, title: &str, body: &str, labels: [Option<&str>; 2]| Labelled {
            line,
            title: title.into(),
            body: body.into(),
            category: labels[0].map(str::to_owned),
            priority: labels[1].map(str::to_owned),
        };
        let expected = [
            ticket(2, "a", "b, \"c\"\r\nd", [Some("billing"), Some("low")]),
            ticket(5, "", "x", [None, None]),
            ticket(6, "y", "", [Some("other"), Some("high")]),
        ];
        assert_eq!(of(text), Ok(expected.to_vec()));
    }

    #[test]
    fn problems_are_told_with_their_lines() {
        let table: [(&str, &[&str]); 7] = [
            ("", &["1: the file is empty"]),
            ("title,body\na,b", &["1: the first line names the columns"]),
            ("title,body,category,priority\n", &["1: there are no tickets"]),
            (
                "title,body,category,priority\n\"a\nb\",c\n",
                &["2: 2 fields, where the first line has 4"],
            ),
            ("title,body,category,priority\na,\"b\nc,d\n", &["2: a quote begins here"]),
            (
                "title,body,category,priority\na,\"b\"c,billing,low\n",
                &["2: text behind a closing quote"],
            ),
            (
                "title,body,category,priority\na,b,biling,low\n\nc,d,other,hi\n",
                &[
                    "2: category `biling` is not one of the configured ones; did you mean \
                        `billing`?",
                    "4: priority `hi`",
                ],
            ),
        ];
        for (text, expected) in table {
            let problems = of(text).expect_err(text);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            assert!(problems.iter().zip(expected).all(|(p, e)| p.starts_with(e)), "{problems:?}");
        }
    }
}
