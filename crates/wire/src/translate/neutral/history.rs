//! Puts the turns of a request in order: what every format demands of a conversation with tools.
//!
//! Guarantees afterwards: neighbouring turns differ in their role; each result of a tool stands in
//! the turn after its call, results first, in the order of the calls; ids of calls are unique in
//! the conversation; each call has a result. A conversation that cannot be ordered so is refused,
//! as its own provider would refuse it. Invents no results.

use std::collections::HashMap;

use super::part::{Opaque, Part, PartKind, Place, ToolCall, Vendor};
use super::request::{Names, Request, Role, Turn};
use crate::translate::json::JsonText;
use crate::translate::loss::{Losses, Refused};

/// Parts of a request.
pub(crate) const PARTS_MAX: usize = 1 << 16;

/// Appends a part to the last turn if it has the same author, else to a new one. A result that
/// comes after a system message belongs before it, directly after the calls.
pub(crate) fn push<'a>(turns: &mut Vec<Turn<'a>>, role: Role, part: Part<'a>) {
    let is_result = matches!(part.kind, PartKind::ToolResult(_));
    let after_system = turns.last().is_some_and(|turn| turn.role == Role::System);
    if is_result && after_system && turns.len() > 1 {
        let at = turns.len() - 1;
        match &mut turns[at - 1] {
            before if before.role == Role::User => before.parts.push(part),
            _ => turns.insert(at, Turn { role, parts: vec![part] }),
        }
        return;
    }
    match turns.last_mut() {
        Some(turn) if turn.role == role => turn.parts.push(part),
        _ => turns.push(Turn { role, parts: vec![part] }),
    }
}

/// Orders the turns.
///
/// # Errors
/// A result without a call, a call without a result, two calls in a turn with one id, or too many
/// parts.
pub(crate) fn settle(request: &mut Request<'_>) -> Result<(), Refused> {
    let names = request.names;
    let list = names.list;
    let parts: usize = request.turns.iter().map(|turn| turn.parts.len()).sum();
    if parts > PARTS_MAX {
        return Err(Refused::invalid(list, format!("`{list}` has more than {PARTS_MAX} parts")));
    }
    merge(&mut request.turns);
    let mut seen: HashMap<String, u32> = HashMap::new();
    for at in 0..request.turns.len() {
        if request.turns[at].role != Role::Assistant {
            // Results after a turn of the assistant have been looked at with it.
            if at == 0 || request.turns[at - 1].role != Role::Assistant {
                refuse_results(&request.turns[at], &names)?;
            }
            continue;
        }
        let (before, rest) = request.turns.split_at_mut(at + 1);
        let turn = &mut before[at];
        let renamed = unique_ids(turn, &mut seen, &names)?;
        match rest.first_mut() {
            Some(next) if next.role == Role::User => answer_calls(turn, next, &renamed, &names)?,
            _ => refuse_calls(turn, &names)?,
        }
    }
    Ok(())
}

/// Joins neighbours with the same author, and leaves out turns without parts.
pub(crate) fn merge(turns: &mut Vec<Turn<'_>>) {
    turns.retain(|turn| !turn.parts.is_empty());
    turns.dedup_by(|later, earlier| {
        let is_same = later.role == earlier.role;
        if is_same {
            earlier.parts.append(&mut later.parts);
        }
        is_same
    });
}

/// Leaves out blank texts, whose cache marks move to the part before. Turns of the assistant that
/// have nothing left go, too.
///
/// # Errors
/// A turn of the user has nothing left.
pub(crate) fn leave_out_blank(request: &mut Request<'_>) -> Result<(), Refused> {
    let names = request.names;
    for turn in &mut request.turns {
        if !turn.parts.iter().any(Part::is_blank_text) {
            continue;
        }
        let place = turn.parts.first().map(|part| part.place).unwrap_or_default();
        let mut kept: Vec<Part<'_>> = Vec::with_capacity(turn.parts.len());
        for part in turn.parts.drain(..) {
            match (part.is_blank_text(), kept.last_mut()) {
                (false, _) => kept.push(part),
                (true, Some(before)) => before.cache = before.cache.or(part.cache),
                (true, None) => {}
            }
        }
        turn.parts = kept;
        if turn.parts.is_empty() && turn.role == Role::User {
            let name = names.place(Place { part: None, ..place });
            return Err(Refused::invalid(name.clone(), format!("`{name}` has no text")));
        }
    }
    merge(&mut request.turns);
    Ok(())
}

