//! How good the answers were: accuracy, confusion, calibration. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::csv::Labelled;
use crate::visible::visible;

/// Ranges of the confidence, each a tenth wide.
const BINS: usize = 10;

/// The answer to one ticket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) category: Option<String>,
    pub(crate) priority: Option<String>,
    pub(crate) confidence: f64,
}

/// The result of an evaluation.
#[derive(Debug)]
pub(crate) struct Score {
    tickets: u32,
    answered: u32,
    /// Tickets without an answer, by error code.
    failed: BTreeMap<String, u32>,
    category: Confusion,
    priority: Confusion,
    both_right: u32,
    bins: [Bin; BINS],
    brier_sum: f64,
    wrong: Vec<Wrong>,
}

/// A ticket that was misjudged, or not answered.
#[derive(Debug)]
struct Wrong {
    ticket: Labelled,
    answer: Result<Answered, String>,
}

/// How often which label got which answer. The last name is `null`.
#[derive(Debug)]
struct Confusion {
    names: Vec<String>,
    counts: Vec<Vec<u32>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    tickets: u32,
    right: u32,
    confidence: f64,
}

impl Score {
    /// Nothing so far; the names are the configured ones.
    pub(crate) fn new(categories: &[&str], priorities: &[&str]) -> Score {
        Score {
            tickets: 0,
            answered: 0,
            failed: BTreeMap::new(),
            category: Confusion::new(categories),
            priority: Confusion::new(priorities),
            both_right: 0,
            bins: [Bin::default(); BINS],
            brier_sum: 0.0,
            wrong: Vec::new(),
        }
    }

    /// Counts one ticket: its answer, or the code of its error.
    pub(crate) fn count(&mut self, label: Labelled, answer: Result<Answered, String>) {
        self.tickets += 1;
        match &answer {
            Ok(answered) if self.count_answer(&label, answered) => return,
            Ok(_) => {}
            Err(code) => *self.failed.entry(code.clone()).or_default() += 1,
        }
        self.wrong.push(Wrong { ticket: label, answer });
    }

    /// Counts an answer; returns whether it is right.
    fn count_answer(&mut self, label: &Labelled, answer: &Answered) -> bool {
        self.answered += 1;
        self.category.count(label.category.as_deref(), answer.category.as_deref());
        self.priority.count(label.priority.as_deref(), answer.priority.as_deref());
        let right = label.category == answer.category && label.priority == answer.priority;
        self.both_right += u32::from(right);
        let confidence = answer.confidence.clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
        let at = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = self.bins.get_mut(at) {
            bin.tickets += 1;
            bin.right += u32::from(right);
            bin.confidence += confidence;
        }
        self.brier_sum += (confidence - f64::from(u8::from(right))).powi(2);
        right
    }

    /// The share of all tickets whose category and priority are right. A ticket without an answer
    /// is not.
    pub(crate) fn accuracy(&self) -> f64 {
        share(f64::from(self.both_right), self.tickets)
    }

    /// The misjudged tickets in the order of the file, for people.
    pub(crate) fn wrong_text(&self) -> String {
        let mut text = format!("\n{} tickets misjudged\n", self.wrong.len());
        for Wrong { ticket, answer } in self.in_order() {
            let (line, title) = (ticket.line, visible(&ticket.title));
            let expected = pair(&ticket.category, &ticket.priority);
            let answered = match answer {
                Ok(answered) => {
                    let names = pair(&answered.category, &answered.priority);
                    format!("answered {names} ({:.2})", answered.confidence)
                }
                Err(code) => format!("no answer: {code}"),
            };
            text.push_str(&format!("line {line}: {title}: expected {expected}, {answered}\n"));
        }
        text
    }

    /// The same for programs.
    pub(crate) fn wrong_json(&self) -> Value {
        let one = |Wrong { ticket, answer }: &Wrong| {
            let mut json = json!({"line": ticket.line, "title": ticket.title,
                "expected": {"category": ticket.category, "priority": ticket.priority}});
            match answer {
                Ok(a) => {
                    json["answered"] = json!({"category": a.category, "priority": a.priority,
                        "confidence": a.confidence});
                }
                Err(code) => json["error"] = json!(code),
            }
            json
        };
        self.in_order().into_iter().map(one).collect()
    }

