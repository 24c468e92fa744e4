//! Stored URLs.

use thingport_model::port::error::PortError;
use thingport_model::webhook::WebhookUrl;

/// The URL of a receiver, which was one when it was stored.
pub(super) fn known_url(text: &str) -> Result<WebhookUrl, PortError> {
    WebhookUrl::parse(text)
        .map_err(|problem| PortError::Corrupt(format!("a stored URL {}", problem.sentence())))
}
