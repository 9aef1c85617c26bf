//! From the parameters of a deployment to a provider.
//!
//! Pure. One provider for all deployments with the same address and credential.
//!
//! # Source
//! LiteLLM's pages of providers, read November 2026.

use serde_json::{Map, Value as Json, json};

use super::super::findings::Findings;
use super::super::tree::At;

/// A kind of provider in LiteLLM, by the prefix of a model.
pub(crate) struct Vendor {
    prefix: &'static str,
    kind: &'static str,
    /// Its public address.
    base_url: &'static str,
    /// The variable with its key.
    variable: &'static str,
    /// Formats of a server that does not have all of OpenAI's.
    wires: &'static [&'static str],
}

const CHAT: &[&str] = &["chat", "completions", "embeddings"];

const fn openai(
    prefix: &'static str,
    base_url: &'static str,
    variable: &'static str,
    wires: &'static [&'static str],
) -> Vendor {
    Vendor { prefix, kind: "openai", base_url, variable, wires }
}

const VENDORS: &[Vendor] = &[
    openai("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", &[]),
    openai("text-completion-openai", "https://api.openai.com/v1", "OPENAI_API_KEY", &[]),
    openai("hosted_vllm", "", "", &[]),
    openai("xinference", "", "", CHAT),
    openai("ollama", "http://localhost:11434/v1", "", CHAT),
    openai("ollama_chat", "http://localhost:11434/v1", "", CHAT),
    openai("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", CHAT),
    openai("together_ai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY", CHAT),
    openai("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", CHAT),
    openai("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", CHAT),
    openai("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", CHAT),
    Vendor {
        prefix: "azure",
        kind: "azure_openai",
        base_url: "",
        variable: "AZURE_API_KEY",
        wires: &[],
    },
    Vendor {
        prefix: "anthropic",
        kind: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        variable: "ANTHROPIC_API_KEY",
        wires: &[],
    },
    Vendor {
        prefix: "gemini",
        kind: "gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        variable: "GEMINI_API_KEY",
        wires: &[],
    },
    Vendor { prefix: "vertex_ai", kind: "gemini", base_url: "", variable: "", wires: &[] },
    Vendor { prefix: "bedrock", kind: "bedrock", base_url: "", variable: "", wires: &[] },
];

/// The vendor of a model and the rest of its name; a name without a prefix is OpenAI's, or
/// Anthropic's.
pub(crate) fn vendor(model: &str, custom: Option<&str>) -> Option<(&'static Vendor, String)> {
    let of = |prefix: &str| VENDORS.iter().find(|vendor| vendor.prefix == prefix);
    if let Some(custom) = custom {
        let rest = model.strip_prefix(custom).and_then(|rest| rest.strip_prefix('/'));
        return Some((of(custom)?, rest.unwrap_or(model).to_owned()));
    }
    match model.split_once('/') {
        Some((prefix, rest)) => Some((of(prefix)?, rest.to_owned())),
        None if model.starts_with("claude") => Some((of("anthropic")?, model.to_owned())),
        None => Some((of("openai")?, model.to_owned())),
    }
}

/// The parameters of a deployment: its own, and those of its credential.
pub(crate) struct Params<'n> {
    pub(crate) own: At<'n>,
    pub(crate) shared: Option<At<'n>>,
}

impl<'n> Params<'n> {
    /// A parameter, which the deployment's own value overrides.
    fn get(&self, name: &str) -> Option<At<'n>> {
        self.own.get(name).or_else(|| self.shared.as_ref().and_then(|shared| shared.get(name)))
    }

    /// A parameter as text, which becomes this key of the provider.
    fn take(&self, name: &str, to: &str, findings: &mut Findings) -> Option<String> {
        let at = self.get(name)?;
        let text = at.text()?;
        findings.exact(&at, to);
        Some(text)
    }
}

/// A provider, and the name of the model there.
pub(crate) struct Made {
    pub(crate) provider: Json,
    pub(crate) model: String,
}

/// The provider of a deployment. `None`, with a finding, if there is no such kind here.
pub(crate) fn provider(
    vendor: &Vendor,
    model: &str,
    params: &Params<'_>,
    findings: &mut Findings,
) -> Option<Made> {
    let mut made = Map::new();
    made.insert("kind".to_owned(), json!(vendor.kind));
    let mut model = model.to_owned();
    match vendor.prefix {
        "azure" => azure(&mut made, params, findings)?,
        "vertex_ai" => vertex(&mut made, &model, params, findings)?,
        "bedrock" => {
            for route in ["converse/", "invoke/"] {
                model = model.strip_prefix(route).map_or(model.clone(), str::to_owned);
            }
            bedrock(&mut made, params, findings);
        }
        _ => {
            address(&mut made, vendor, params, findings)?;
            key(&mut made, vendor, params, findings);
        }
    }
    if !vendor.wires.is_empty() {
        made.insert("wires".to_owned(), json!(vendor.wires));
    }
    Some(Made { provider: Json::Object(made), model })
}

