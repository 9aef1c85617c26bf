//! The calls of each service, written.

use std::borrow::Cow;

use crate::translate::json::{JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::{Written, path};

use super::Service;
use super::request::{Purpose, Request};

/// Dimensions of vectors that a service takes; empty if it takes any.
const fn sizes(service: Service) -> &'static [u64] {
    match service {
        Service::Gemini | Service::VertexPredict | Service::VertexContent => &[],
        Service::Titan => &[256, 512, 1024],
        Service::CohereV3 => &[1024],
        Service::CohereV4 => &[256, 512, 1024, 1536],
    }
}

/// Looks for what the service cannot do.
pub(crate) fn check(
    service: Service,
    request: &Request<'_>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let sizes = sizes(service);
    if let Some(dimensions) = request.dimensions
        && !sizes.is_empty()
        && !sizes.contains(&dimensions)
    {
        let list: Vec<String> = sizes.iter().map(u64::to_string).collect();
        let text = format!("the model's vectors have {} dimensions", list.join(", "));
        return Err(Refused::unsupported("dimensions", text));
    }
    if service == Service::Titan && request.purpose.is_some() {
        losses.drop_field("input_type");
    }
    Ok(())
}

/// Writes a call for these texts. `check` has passed.
pub(crate) fn write(
    service: Service,
    model: &str,
    texts: &[JsonText<'_>],
    request: &Request<'_>,
) -> Written {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let mut body = Vec::with_capacity(256 + texts.iter().map(JsonText::len).sum::<usize>());
    {
        let mut object = JsonObject::new(&mut body);
        match service {
            Service::Gemini => write_batch(model, texts, request, &mut object),
            Service::VertexPredict => write_predict(texts, request, &mut object),
            Service::VertexContent => write_content_call(texts, request, &mut object),
            Service::Titan => write_titan(texts, request, &mut object),
            Service::CohereV3 | Service::CohereV4 => {
                write_cohere(service, texts, request, &mut object);
            }
        }
    }
    let name = path::segment(model);
    let path = match service {
        Service::Gemini => format!("/models/{name}:batchEmbedContents"),
        Service::VertexPredict => format!("/models/{name}:predict"),
        Service::VertexContent => format!("/models/{name}:embedContent"),
        Service::Titan | Service::CohereV3 | Service::CohereV4 => {
            format!("/model/{name}/invoke")
        }
    };
    Written { body, path: Cow::Owned(path), headers: Vec::new() }
}

fn write_batch(
    model: &str,
    texts: &[JsonText<'_>],
    request: &Request<'_>,
    object: &mut JsonObject<'_>,
) {
    let mut requests = object.list("requests");
    for text in texts {
        let mut entry = requests.object();
        entry.str("model", &["models/", model].concat());
        write_content(text, &mut entry);
        write_config(request, &mut entry);
    }
}

fn write_content(text: &JsonText<'_>, object: &mut JsonObject<'_>) {
    let mut content = object.object("content");
    content.list("parts").object().text("text", text);
}

fn write_config(request: &Request<'_>, object: &mut JsonObject<'_>) {
    if let Some(dimensions) = request.dimensions {
        object.number("outputDimensionality", dimensions);
    }
    if let Some(purpose) = request.purpose {
        object.str("taskType", purpose.google());
    }
}

fn write_predict(texts: &[JsonText<'_>], request: &Request<'_>, object: &mut JsonObject<'_>) {
    {
        let mut instances = object.list("instances");
        for text in texts {
            let mut instance = instances.object();
            instance.text("content", text);
            if let Some(purpose) = request.purpose {
                instance.str("task_type", purpose.google());
            }
        }
    }
    let mut parameters = object.object("parameters");
    if let Some(dimensions) = request.dimensions {
        parameters.number("outputDimensionality", dimensions);
    }
    parameters.bool("autoTruncate", false);
}

fn write_content_call(texts: &[JsonText<'_>], request: &Request<'_>, object: &mut JsonObject<'_>) {
    for text in texts {
        write_content(text, object);
    }
    let mut config = object.object("embedContentConfig");
    write_config(request, &mut config);
    config.bool("autoTruncate", false);
}

fn write_titan(texts: &[JsonText<'_>], request: &Request<'_>, object: &mut JsonObject<'_>) {
    for text in texts {
        object.text("inputText", text);
    }
    if let Some(dimensions) = request.dimensions {
        object.number("dimensions", dimensions);
    }
    object.bool("normalize", true);
    object.list("embeddingTypes").str("float");
}

fn write_cohere(
    service: Service,
    texts: &[JsonText<'_>],
    request: &Request<'_>,
    object: &mut JsonObject<'_>,
) {
    {
        let mut list = object.list("texts");
        texts.iter().for_each(|text| list.text(text));
    }
    object.str("input_type", request.purpose.unwrap_or(Purpose::Document).cohere());
    object.str("truncate", "NONE");
    object.list("embedding_types").str("float");
    if let (Service::CohereV4, Some(dimensions)) = (service, request.dimensions) {
        object.number("output_dimension", dimensions);
    }
}