    fn in_order(&self) -> Vec<&Wrong> {
        let mut wrong: Vec<&Wrong> = self.wrong.iter().collect();
        wrong.sort_by_key(|wrong| wrong.ticket.line);
        wrong
    }

    /// Mean distance of confidence and accuracy, weighted by the number of tickets.
    fn calibration_error(&self) -> f64 {
        let gaps = self.bins.iter().map(|bin| (bin.confidence - f64::from(bin.right)).abs());
        share(gaps.sum(), self.answered)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let failed = self.tickets - self.answered;
        let codes: Vec<String> =
            self.failed.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let codes =
            if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
        let mut text = format!(
            "{} tickets, {} answered, {failed} failed{codes}\n\n",
            self.tickets, self.answered
        );
        for (what, right) in [
            ("category", self.category.right()),
            ("priority", self.priority.right()),
            ("both", self.both_right),
        ] {
            let percent = 100.0 * share(f64::from(right), self.answered);
            text.push_str(&format!(
                "{what:<12} {percent:>5.1} % right   {right} of {}\n",
                self.answered
            ));
        }
        for (what, confusion) in [("category", &self.category), ("priority", &self.priority)] {
            text.push_str(&format!(
                "\n{what}: labels in lines, answers in columns\n{}",
                confusion.text()
            ));
        }
        text.push_str("\nconfidence    tickets    mean   right\n");
        for (at, bin) in self.bins.iter().enumerate().filter(|(_, bin)| bin.tickets > 0) {
            let (mean, right) =
                (share(bin.confidence, bin.tickets), share(f64::from(bin.right), bin.tickets));
            let (from, to) = (at as f64 / 10.0, (at + 1) as f64 / 10.0);
            text.push_str(&format!(
                "{from:.1} to {to:.1}    {:>7}    {mean:.2}    {right:.2}\n",
                bin.tickets
            ));
        }
        let brier = share(self.brier_sum, self.answered);
        text.push_str(&format!(
            "calibration error {:.3}, Brier score {brier:.3}\n",
            self.calibration_error()
        ));
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let accuracy = |right: u32| share(f64::from(right), self.answered);
        let bins = self.bins.iter().enumerate().filter(|(_, bin)| bin.tickets > 0);
        let bins: Vec<Value> = bins
            .map(|(at, bin)| {
                json!({"from": at as f64 / 10.0, "to": (at + 1) as f64 / 10.0, "tickets": bin.tickets,
                    "mean_confidence": share(bin.confidence, bin.tickets),
                    "accuracy": share(f64::from(bin.right), bin.tickets)})
            })
            .collect();
        json!({
            "tickets": self.tickets, "answered": self.answered, "failed": self.failed,
            "accuracy": {"category": accuracy(self.category.right()), "priority": accuracy(self.priority.right()),
                "both": accuracy(self.both_right)},
            "confusion": {"category": self.category.json(), "priority": self.priority.json()},
            "calibration": {"error": self.calibration_error(), "brier": share(self.brier_sum, self.answered),
                "bins": bins},
        })
    }
}

impl Confusion {
    fn new(names: &[&str]) -> Confusion {
        let names: Vec<String> = names.iter().copied().chain(["null"]).map(str::to_owned).collect();
        Confusion { counts: vec![vec![0; names.len()]; names.len()], names }
    }

    fn count(&mut self, label: Option<&str>, answer: Option<&str>) {
        let last = self.names.len() - 1;
        let at = |name: Option<&str>| {
            name.and_then(|name| self.names.iter().take(last).position(|n| n == name))
                .unwrap_or(last)
        };
        let (row, column) = (at(label), at(answer));
        if let Some(count) = self.counts.get_mut(row).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
    }

    fn right(&self) -> u32 {
        self.counts.iter().enumerate().filter_map(|(n, row)| row.get(n)).sum()
    }