/// `base_url` of a server with OpenAI's, Anthropic's or Google's API.
fn address(
    made: &mut Map<String, Json>,
    vendor: &Vendor,
    params: &Params<'_>,
    findings: &mut Findings,
) -> Option<()> {
    let to = "providers.*.base_url";
    let given = params.get("api_base").or_else(|| params.get("base_url"));
    let url = match given.as_ref().and_then(|at| Some((at, at.text()?))) {
        Some((at, text)) => {
            let text = text.trim_end_matches('/').to_owned();
            let version = match vendor.prefix {
                "anthropic" | "ollama" | "ollama_chat" => "/v1",
                "gemini" => "/v1beta",
                _ => "",
            };
            let has_version = text.ends_with("/v1") || text.ends_with("/v1beta");
            if version.is_empty() || has_version {
                findings.exact(at, to);
                text
            } else {
                findings.approximate(
                    at,
                    to,
                    &format!("`{version}` is added, which LiteLLM adds itself"),
                );
                text + version
            }
        }
        None if vendor.base_url.is_empty() => {
            findings.unsupported(&params.own, "there is no `api_base`; the model is left out");
            return None;
        }
        None => {
            if !matches!(
                vendor.prefix,
                "openai" | "text-completion-openai" | "anthropic" | "gemini"
            ) {
                let message = format!(
                    "there is no `api_base`; this is the public address: {}",
                    vendor.base_url
                );
                findings.approximate(&params.own, to, &message);
            }
            vendor.base_url.to_owned()
        }
    };
    made.insert("base_url".to_owned(), json!(url));
    Some(())
}

fn key(
    made: &mut Map<String, Json>,
    vendor: &Vendor,
    params: &Params<'_>,
    findings: &mut Findings,
) {
    let to = "providers.*.api_key";
    if let Some(text) = params.take("api_key", to, findings) {
        made.insert("api_key".to_owned(), json!(text));
    } else if !vendor.variable.is_empty() {
        let variable = vendor.variable;
        findings.approximate(
            &params.own,
            to,
            &format!("there is no `api_key`; set the variable {variable}"),
        );
        made.insert("api_key".to_owned(), json!(format!("${{{variable}}}")));
    }
}

fn azure(made: &mut Map<String, Json>, params: &Params<'_>, findings: &mut Findings) -> Option<()> {
    let to = "providers.*.base_url";
    let Some((at, text)) = params.get("api_base").and_then(|at| Some((at.clone(), at.text()?)))
    else {
        let message = "there is no `api_base`; set the variable AZURE_API_BASE";
        findings.approximate(&params.own, to, message);
        made.insert("base_url".to_owned(), json!("${AZURE_API_BASE}"));
        return azure_key(made, params, findings);
    };
    // The gateway makes the path itself.
    let host = match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or(rest)),
        None => text,
    };
    findings.exact(&at, to);
    made.insert("base_url".to_owned(), json!(host));
    azure_key(made, params, findings)
}

fn azure_key(
    made: &mut Map<String, Json>,
    params: &Params<'_>,
    findings: &mut Findings,
) -> Option<()> {
    match params.take("api_version", "providers.*.api_version", findings) {
        Some(version) => drop(made.insert("api_version".to_owned(), json!(version))),
        None => findings.approximate(
            &params.own,
            "providers.*.api_version",
            "there is no `api_version`; Tollgate uses v1, LiteLLM a dated one",
        ),
    }
    let mut entra = Map::new();
    for name in ["tenant_id", "client_id", "client_secret"] {
        if let Some(text) = params.take(name, &format!("providers.*.auth.{name}"), findings) {
            entra.insert(name.to_owned(), json!(text));
        }
    }
    if entra.is_empty() {
        let to = "providers.*.api_key";
        let key = params.take("api_key", to, findings);
        if key.is_none() {
            findings.approximate(
                &params.own,
                to,
                "there is no `api_key`; set the variable AZURE_API_KEY",
            );
        }
        let key = key.unwrap_or_else(|| "${AZURE_API_KEY}".to_owned());
        made.insert("api_key".to_owned(), json!(key));
    } else {
        entra.insert("type".to_owned(), json!("entra"));
        made.insert("auth".to_owned(), Json::Object(entra));
    }
    Some(())
}

