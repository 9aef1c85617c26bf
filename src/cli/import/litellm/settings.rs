//! `litellm_settings`, `general_settings` and `environment_variables`: authentication, limits,
//! logs.
//!
//! Pure.

use serde_json::{Map, json};

use super::super::findings::Findings;
use super::super::output::Output;
use super::super::tree::At;
use super::models::{Models, drop_params};

/// Keys of which something has to be done by hand.
const BY_HAND: &[(&str, &str)] = &[
    ("cache", "answers are not kept by this import; see `cache` in the policy"),
    ("cache_params", "answers are not kept by this import; see `cache` in the policy"),
    ("callbacks", "the log is Tollgate's own (`ailog`); set exporters by hand"),
    ("success_callback", "the log is Tollgate's own (`ailog`); set exporters by hand"),
    ("failure_callback", "the log is Tollgate's own (`ailog`); set exporters by hand"),
    ("max_budget", "set a limit for each organisation: `limits.usd_per_month`"),
    ("budget_duration", "limits are by day and month: `limits.usd_per_day`, `usd_per_month`"),
    ("master_key", "make a key for each team: `tollgate key new --org TEAM --name NAME`"),
    ("database_url", "LiteLLM's keys are in its database; make new ones: `tollgate key new`"),
    ("database_connection_pool_limit", "there is no database of keys"),
    ("store_model_in_db", "models stand in `routing.models` alone"),
    ("alerting", "set `alerts` by hand"),
    ("alerting_threshold", "set `alerts` by hand"),
    ("alert_types", "set `alerts` by hand"),
    ("max_parallel_requests", "set `limits.calls_in_flight` for organisations"),
    ("forward_client_headers_to_llm_api", "name the headers in `providers.*.forward_headers`"),
    ("pass_through_endpoints", "other paths are not passed; see `routing.endpoints`"),
];
/// Algorithms of key sets.
const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"];

/// Reads `litellm_settings`.
pub(crate) fn of_litellm(
    section: &At<'_>,
    models: &mut Models,
    output: &mut Output,
    findings: &mut Findings,
) {
    for (key, at) in section.entries() {
        match key {
            "drop_params" => {
                models.drops_params = drop_params(&at, findings).or(models.drops_params)
            }
            "json_logs" => match at.switch() {
                Some(true) => {
                    findings.exact(&at, "log.format");
                    output.set("log.format", "json");
                }
                _ => findings.exact(&at, "log.format"),
            },
            "set_verbose" => {
                findings.approximate(&at, "log.level", "the gateway's own log");
                if at.switch() == Some(true) {
                    output.set("log.level", "debug");
                }
            }
            "turn_off_message_logging" => {
                findings.approximate(&at, "ailog.capture_request", "also `ailog.capture_response`");
                if at.switch() == Some(true) {
                    output.set("ailog.capture_request", false);
                    output.set("ailog.capture_response", false);
                }
            }
            "max_internal_user_budget" => {
                budget(&at, section.get("internal_user_budget_duration"), output, findings);
            }
            "default_internal_user_params" | "upperbound_key_generate_params" => {
                if let Some(most) = at.get("max_budget") {
                    budget(&most, at.get("budget_duration"), output, findings);
                }
            }
            _ => by_hand(key, &at, findings),
        }
    }
}

/// An amount for each user, in a day or a month.
fn budget(amount: &At<'_>, time: Option<At<'_>>, output: &mut Output, findings: &mut Findings) {
    let key = match time.as_ref().and_then(At::raw) {
        Some("1d" | "24h") => "usd_per_day",
        Some("30d" | "1mo" | "31d") => "usd_per_month",
        _ => {
            let message = "its time is neither a day nor a month; set `limits.each_user`";
            return findings.unsupported(amount, message);
        }
    };
    let to = format!("limits.each_user.{key}");
    match amount.number().filter(|usd| *usd > 0.0) {
        Some(_) if output.has(&to) => {
            findings.unsupported(amount, &format!("another amount is in `{to}`"));
        }
        Some(_) => {
            let message = "for each user of a JWT, in a calendar day or month (UTC)";
            findings.approximate(amount, &to, message);
            if let Some(time) = &time {
                findings.approximate(time, &to, "a calendar day or month (UTC)");
            }
            output.set(&to, amount.raw().unwrap_or_default());
        }
        None => findings.unsupported(amount, "not an amount; set `limits.each_user`"),
    }
}

fn by_hand(key: &str, at: &At<'_>, findings: &mut Findings) {
    if let Some((_, message)) = BY_HAND.iter().find(|(known, _)| *known == key) {
        findings.unsupported(at, message);
    }
}

