//! `providers.*.auth`: which credentials a policy may name, and the problems of wrong ones.

use std::sync::Arc;

use tempfile::TempDir;

use super::{folder, has_the_form};
use crate::config::load::{Loaded, Purpose, Source};
use crate::config::policy::Provider;
use crate::config::reader::place::{Environment, Problems};
use crate::config::uses::Uses;
use crate::config::warnings;

const AZURE: &str = "kind: azure_openai, base_url: 'https://r.openai.azure.com'";
const BEDROCK: &str =
    "kind: bedrock, base_url: 'https://bedrock-runtime.eu-central-1.amazonaws.com'";
const PRIVATE: &str = "kind: bedrock, base_url: 'http://127.0.0.1:1'";
const GEMINI: &str =
    "kind: gemini, base_url: 'https://europe-west4-aiplatform.googleapis.com/v1/projects/p'";

fn policy(providers: &[(&str, &str)]) -> TempDir {
    let mut text = "auth: {accept: [key]}\nproviders:\n".to_owned();
    for (number, (provider, auth)) in providers.iter().enumerate() {
        text.push_str(&format!("  p{number}: {{{provider}, auth: {{\n{auth}}}}}\n"));
    }
    folder(&[("all.yaml", &text), ("key.json", KEY), ("external.json", EXTERNAL)])
}

const KEY: &str = r#"{"type":"service_account","client_email":"a","private_key":"b"}"#;
const EXTERNAL: &str = r#"{"type":"external_account","audience":"a"}"#;

fn load(dir: &TempDir, env: Environment) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    problems.env = env;
    let source = Source::File(dir.path().join("all.yaml"));
    source.load_in(0, Purpose::Read(Uses::Everything), problems)
}

fn providers(given: &[(&str, &str)], env: Environment) -> Vec<Arc<Provider>> {
    let loaded = load(&policy(given), env);
    loaded.unwrap_or_else(|problems| panic!("{given:?}: {problems}")).policy.providers
}

fn unset(_: &str) -> Option<String> {
    None
}

/// The variables of the identity webhooks of AKS and EKS, and of other machines.
fn clouds(name: &str) -> Option<String> {
    let value = match name {
        "AZURE_TENANT_ID" => "tenant-of-webhook",
        "AZURE_CLIENT_ID" => "client-of-webhook",
        "AZURE_FEDERATED_TOKEN_FILE" => "/var/run/token",
        "AZURE_AUTHORITY_HOST" => "https://login.microsoftonline.us/",
        "IDENTITY_ENDPOINT" => "http://127.0.0.1:42356/msi/token",
        "IDENTITY_HEADER" => "of-the-app",
        "AWS_REGION" => "us-west-2",
        "AWS_ACCESS_KEY_ID" => "AKIA1",
        "AWS_SECRET_ACCESS_KEY" => "secret1",
        "AWS_SESSION_TOKEN" => "session1",
        "AWS_WEB_IDENTITY_TOKEN_FILE" => "/var/run/aws",
        "AWS_ROLE_ARN" => "arn:aws:iam::1:role/r",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" => "/v2/credentials/x",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN" => "of-the-container",
        "GCE_METADATA_HOST" => "127.0.0.1:8090",
        "GOOGLE_CLOUD_QUOTA_PROJECT" => "quota",
        _ => return None,
    };
    Some(value.to_owned())
}

/// A container whose endpoint is on another machine.
fn far_container(name: &str) -> Option<String> {
    (name == "AWS_CONTAINER_CREDENTIALS_FULL_URI").then(|| "http://10.1.2.3/creds".to_owned())
}

fn no_metadata(name: &str) -> Option<String> {
    (name == "AWS_EC2_METADATA_DISABLED").then(|| "true".to_owned())
}

