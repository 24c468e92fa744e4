//! What the configuration says about calls out.

use rustls::pki_types::CertificateDer;

use crate::reach::Reach;

/// Settings of all calls out.
#[derive(Clone, Debug)]
pub struct OutboundConfig {
    /// Which addresses may be called.
    pub reach: Reach,
    /// Certificates of authorities that are trusted beside the public ones.
    pub roots: Vec<CertificateDer<'static>>,
    /// Requests of one lane under way at once (`webhook_requests_per_lane_max`); the next one waits.
    pub lane_max: u32,
    /// What receivers are told about who calls: `thingport/1.2.3`.
    pub user_agent: String,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            roots: Vec::new(),
            lane_max: 32,
            user_agent: "thingport".to_owned(),
        }
    }
}
