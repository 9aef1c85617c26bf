//! Images and files in requests: their types, and whether their bytes can be read.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The media type of a file that is sent by its address, or within it.
///
/// # Errors
/// If an address of the form `data:` has no type, or no base64.
pub(crate) fn of_url(url: &str) -> Result<String, &'static str> {
    let Some(data) = url.strip_prefix("data:") else {
        return Ok("a file by its address".to_owned());
    };
    let (media_type, data) =
        data.split_once(";base64,").ok_or("Invalid data URL: expected base64.")?;
    if media_type.is_empty() || !is_base64(data) {
        return Err("Invalid data URL: expected a media type and base64.");
    }
    Ok(media_type.to_owned())
}

/// Whether this is base64 of at least one byte, without white space.
pub(crate) fn is_base64(data: &str) -> bool {
    !data.is_empty() && BASE64_STANDARD.decode(data).is_ok()
}