#[test]
fn each_source_is_made_of_the_policy_and_the_environment() {
    let gcp_file = "type: gcp, service_account_file: key-to-come.json";
    for (provider, auth, env, expected) in [
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: s",
            unset as Environment,
            "Entra(Application { token_url: https://login.microsoftonline.com/t/oauth2/v2.0/\
                token, client_id: \
             \"c\", scope: \"https://cognitiveservices.azure.com/.default\", proof: \
             Secret((secret)) })",
        ),
        (
            AZURE,
            "type: entra",
            clouds,
            "Entra(Application { token_url: \
             https://login.microsoftonline.us/tenant-of-webhook/oauth2/v2.0/token, client_id: \
             \"client-of-webhook\", scope: \"https://cognitiveservices.azure.com/.default\", \
             proof: \
             File(\"/var/run/token\") })",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, federated_token_file: /f, token_url: \
             'https://x/t', scope: 'https://ai.azure.com/.default'",
            clouds,
            "Entra(Application { token_url: https://x/t, client_id: \"c\", scope: \
             \"https://ai.azure.com/.default\", proof: File(\"/f\") })",
        ),
        (
            AZURE,
            "type: entra, credentials: managed_identity, client_id: c d",
            unset,
            "Entra(ManagedIdentity { address: http://169.254.169.254/metadata/identity/oauth2/token\
             ?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom&\
             client_id=c%20d, \
             header: None })",
        ),
        (
            AZURE,
            "type: entra, credentials: managed_identity",
            clouds,
            "Entra(ManagedIdentity { address: http://127.0.0.1:42356/msi/\
                token?api-version=2019-08-01\
             &resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom, header: Some((secret)) })",
        ),
        (
            BEDROCK,
            "type: aws, access_key_id: a, secret_access_key: b",
            clouds,
            "Aws { region: \"eu-central-1\", source: Keys(AwsKeys { access_key_id: (secret), \
             secret_access_key: (secret), session_token: (none), is_from_environment: false }) }",
        ),
        (
            PRIVATE,
            "type: aws, credentials: environment",
            clouds,
            "Aws { region: \"us-west-2\", source: Keys(AwsKeys { access_key_id: (secret), \
             secret_access_key: (secret), session_token: (secret), is_from_environment: true }) }",
        ),
        (
            BEDROCK,
            "type: aws, credentials: web_identity",
            clouds,
            "Aws { region: \"eu-central-1\", source: WebIdentity { token_url: \
             https://sts.eu-central-1.amazonaws.com/, role_arn: \"arn:aws:iam::1:role/r\", \
             session_name: \
             \"tollgate\", token_file: \"/var/run/aws\" } }",
        ),
        (
            BEDROCK,
            "type: aws, credentials: container",
            clouds,
            "Aws { region: \"eu-central-1\", source: Container { address: \
             http://169.254.170.2/v2/credentials/x, proof: Text((secret)) } }",
        ),
        (
            PRIVATE,
            "type: aws, credentials: instance, region: eu-west-1",
            clouds,
            "Aws { region: \"eu-west-1\", source: Instance { address: http://169.254.169.254/ } }",
        ),
        (
            GEMINI,
            gcp_file,
            unset,
            "Gcp { quota_project: None, source: ServiceAccount { file: \"key-to-come.json\", \
                token_url: \
             None } }",
        ),
        (
            GEMINI,
            "type: gcp, credentials: metadata",
            clouds,
            "Gcp { quota_project: Some(\"quota\"), source: Metadata { address: \
             http://127.0.0.1:8090/computeMetadata/v1/instance/service-accounts/default/token } }",
        ),
    ] {
        let provider = providers(&[(provider, auth)], env).remove(0);
        let source = &provider.auth.as_ref().expect("a credential").source;
        assert_eq!(format!("{source:?}"), expected, "{auth}");
    }
}

