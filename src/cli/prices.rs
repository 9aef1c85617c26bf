//! `tollgate prices list|import`: what a call costs here, and price lists of others as policy.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::Configured;
use crate::bounds::PRICES_FILE_BYTES_MAX;
use crate::config::Uses;
use crate::cost::import::{self, Imported, Wanted};
use crate::cost::{AS_OF, Listed, PriceList};
use crate::failure::Failure;
use crate::money::decimal;
use crate::visible::visible_json;

/// `tollgate prices`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the prices in force: those of the policy, then the built-in ones
    #[command(after_help = "Example:\n  tollgate prices list --model 'gpt-4o*' --format json")]
    List(Configured<ListArgs>),
    /// Make a policy file of a price list of LiteLLM or genai-prices
    #[command(after_help = "\
Example:
  tollgate prices import model_prices_and_context_window.json --output prices.yaml")]
    Import(ImportArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only matching models; `*` stands for any text; may be repeated
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// Format of the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The list as JSON: model_prices_and_context_window.json or data.json; `-`: standard input
    file: PathBuf,
    /// Providers in the list
    #[arg(long, value_delimiter = ',', default_value = "openai,anthropic,google,gemini")]
    from: Vec<String>,
    /// Only matching models; `*` stands for any text; may be repeated
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// Provider of the policy that the prices are for; without it, any
    #[arg(long = "as", value_name = "PROVIDER")]
    provider: Option<String>,
    /// Policy file to write; without it, the prices are printed
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace that file if it exists
    #[arg(long, requires = "output")]
    force: bool,
    /// Print each refused entry with the reason
    #[arg(long)]
    verbose: bool,
}

/// Runs the command.
///
/// # Errors
/// The configuration or the list cannot be read, or the file is there already.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List(configured) => {
            let (args, loaded) = configured.load(Uses::Prices)?;
            list(&args, &loaded.policy.prices)
        }
        Action::Import(args) => import(&args),
    }
}

fn list(args: &ListArgs, prices: &PriceList) -> Result<(), Failure> {
    let wanted = |line: &Listed| crate::cost::any_matches(&args.models, &line.price.model);
    let lines: Vec<Listed> = prices.lines().into_iter().filter(wanted).collect();
    let text = match args.format {
        Format::Table => table(&lines, prices.version()),
        Format::Json => {
            let lines: Vec<serde_json::Value> = lines.iter().map(as_json).collect();
            let json = json!({"price_version": &**prices.version(), "prices": lines});
            visible_json(&serde_json::to_string_pretty(&json)?).into_owned() + "\n"
        }
    };
    super::print::raw(&text)
}

/// When a line is in force, in words: `flex, above 272000, from 2027-01-01`.
fn conditions(line: &Listed) -> String {
    let price = &line.price;
    let mut words: Vec<String> = price.tier.iter().map(|tier| tier.as_str().to_owned()).collect();
    words.extend((price.above > 0).then(|| format!("above {}", price.above)));
    words.extend(price.first_day().map(|day| format!("from {day}")));
    words.join(", ")
}

