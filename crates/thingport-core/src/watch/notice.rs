//! One committed change as its watchers share it.

use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::port::ledger::Committed;

/// A change, and texts that its readers made of it.
#[derive(Debug)]
pub struct Notice {
    /// What was committed.
    pub change: Committed,
    texts: Mutex<Vec<(TextKey, Arc<str>)>>,
}

/// Which text of a change is meant: a form, and which parts of the change are in it. The readers agree
/// on what the numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextKey {
    /// The form.
    pub form: u8,
    /// The parts, each a bit.
    pub parts: u64,
}

impl Notice {
    /// Nobody has made a text of it yet.
    #[must_use]
    pub const fn new(change: Committed) -> Self {
        Self { change, texts: Mutex::new(Vec::new()) }
    }

    /// The text of this key: the first reader who asks writes it, the others share it. Only
    /// [`TEXTS_MAX`] different ones are kept.
    pub fn text(&self, key: TextKey, write: impl FnOnce() -> String) -> Arc<str> {
        // Held while writing, so that the others wait for the text and do not write it too.
        let mut texts = self.texts.lock();
        if let Some((_, text)) = texts.iter().find(|(known, _)| *known == key) {
            return Arc::clone(text);
        }
        let text: Arc<str> = write().into();
        if texts.len() < TEXTS_MAX {
            texts.push((key, Arc::clone(&text)));
        }
        text
    }
}

/// Different texts of one change that are kept.
pub const TEXTS_MAX: usize = 8;