#[test]
fn wrong_credentials_are_told_with_place_and_remedy() {
    let entra = "type: entra, tenant_id: t, client_id: c";
    let table: &[(&str, &str, Environment, &str, &str)] = &[
        (AZURE, "client_id: c", unset, "auth: ", "`type` is missing"),
        (AZURE, "type: oidc", unset, "auth.type: ", "choose from entra, aws, gcp"),
        (
            AZURE,
            "type: gcp, credentials: metadata",
            unset,
            "auth.type: ",
            "another kind of provider; give it to one of kind gemini",
        ),
        (
            GEMINI,
            "type: aws, credentials: instance, region: x",
            unset,
            "auth.type: ",
            "of kind bedrock, or anthropic",
        ),
        (
            "kind: anthropic, base_url: 'https://api.anthropic.com/v1'",
            "type: aws, credentials: instance, region: x",
            unset,
            "auth.type: ",
            "at an address of Bedrock",
        ),
        (
            AZURE,
            entra,
            unset,
            "auth: ",
            "`client_secret` is missing; give it, or `federated_token_file`",
        ),
        (
            AZURE,
            "type: entra, client_id: c, client_secret: s",
            unset,
            "auth: ",
            "`tenant_id` is missing",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_secret: s",
            unset,
            "auth: ",
            "`client_id` is missing",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: ''",
            unset,
            "auth.client_secret: ",
            "empty; give",
        ),
        (
            AZURE,
            "type: entra, tenant_id: a/b, client_id: c, client_secret: s",
            unset,
            "auth.tenant_id: ",
            "not a tenant",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: s, federated_token_file: /f",
            unset,
            "auth.federated_token_file: ",
            "keep one of the two",
        ),
        (
            AZURE,
            "type: entra, credentials: managed_identity, client_secret: s",
            unset,
            "auth.client_secret: ",
            "remove it",
        ),
        (
            AZURE,
            "type: entra, credentials: metadata",
            unset,
            "auth.credentials: ",
            "no source of entra credentials; give managed_identity",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: s, scope: 'https://x'",
            unset,
            "auth.scope: ",
            "/.default",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: s, token_url: 'ftp://x'",
            unset,
            "auth.token_url: ",
            "not the address of a token endpoint",
        ),
        (
            AZURE,
            "type: entra, tenant_id: t, client_id: c, client_secret: s, region: r",
            unset,
            "auth.region: ",
            "a key of aws",
        ),
        (
            "kind: azure_openai, base_url: 'https://r.openai.azure.com', api_key: k",
            "type: entra, tenant_id: t, client_id: c, client_secret: s",
            unset,
            "auth: ",
            "beside `api_key`",
        ),
        (BEDROCK, "type: aws", unset, "auth: ", "`access_key_id` is missing"),
        (BEDROCK, "type: aws, access_key_id: a", unset, "auth: ", "`secret_access_key` is missing"),
        (
            BEDROCK,
            "type: aws, access_key_id: a, secret_access_key: ''",
            unset,
            "auth.secret_access_key: ",
            "empty",
        ),
        (
            PRIVATE,
            "type: aws, access_key_id: a, secret_access_key: b",
            unset,
            "auth: ",
            "`region` is missing",
        ),
        (
            PRIVATE,
            "type: aws, access_key_id: a, secret_access_key: b, region: 'x y'",
            unset,
            "auth.region: ",
            "not a region",
        ),
        (
            BEDROCK,
            "type: aws, access_key_id: a, secret_access_key: b, token_url: 'https://x'",
            unset,
            "auth.token_url: ",
            "nothing is fetched",
        ),
        (
            BEDROCK,
            "type: aws, credentials: environment, access_key_id: a",
            clouds,
            "auth.access_key_id: ",
            "keep one of the two",
        ),
        (
            BEDROCK,
            "type: aws, credentials: environment",
            unset,
            "auth.credentials: ",
            "needs `AWS_ACCESS_KEY_ID`",
        ),
        (
            BEDROCK,
            "type: aws, credentials: web_identity",
            unset,
            "auth.credentials: ",
            "needs `AWS_ROLE_ARN`",
        ),
        (
            BEDROCK,
            "type: aws, credentials: container",
            unset,
            "auth.credentials: ",
            "needs `AWS_CONTAINER_CREDENTIALS_FULL_URI`",
        ),
        (
            BEDROCK,
            "type: aws, credentials: container",
            far_container,
            "auth.credentials: ",
            "give an https address",
        ),
        (
            BEDROCK,
            "type: aws, credentials: instance",
            no_metadata,
            "auth.credentials: ",
            "`AWS_EC2_METADATA_DISABLED` is true",
        ),
        (GEMINI, "type: gcp", unset, "auth: ", "`service_account_file` is missing"),
        (
            GEMINI,
            "type: gcp, credentials: metadata, service_account_file: f",
            unset,
            "auth.service_account_file: ",
            "keep one of the two",
        ),
    ];
    for (provider, auth, env, path, reason) in table {
        let problems = load(&policy(&[(provider, auth)]), *env).err();
        let lines = problems.unwrap_or_else(|| panic!("{auth} was accepted")).lines();
        let path = format!(": providers.p0.{path}");
        assert!(
            lines.iter().any(|line| line.contains(&path) && line.contains(reason)),
            "{auth}: {lines:#?}"
        );
        assert!(lines.iter().all(|line| has_the_form(line)), "{lines:#?}");
    }
}