fn table(lines: &[Listed], version: &str) -> String {
    let head = [
        "model",
        "provider",
        "when",
        "input",
        "cached",
        "write",
        "write 1h",
        "output",
        "sound in",
        "sound out",
        "source",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for line in lines {
        let (price, rates) = (&line.price, &line.price.rates);
        let sound = |nano: Option<u64>| nano.map_or_else(|| "-".to_owned(), decimal);
        rows.push(vec![
            super::print::printable(&price.model),
            if price.provider.is_empty() {
                "any".to_owned()
            } else {
                super::print::printable(&price.provider)
            },
            conditions(line),
            decimal(rates.input),
            decimal(rates.cached),
            decimal(rates.cache_write),
            decimal(rates.cache_write_1h),
            decimal(rates.output),
            sound(rates.audio_input),
            sound(rates.audio_output),
            super::print::printable(&line.source),
        ]);
    }
    let rows = super::print::aligned(&rows, |column| (3..10).contains(&column));
    format!("USD per million tokens; price list {version}, built-in lines as of {AS_OF}\n{rows}")
}

fn as_json(line: &Listed) -> serde_json::Value {
    let (price, rates) = (&line.price, &line.price.rates);
    // A decimal as it is, not by way of a float that is not written the same everywhere.
    let usd =
        |nano: u64| serde_json::from_str::<serde_json::Value>(&decimal(nano)).unwrap_or_default();
    json!({
        "provider": Some(&price.provider).filter(|name| !name.is_empty()),
        "model": price.model,
        "above": price.above,
        "tier": price.tier.map(tollgate_wire::usage::ServiceTier::as_str),
        "from": price.first_day(),
        "input": usd(rates.input),
        "cached_input": usd(rates.cached),
        "cache_write": usd(rates.cache_write),
        "cache_write_1h": usd(rates.cache_write_1h),
        "output": usd(rates.output),
        "audio_input": rates.audio_input.map(usd),
        "audio_output": rates.audio_output.map(usd),
        "source": line.source,
    })
}

/// Prints by default: a file under `policies/` is in force the moment it is written, so writing it
/// has to be asked for.
fn import(args: &ImportArgs) -> Result<(), Failure> {
    let user = |what: String| Failure::User(what);
    let text = read(&args.file).map_err(|why| user(format!("{}: {why}", args.file.display())))?;
    let wanted = Wanted {
        from: args.from.clone(),
        models: args.models.clone(),
        provider: args.provider.clone().unwrap_or_default(),
    };
    let imported = import::read(&text, &wanted)
        .map_err(|why| user(format!("{}: {why}", args.file.display())))?;
    if imported.wanted == 0 {
        let known = imported.providers.join(", ");
        return Err(user(format!(
            "the list has no entry of {}; give --from with some of {known}",
            args.from.join(", ")
        )));
    }
    if imported.taken == 0 {
        return Err(user(summary(&imported, args.verbose) + "no price is left to write"));
    }
    let name = args
        .file
        .file_name()
        .map_or_else(|| "standard input".into(), |name| name.to_string_lossy());
    let yaml = import::yaml(&imported, &name, &today());
    match &args.output {
        None => super::print::raw(&yaml)?,
        Some(path) => write(path, &yaml, args.force).map_err(user)?,
    }
    super::say(summary(&imported, args.verbose).trim_end());
    Ok(())
}

fn today() -> String {
    jiff::Zoned::now().date().to_string()
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let most = PRICES_FILE_BYTES_MAX as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    match read {
        Ok(bytes) if bytes <= PRICES_FILE_BYTES_MAX => Ok(text),
        Ok(_) => Err(format!("more than {} MiB; give a price list", PRICES_FILE_BYTES_MAX >> 20)),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes the file in one step: a gateway that watches the folder sees the old one or the new one.
fn write(path: &Path, yaml: &str, force: bool) -> Result<(), String> {
    if !force && path.exists() {
        return Err(format!("{} exists; give --force to replace it", path.display()));
    }
    let new = path.with_extension("yaml.new");
    let written = std::fs::write(&new, yaml).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn summary(imported: &Imported, verbose: bool) -> String {
    let mut text = format!(
        "{} of {} entries taken as {} lines, {} refused",
        imported.taken,
        imported.wanted,
        imported.prices.len(),
        imported.refused.len()
    );
    if imported.charged_beside > 0 {
        text.push_str(&format!(
            "; {} have charges besides tokens of text and audio, or for other service tiers, \
                which are left out",
            imported.charged_beside
        ));
    }
    if imported.narrowed > 0 {
        text.push_str(&format!(
            "; {} have further names that no pattern can express",
            imported.narrowed
        ));
    }
    text.push('\n');
    let shown = if verbose { imported.refused.len() } else { imported.refused.len().min(5) };
    for (name, why) in &imported.refused[..shown] {
        text.push_str(&format!("  refused {}: {why}\n", super::print::printable(name)));
    }
    if shown < imported.refused.len() {
        text.push_str(&format!(
            "  and {} more (--verbose lists them)\n",
            imported.refused.len() - shown
        ));
    }
    text
}