/// Makes system messages after the beginning text of the user's turn in their place, for formats
/// that have none there: a move to the front would change the prompt before what it is about.
pub(crate) fn system_as_text(turns: &mut Vec<Turn<'_>>) {
    let mut is_any = false;
    for turn in turns.iter_mut().skip(1).filter(|turn| turn.role == Role::System) {
        is_any = true;
        turn.role = Role::User;
        for part in &mut turn.parts {
            if let PartKind::Text(text) = &mut part.kind {
                let mut wrapped = JsonText::literal("<system>");
                wrapped.push(&text.text);
                wrapped.push(&JsonText::literal("</system>"));
                text.text = wrapped;
            }
        }
    }
    if !is_any {
        return;
    }
    merge(turns);
    for turn in turns.iter_mut().filter(|turn| turn.role == Role::User) {
        // Results stay first.
        turn.parts.sort_by_key(|part| !matches!(part.kind, PartKind::ToolResult(_)));
    }
}

/// Leaves out opaque data that the target's model cannot read, and the thinking to which it
/// belongs; also thinking without such data, which no provider takes back.
pub(crate) fn leave_out_foreign(
    request: &mut Request<'_>,
    losses: &mut Losses,
    is_own: impl Fn(&Opaque<'_>) -> bool,
) {
    let mut is_any = false;
    for turn in &mut request.turns {
        turn.parts.retain_mut(|part| {
            let (opaque, is_thinking) = match &mut part.kind {
                PartKind::Reasoning(reasoning) => (&mut reasoning.opaque, true),
                PartKind::Text(text) => (&mut text.signature, false),
                PartKind::ToolCall(call) => (&mut call.signature, false),
                _ => return true,
            };
            let is_sent = opaque.as_ref().map_or(!is_thinking, &is_own);
            if is_sent {
                return true;
            }
            is_any = true;
            *opaque = None;
            !is_thinking && !part.is_blank_text()
        });
    }
    if is_any {
        losses.drop_hint("reasoning");
        merge(&mut request.turns);
    }
}

/// Whether the last turn with calls begins with thinking that this maker has signed, as budgets of
/// thinking demand; or there is no such turn.
pub(crate) fn calls_begin_with_thinking(request: &Request<'_>, vendor: Vendor) -> bool {
    let mut turns = request.turns.iter().rev().filter(|turn| turn.role == Role::Assistant);
    let turn = turns.find(|turn| calls(turn).next().is_some());
    match turn.and_then(|turn| turn.parts.first()).map(|part| &part.kind) {
        None => true,
        Some(PartKind::Reasoning(reasoning)) => {
            reasoning.opaque.as_ref().is_some_and(|opaque| opaque.vendor == vendor)
        }
        Some(_) => false,
    }
}

fn calls<'t, 'a>(turn: &'t Turn<'a>) -> impl Iterator<Item = (&'t ToolCall<'a>, Place)> {
    turn.parts.iter().filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some((call, part.place)),
        _ => None,
    })
}

/// Gives calls whose id an earlier turn had an id of their own, and returns the new ids by the old
/// ones.
fn unique_ids(
    turn: &mut Turn<'_>,
    seen: &mut HashMap<String, u32>,
    names: &Names,
) -> Result<HashMap<String, String>, Refused> {
    let mut renamed = HashMap::new();
    let mut here: Vec<String> = Vec::new();
    for part in &mut turn.parts {
        let PartKind::ToolCall(call) = &mut part.kind else { continue };
        let id = call.id.escaped().to_owned();
        let times = seen.entry(id.clone()).or_insert(0);
        *times += 1;
        if here.contains(&id) {
            let name = names.place(part.place);
            return Err(Refused::invalid(
                name,
                format!("two calls of one turn have the id `{id}`"),
            ));
        }
        if *times > 1 {
            let new = format!("{id}_{times}");
            call.id = JsonText::literal(&new).into_owned();
            renamed.insert(id.clone(), new);
        }
        here.push(id);
    }
    Ok(renamed)
}

