//! What is set about edge nodes: by the profile, and by the configuration of the server.

/// What is set about edge nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of metrics that become attributes, or beginnings of such names with `*` behind (SP-043).
    pub attribute_metrics: Vec<String>,
    /// Whether a birth without bdSeq is refused; one with another bdSeq always is.
    pub requires_bd_seq: bool,
    /// How long a gap in the numbers of messages may stay open; 0: messages are never held back
    /// (tck-id-operational-behavior-host-reordering-param).
    pub reorder_timeout_ms: u64,
    /// Metrics that one payload may carry, and one edge node and its devices may declare.
    pub metrics_max: usize,
    /// Longest text value in UTF-16 units; 0: any.
    pub text_max: u32,
}

impl Settings {
    /// Whether a metric is an attribute.
    pub(crate) fn is_attribute(&self, name: &str) -> bool {
        self.attribute_metrics.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attribute_metrics: Vec::new(),
            requires_bd_seq: false,
            reorder_timeout_ms: 2000,
            metrics_max: METRICS_MAX,
            text_max: 0,
        }
    }
}

/// Metrics of an edge node unless the configuration says otherwise.
const METRICS_MAX: usize = 10_000;