fn vertex(
    made: &mut Map<String, Json>,
    model: &str,
    params: &Params<'_>,
    findings: &mut Findings,
) -> Option<()> {
    let to = "providers.*.base_url";
    let mut part = |name: &str, variable: &str| {
        params.take(name, to, findings).unwrap_or_else(|| {
            let message = format!("there is no `{name}`; set the variable {variable}");
            findings.approximate(&params.own, to, &message);
            format!("${{{variable}}}")
        })
    };
    let project = part("vertex_project", "VERTEXAI_PROJECT");
    let location = part("vertex_location", "VERTEXAI_LOCATION");
    let host = match location.as_str() {
        "global" => "aiplatform.googleapis.com".to_owned(),
        location => format!("{location}-aiplatform.googleapis.com"),
    };
    let (publisher, kind) = match model {
        model if model.starts_with("claude") => ("anthropic", "anthropic"),
        _ => ("google", "gemini"),
    };
    made.insert("kind".to_owned(), json!(kind));
    let url =
        format!("https://{host}/v1/projects/{project}/locations/{location}/publishers/{publisher}");
    made.insert("base_url".to_owned(), json!(url));
    let mut auth = Map::new();
    auth.insert("type".to_owned(), json!("gcp"));
    let file = params.get("vertex_credentials").and_then(|at| Some((at.clone(), at.text()?)));
    match file {
        Some((at, text)) if text.trim_start().starts_with('{') => {
            let message = "the key itself stands here; write it into a file and name that in \
                `auth.service_account_file`";
            findings.unsupported(&at, message);
            auth.insert("credentials".to_owned(), json!("metadata"));
        }
        Some((at, text)) => {
            findings.exact(&at, "providers.*.auth.service_account_file");
            auth.insert("service_account_file".to_owned(), json!(text));
        }
        None => drop(auth.insert("credentials".to_owned(), json!("metadata"))),
    }
    made.insert("auth".to_owned(), Json::Object(auth));
    Some(())
}

fn bedrock(made: &mut Map<String, Json>, params: &Params<'_>, findings: &mut Findings) {
    let mut auth = Map::new();
    auth.insert("type".to_owned(), json!("aws"));
    let region = params.take("aws_region_name", "providers.*.auth.region", findings);
    let region = region.unwrap_or_else(|| {
        let message = "there is no `aws_region_name`; set the variable AWS_REGION";
        findings.approximate(&params.own, "providers.*.auth.region", message);
        "${AWS_REGION}".to_owned()
    });
    auth.insert("region".to_owned(), json!(region));
    for (name, to) in [
        ("aws_access_key_id", "access_key_id"),
        ("aws_secret_access_key", "secret_access_key"),
        ("aws_session_token", "session_token"),
    ] {
        if let Some(text) = params.take(name, &format!("providers.*.auth.{to}"), findings) {
            auth.insert(to.to_owned(), json!(text));
        }
    }
    if let Some(at) = params.get("aws_web_identity_token") {
        let message = "the file and the role of the usual variables of AWS are used";
        findings.approximate(&at, "providers.*.auth.credentials", message);
        auth.insert("credentials".to_owned(), json!("web_identity"));
    } else if !auth.contains_key("access_key_id") {
        auth.insert("credentials".to_owned(), json!("environment"));
    }
    let url = match params
        .get("aws_bedrock_runtime_endpoint")
        .and_then(|at| Some((at.clone(), at.text()?)))
    {
        Some((at, text)) => {
            findings.exact(&at, "providers.*.base_url");
            text
        }
        None => format!("https://bedrock-runtime.{region}.amazonaws.com"),
    };
    made.insert("base_url".to_owned(), json!(url));
    made.insert("auth".to_owned(), Json::Object(auth));
}

/// The names of providers that were made.
#[derive(Default)]
pub(crate) struct Names {
    made: Vec<(String, Json)>,
}

impl Names {
    /// The name of a provider, new or known.
    pub(crate) fn of(&mut self, provider: Json, wish: &str) -> String {
        if let Some((name, _)) = self.made.iter().find(|(_, known)| *known == provider) {
            return name.clone();
        }
        let clean: String = wish
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
            .collect();
        let base =
            clean.trim_matches('-').chars().take(48).collect::<String>().to_ascii_lowercase();
        let base = if base.is_empty() { "provider".to_owned() } else { base };
        let is_taken = |name: &str| self.made.iter().any(|(known, _)| known == name);
        let mut name = base.clone();
        for number in 2..=self.made.len() + 2 {
            if !is_taken(&name) {
                break;
            }
            name = format!("{base}-{number}");
        }
        self.made.push((name.clone(), provider));
        name
    }

    pub(crate) fn all(self) -> Vec<(String, Json)> {
        self.made
    }
}

impl Vendor {
    /// The name of its provider.
    pub(crate) fn name(&self) -> &'static str {
        match self.prefix {
            "text-completion-openai" => "openai",
            "ollama_chat" => "ollama",
            prefix => prefix,
        }
    }
}