#[test]
fn a_key_file_of_another_kind_is_told() {
    let dir = policy(&[]);
    for (file, is_accepted) in [("key.json", true), ("external.json", false), ("all.yaml", false)] {
        let path = dir.path().join(file).display().to_string();
        let auth = format!("type: gcp, service_account_file: '{path}'");
        let loaded = load(&policy(&[(GEMINI, &auth)]), unset);
        assert_eq!(loaded.is_ok(), is_accepted, "{file}");
        if let Err(problems) = loaded {
            let line = problems.lines().remove(0);
            assert!(line.contains("auth.service_account_file: the file is "), "{line}");
            assert_eq!(line.contains("external_account"), file == "external.json", "{line}");
        }
    }
}

#[test]
fn a_credential_is_known_by_all_that_a_fetch_reads() {
    let entra = |rest: &str| format!("type: entra, tenant_id: t, client_id: c, {rest}");
    let of = |auth: &str| {
        let provider = providers(&[(AZURE, auth)], unset).remove(0);
        provider.auth.as_ref().expect("a credential").id
    };
    let first = of(&entra("client_secret: s"));
    assert_eq!(first, of(&entra("client_secret: s")));
    for other in [
        "client_secret: r",
        "client_secret: s, scope: 'https://x/.default'",
        "client_secret: s, token_url: 'https://x'",
        "federated_token_file: s",
    ] {
        assert_ne!(first, of(&entra(other)), "{other}");
    }
    // A region is no part of a request to the metadata service.
    let both = [
        (PRIVATE, "type: aws, credentials: instance, region: eu-west-1"),
        (PRIVATE, "type: aws, credentials: instance, region: eu-west-2"),
    ];
    let both = providers(&both, unset);
    let [one, two] = [0, 1].map(|at: usize| both[at].auth.as_ref().expect("a credential").id);
    assert_eq!(one, two);
}

#[test]
fn risky_credentials_are_warned_about() {
    let told = |provider: &str, auth: &str| {
        let loaded = load(&policy(&[(provider, auth)]), clouds).expect("a policy");
        warnings(&loaded.settings, &loaded.policy, &loaded.origin.live).join("\n")
    };
    let lines = told(BEDROCK, "type: aws, credentials: environment");
    assert!(lines.contains("providers.p0.auth.credentials: AWS_SESSION_TOKEN ends"), "{lines}");
    assert!(!lines.contains("api_key"), "the gateway has a key of its own: {lines}");
    let secret = "type: entra, tenant_id: t, client_id: c, client_secret: s, token_url: ";
    let lines = told(AZURE, &format!("{secret}'http://sts.example/t'"));
    assert!(
        lines.contains("providers.p0.auth.token_url: http: secrets and tokens cross"),
        "{lines}"
    );
    let lines = told(AZURE, &format!("{secret}'http://127.0.0.1:1/t'"));
    assert!(!lines.contains("p0.auth"), "{lines}");
}
