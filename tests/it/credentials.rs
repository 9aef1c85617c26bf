//! Providers in clouds: tokens that are fetched, renewed and lost, and where they are seen.

mod aws;
mod azure;
mod every_cloud;
mod google;
mod live;
mod way_out;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::step::{self, Step};
use crate::support::{Gateway, Provider, Seen, Setup};

/// The answer of a token endpoint.
fn token(text: &str, expires_in: u64) -> Step {
    step::json(
        200,
        &json!({"token_type": "Bearer", "access_token": text, "expires_in": expires_in}),
    )
}

/// A chat answer, and this text in it.
fn chat(text: &str) -> Step {
    step::chat(text)
}

/// The row of the newest call.
fn last_row(gateway: &Gateway, count: usize) -> Map<String, Value> {
    gateway.rows(count).pop().unwrap()
}

/// The value of a header in each of these requests.
fn headers<'s>(seen: &'s [Seen], name: &str) -> Vec<Option<&'s str>> {
    seen.iter().map(|seen| seen.header(name)).collect()
}

/// No secret is in any request that these have got, but for the places that are its own.
#[track_caller]
fn kept_apart(doubles: &[(&str, &Provider)], secrets: &[(&str, &[&str])]) {
    for (secret, own) in secrets {
        let mut found = BTreeSet::new();
        for (name, double) in doubles {
            for seen in double.seen() {
                let head = format!("{} {:?}", seen.target, seen.headers);
                let body = String::from_utf8_lossy(&seen.body).into_owned();
                if head.contains(secret) || body.contains(secret) {
                    found.insert(*name);
                }
            }
        }
        let own: BTreeSet<&str> = own.iter().copied().collect();
        assert_eq!(found, own, "{secret} was seen elsewhere, or not at all");
    }
}

/// A gateway with these providers, all of them targets in this order.
fn setup(first: &Provider, providers: &str, order: &str) -> Setup {
    Setup::new(first)
        .section("providers", providers)
        .section("routing", &format!("{{default: [{order}]}}"))
}