    fn text(&self) -> String {
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
        let cells = |cells: Vec<String>| {
            cells.iter().map(|cell| format!("  {cell:>width$}")).collect::<String>()
        };
        let mut text = format!("{:width$}{}\n", "", cells(self.names.clone()));
        for (name, row) in self.names.iter().zip(&self.counts) {
            let row = row
                .iter()
                .map(|count| if *count == 0 { "·".to_owned() } else { count.to_string() });
            text.push_str(&format!("{name:<width$}{}\n", cells(row.collect())));
        }
        text
    }

    fn json(&self) -> Value {
        json!({"names": self.names, "counts": self.counts})
    }
}

/// Category and priority.
fn pair(category: &Option<String>, priority: &Option<String>) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    format!("{}, {}", name(category), name(priority))
}

/// `part` of `whole`; 0 of nothing.
fn share(part: f64, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { part / f64::from(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let mut score = Score::new(&["billing", "other"], &["low", "high"]);
        let label = |category: &str, priority: Option<&str>| Labelled {
            line: if category == "other" { 2 } else { 7 },
            title: format!("about\n{category}"),
            body: String::new(),
            category: Some(category.into()),
            priority: priority.map(str::to_owned),
        };
        let answer = |category: Option<&str>, priority: Option<&str>, confidence| {
            let owned = |name: Option<&str>| name.map(str::to_owned);
            Ok(Answered { category: owned(category), priority: owned(priority), confidence })
        };
        score.count(label("billing", Some("low")), answer(Some("billing"), Some("low"), 0.95));
        score.count(label("billing", Some("low")), answer(Some("other"), Some("low"), 0.91));
        score.count(label("other", None), answer(None, None, 0.5));
        score.count(label("other", None), answer(Some("other"), None, 1.0));
        score.count(label("other", None), Err("provider_timeout".into()));

        let json = score.json();
        assert_eq!(
            (&json["tickets"], &json["answered"], &json["failed"]["provider_timeout"]),
            (&5.into(), &4.into(), &1.into())
        );
        assert_eq!(json["accuracy"], json!({"category": 0.5, "priority": 1.0, "both": 0.5}));
        assert_eq!(
            json["confusion"]["category"]["counts"],
            json!([[1, 1, 0], [0, 1, 1], [0, 0, 0]])
        );
        assert_eq!(
            json["confusion"]["priority"]["counts"],
            json!([[2, 0, 0], [0, 0, 0], [0, 0, 2]])
        );
        let bins = json["calibration"]["bins"].as_array().expect("bins");
        assert_eq!(
            (bins.len(), &bins[0]["from"], &bins[1]["tickets"]),
            (2, &0.5.into(), &3.into())
        );
        // |0.5 - 0| + |0.95 + 0.91 + 1.0 - 2|, over four tickets.
        let error = json["calibration"]["error"].as_f64().expect("number");
        assert!((error - (0.5 + 0.86) / 4.0).abs() < 1e-9, "{error}");
        let text = score.text();
        for expected in [
            "5 tickets, 4 answered, 1 failed (provider_timeout 1)",
            "category      50.0 % right   2 of 4",
            "0.9 to 1.0          3",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(Score::new(&["a"], &["b"]).json()["accuracy"]["both"], 0.0);
        // Two of five are right; one has no answer.
        assert!((score.accuracy() - 0.4).abs() < 1e-9);
        assert_eq!(
            score.wrong_text(),
            "\n3 tickets misjudged\n\
             line 2: about\u{fffd}other: expected other, none, answered none, none (0.50)\n\
             line 2: about\u{fffd}other: expected other, none, no answer: provider_timeout\n\
             line 7: about\u{fffd}billing: expected billing, low, answered other, low (0.91)\n"
        );
        let wrong = score.wrong_json();
        assert_eq!(
            (wrong[1]["error"].as_str(), wrong[2]["line"].as_u64()),
            (Some("provider_timeout"), Some(7))
        );
        assert_eq!(
            wrong[2]["answered"],
            json!({"category": "other", "priority": "low", "confidence": 0.91})
        );
    }
}
