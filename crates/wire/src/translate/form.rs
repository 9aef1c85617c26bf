//! The form of an answer's text and the sampling of models that have no mode for plain JSON and
//! share Claude's rules: Anthropic's API and Bedrock.

use super::json::{JsonObject, JsonText, Number, Raw};
use super::loss::Losses;
use super::neutral::{Field, OutputFormat, Request};
use super::schema::{self, Output};

/// The sentence in place of a mode for JSON.
const JSON_ONLY: &str = "Answer with one JSON object and nothing else.";

/// The form of the answer's text.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// A schema that the answer is held to.
    pub(crate) schema: Option<Raw<'static>>,
    /// The caller's name of the schema.
    pub(crate) name: Option<JsonText<'static>>,
    /// The caller's description of it.
    pub(crate) description: Option<Field<JsonText<'static>>>,
    /// A line for the system prompt, where the answer is not held to a schema.
    pub(crate) line: Option<JsonText<'static>>,
}

impl Form {
    /// Decides. `is_structured`: answers can be held to a schema; `is_claude`: of Claude's subset.
    pub(crate) fn of(
        request: &mut Request<'_>,
        is_structured: bool,
        is_claude: bool,
        losses: &mut Losses,
    ) -> Form {
        let Some(Field { name: field, value: output }) = request.output.take() else {
            return Form::default();
        };
        let OutputFormat::JsonSchema { name, description, schema: Some(schema), .. } = output
        else {
            losses.change_field(field);
            return Form { line: Some(JsonText::literal(JSON_ONLY)), ..Form::default() };
        };
        let taken = match (is_structured, is_claude) {
            (false, _) => Output::Open,
            (true, true) => schema::anthropic_output(&schema),
            (true, false) => Output::Same(schema.borrow()),
        };
        let schema = match taken {
            Output::Same(schema) => schema.into_owned(),
            Output::Changed(schema) => {
                losses.change_field(field);
                schema
            }
            Output::Open => {
                losses.change_field(field);
                let schema = schema.json();
                let line = format!("{JSON_ONLY} The object follows this JSON Schema: {schema}");
                return Form { line: Some(JsonText::from_plain(line)), ..Form::default() };
            }
        };
        Form {
            schema: Some(schema),
            name: name.map(JsonText::into_owned),
            description: description
                .map(|field| Field { name: field.name, value: field.value.into_owned() }),
            line: None,
        }
    }
}

/// Writes the temperature, 0 to 1; returns whether it did. Thinking leaves no choice but 1.
pub(crate) fn write_temperature(
    field: &Field<Number<'_>>,
    is_thinking: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> bool {
    let value = field.value.value();
    #[expect(clippy::float_cmp, reason = "the number 1 itself, as it was written")]
    if is_thinking && value != 1.0 {
        losses.drop_field(field.name);
        return false;
    }
    if value > 1.0 {
        losses.change_field(field.name);
        object.number("temperature", 1);
    } else {
        object.carried_number("temperature", &field.value);
    }
    true
}

/// Writes the texts that end an answer under this name; blank ones are refused by the providers.
pub(crate) fn write_stops(
    request: &mut Request<'_>,
    name: &str,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let Some(mut stop) = request.stop.take() else { return };
    let given = stop.value.len();
    stop.value.retain(|text| !text.is_blank());
    if stop.value.len() < given {
        losses.drop_field(stop.name);
    }
    if !stop.value.is_empty() {
        let mut list = object.list(name);
        stop.value.iter().for_each(|text| list.text(text));
    }
}