/// Reads `general_settings` and `environment_variables`.
pub(crate) fn of_general(
    general: Option<&At<'_>>,
    environment: Option<&At<'_>>,
    output: &mut Output,
    findings: &mut Findings,
) {
    let mut takes_jwts = false;
    for (key, at) in general.map(At::entries).unwrap_or_default() {
        match key {
            "enable_jwt_auth" => {
                takes_jwts = at.switch() == Some(true);
                findings.exact(&at, "auth.accept");
            }
            "litellm_jwtauth" => jwt(&at, output, findings),
            "max_request_size_mb" => match at.number().filter(|mb| *mb > 0.0) {
                Some(mb) => {
                    findings.exact(&at, "max_body_bytes");
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "in a range"
                    )]
                    let kib = (mb.min(65_536.0) * 1024.0) as u64;
                    output.set("max_body_bytes", format!("{kib}KiB"));
                }
                None => findings.unsupported(&at, "not a number; set `max_body_bytes`"),
            },
            "maximum_spend_logs_retention_period" => match days(&at) {
                Some(days) => {
                    findings.exact(&at, "ailog.retention_days");
                    output.set("ailog.retention_days", days);
                }
                None => findings.unsupported(&at, "not a number of days; set `ailog.retention`"),
            },
            "global_max_parallel_requests" => match at.number().filter(|n| *n >= 1.0) {
                Some(number) => {
                    findings.approximate(&at, "bounds.calls_in_flight", "of one gateway");
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "in a range"
                    )]
                    output.set("bounds.calls_in_flight", number.min(1e6) as u64);
                }
                None => findings.unsupported(&at, "not a number; set `bounds.calls_in_flight`"),
            },
            "allowed_routes" | "public_routes" => routes(&at, findings),
            key if key.starts_with("alert") => findings.unsupported(&at, "set `alerts` by hand"),
            key => by_hand(key, &at, findings),
        }
    }
    let variable = |name: &str| environment.and_then(|at| at.get(name));
    let mut jwks = None;
    if let Some(at) = variable("JWT_PUBLIC_KEY_URL") {
        jwks = at.text();
        findings.exact(&at, "auth.jwt.jwks");
    }
    if let Some(at) = variable("JWT_AUDIENCE") {
        findings.exact(&at, "auth.jwt.audience");
        output.set("auth.jwt.audience", at.text().unwrap_or_default());
    }
    for (_, at) in environment.map(At::entries).unwrap_or_default() {
        if !at.path.ends_with(".JWT_PUBLIC_KEY_URL") && !at.path.ends_with(".JWT_AUDIENCE") {
            findings.unsupported(&at, "set the variable where the gateway starts");
        }
    }
    if takes_jwts {
        let jwks = jwks.unwrap_or_else(|| "${JWT_PUBLIC_KEY_URL}".to_owned());
        output.set("auth.jwt.jwks", jwks);
        output.set("auth.jwt.algorithms", json!(ALGORITHMS));
        output.set("auth.accept", json!(["jwt"]));
    } else {
        output.set("auth.accept", json!(["key"]));
    }
}

fn jwt(at: &At<'_>, output: &mut Output, findings: &mut Findings) {
    let mut claims = Map::new();
    for (key, at) in at.entries() {
        match key {
            "org_id_jwt_field" => {
                findings.exact(&at, "auth.jwt.org_claim");
                claims.insert("org_claim".to_owned(), json!(at.text()));
            }
            "team_id_jwt_field" if !claims.contains_key("org_claim") => {
                findings.approximate(&at, "auth.jwt.org_claim", "a team is an organisation here");
                claims.insert("org_claim".to_owned(), json!(at.text()));
            }
            "user_id_jwt_field" => {
                findings.exact(&at, "auth.jwt.user_claim");
                claims.insert("user_claim".to_owned(), json!(at.text()));
            }
            _ => findings.unsupported(&at, "a JWT has an organisation and a user here, no roles"),
        }
    }
    for (key, claim) in claims {
        output.set(&format!("auth.jwt.{key}"), claim);
    }
}

fn routes(at: &At<'_>, findings: &mut Findings) {
    let ours =
        ["/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models"];
    let paths = at.texts();
    let is_ours = |path: &String| ours.contains(&path.strip_prefix("/v1").unwrap_or(path));
    findings.unit(at);
    if !paths.is_empty() && paths.iter().all(is_ours) {
        let message = "open to all callers; restrict keys with `auth.keys[].endpoints`";
        findings.approximate(at, "routing.endpoints", message);
    } else {
        findings.unsupported(at, "restrict keys with `auth.keys[].endpoints`");
    }
}

/// `30d` as days.
fn days(at: &At<'_>) -> Option<u32> {
    let text = at.raw()?;
    let days: u32 = text.strip_suffix('d').unwrap_or(text).trim().parse().ok()?;
    (1..=36_500).contains(&days).then_some(days)
}