/// Puts the results of a turn's calls first, in the order of the calls.
fn answer_calls(
    turn: &Turn<'_>,
    next: &mut Turn<'_>,
    renamed: &HashMap<String, String>,
    names: &Names,
) -> Result<(), Refused> {
    let mut order: HashMap<String, (usize, JsonText<'static>)> = HashMap::new();
    for (index, (call, _)) in calls(turn).enumerate() {
        order.insert(call.id.escaped().to_owned(), (index, call.name.clone().into_owned()));
    }
    if order.is_empty() {
        return refuse_results(next, names);
    }
    let mut results: Vec<Option<Part<'_>>> = Vec::new();
    results.resize_with(order.len(), || None);
    let mut others = Vec::new();
    for mut part in next.parts.drain(..) {
        let PartKind::ToolResult(result) = &mut part.kind else {
            others.push(part);
            continue;
        };
        if let Some(new) = renamed.get(result.call_id.escaped()) {
            result.call_id = JsonText::literal(new).into_owned();
        }
        let Some((index, name)) = order.get(result.call_id.escaped()) else {
            return Err(without_call(&part, names));
        };
        result.name = name.clone();
        if results[*index].is_some() {
            let place = names.place(part.place);
            return Err(Refused::invalid(place, "a call of a tool has two results"));
        }
        results[*index] = Some(part);
    }
    if results.iter().any(Option::is_none) {
        let missing = calls(turn).zip(&results).filter(|(_, result)| result.is_none());
        return Err(without_result(missing.map(|(call, _)| call), names));
    }
    next.parts = results.into_iter().flatten().chain(others).collect();
    Ok(())
}

fn refuse_results(turn: &Turn<'_>, names: &Names) -> Result<(), Refused> {
    let result = turn.parts.iter().find(|part| matches!(part.kind, PartKind::ToolResult(_)));
    result.map_or(Ok(()), |part| Err(without_call(part, names)))
}

fn refuse_calls(turn: &Turn<'_>, names: &Names) -> Result<(), Refused> {
    if calls(turn).next().is_none() { Ok(()) } else { Err(without_result(calls(turn), names)) }
}

fn without_call(part: &Part<'_>, names: &Names) -> Refused {
    let message = "the result of a tool has no call with its id in the turn before";
    Refused::invalid(names.place(part.place), message)
}

/// In the words of Anthropic, which both kinds of SDK users know.
fn without_result<'t, 'a: 't>(
    missing: impl Iterator<Item = (&'t ToolCall<'a>, Place)>,
    names: &Names,
) -> Refused {
    let mut ids = Vec::new();
    let mut at = None;
    for (call, place) in missing {
        at = at.or(Some(place));
        if ids.len() < 8 {
            ids.push(call.id.plain().into_owned());
        }
    }
    let ids = ids.join(", ");
    Refused::invalid(
        names.place(at.unwrap_or_default()),
        format!(
            "`tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each \
             call of a tool must have a result in the next message."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::neutral::{Arguments, TextPart, ToolResult};

    fn part<'a>(kind: &'a str) -> (Role, Part<'a>) {
        let (role, kind) = match kind.split_at(1) {
            ("c", id) => (
                Role::Assistant,
                PartKind::ToolCall(ToolCall {
                    id: JsonText::literal(id),
                    name: JsonText::literal("f"),
                    arguments: Arguments::Text(JsonText::default()),
                    signature: None,
                }),
            ),
            ("r", id) => (
                Role::User,
                PartKind::ToolResult(ToolResult {
                    call_id: JsonText::literal(id),
                    name: JsonText::default(),
                    content: vec![],
                    is_error: false,
                }),
            ),
            (author, text) => (
                match author {
                    "a" => Role::Assistant,
                    "s" => Role::System,
                    _ => Role::User,
                },
                PartKind::Text(TextPart::plain(JsonText::literal(text))),
            ),
        };
        (role, Part::new(kind, Place::default()))
    }

    /// Parts as `u` user text, `a` assistant text, `s` system text, `c` call, `r` result.
    fn settled(parts: &str) -> Result<String, Refused> {
        let mut request = Request::default();
        for word in parts.split(' ') {
            let (role, part) = part(word);
            push(&mut request.turns, role, part);
        }
        settle(&mut request)?;
        leave_out_blank(&mut request)?;
        let turns = request.turns.iter().map(|turn| {
            let parts = turn.parts.iter().map(|part| match &part.kind {
                PartKind::ToolCall(call) => format!("c{}", call.id.escaped()),
                PartKind::ToolResult(result) => {
                    format!("r{}={}", result.call_id.escaped(), result.name.escaped())
                }
                PartKind::Text(text) => text.text.escaped().to_owned(),
                _ => unreachable!("not made here"),
            });
            parts.collect::<Vec<_>>().join(" ")
        });
        Ok(turns.collect::<Vec<_>>().join(" | "))
    }

    #[test]
    fn conversations_in_order() {
        for (parts, expected) in [
            ("sS1 sS2 uU1 uU2 aA", "S1 S2 | U1 U2 | A"),
            ("uU c1 c2 r2 r1 uV", "U | c1 c2 | r1=f r2=f V"),
            ("uU c1 uV r1", "U | c1 | r1=f V"),
            ("uU c1 sS r1 uV", "U | c1 | r1=f | S | V"),
            ("uU c1 r1 sS uV", "U | c1 | r1=f | S | V"),
            ("uU c1 r1 c1 r1 c1 r1", "U | c1 | r1=f | c1_2 | r1_2=f | c1_3 | r1_3=f"),
            ("uU a uV", "U V"),
            ("uU u aA", "U | A"),
        ] {
            assert_eq!(settled(parts).as_deref(), Ok(expected), "{parts}");
        }
    }

    #[test]
    fn conversations_without_an_order() {
        for parts in [
            "uU r1",
            "uU aA r1",
            "uU c1",
            "uU c1 uV",
            "uU c1 c2 r1",
            "uU c1 c1 r1 r1",
            "uU c1 r1 r1",
            "uU c1 aA uV",
            "u",
        ] {
            assert!(settled(parts).is_err(), "{parts}");
        }
    }
}
