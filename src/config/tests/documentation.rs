//! Every block of YAML in the documentation is a configuration that the reader accepts.

use super::{folder, load};
use crate::config::load::Source;

/// A page that no configuration of Tollgate is shown on.
const OF_OTHERS: &str = "scrape_configs:";

/// The secret that the examples take from the environment.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Files of secrets that the examples name.
const SECRETS: [&str; 9] = [
    "openai_api_key",
    "proxy_password",
    "jwt",
    "jwt_new",
    "jwt_old",
    "clickhouse_password",
    "placeholder_key",
    "oidc",
    "otlp",
];

/// The blocks of YAML of a page, without their margin.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for line in page.lines() {
        let trimmed = line.trim_start();
        match &mut block {
            Some(_) if trimmed.starts_with("```") => {
                blocks.extend(block.take().map(|(_, text)| text));
            }
            Some((margin, text)) => {
                text.push_str(line.get(*margin..).unwrap_or_default());
                text.push('\n');
            }
            None if trimmed == "```yaml" => {
                block = Some((line.len() - trimmed.len(), String::new()));
            }
            None => {}
        }
    }
    blocks
}

#[test]
fn every_configuration_of_the_documentation_is_accepted() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("docs");
    let mut pages: Vec<_> = docs.map(|entry| entry.expect("entry").path()).collect();
    pages.push(root.join("README.md"));
    let mut number = 0;
    for path in pages.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let page = std::fs::read_to_string(path).expect("a page");
        // The generated blocks of the reference are parts of sections.
        let is_reference = path.ends_with("configuration.md");
        for block in blocks(&page).iter().take(if is_reference { 1 } else { usize::MAX }) {
            if block.starts_with(OF_OTHERS) {
                continue;
            }
            number += 1;
            let secret = format!("\nauth: {{jwt: {{secret: {SECRET}}}}}\n");
            let needs_secret = !block.lines().any(|line| line.starts_with("auth:"));
            // Certificates have to be there.
            let tls = root.join("tests/it/tls").display().to_string();
            let block = block
                .replace("/etc/tollgate/tls.crt", &format!("{tls}/first.pem"))
                .replace("/etc/tollgate/tls.key", &format!("{tls}/first.key"))
                .replace("/etc/tollgate/ca.pem", &format!("{tls}/provider-ca.pem"))
                .replace("/etc/tollgate/client.crt", &format!("{tls}/client.pem"))
                .replace("/etc/tollgate/client.key", &format!("{tls}/client.key"))
                .replace("/run/secrets/", "")
                .replace("${TOLLGATE_JWT_SECRET}", SECRET);
            let text = format!("{block}{}", if needs_secret { &*secret } else { "" });
            // The word list and the secrets that the pages name.
            let secrets = SECRETS.iter().map(|name| (*name, SECRET));
            let files = [("all.yaml", text.as_str()), ("customers.txt", "Jane Roe\n")];
            let files: Vec<_> = files.into_iter().chain(secrets).collect();
            let dir = folder(&files);
            if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
                panic!("{}:\n{block}\n{problems}", path.display());
            }
        }
    }
    assert!(number > 20, "only {number} blocks were found");
}
