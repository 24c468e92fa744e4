//! Topic aliases a client has set on this connection (P-14, P-15, L-6).

use std::sync::Arc;

use crate::violation::Violation;

/// Aliases 1 up to the granted maximum. Names are shared, because a publication that uses an alias
/// must be able to outlive the next change of it.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    names: Vec<Option<Arc<str>>>,
}

impl Aliases {
    /// Sets an alias, or sets it anew.
    pub(super) fn set(&mut self, alias: u32, maximum: u16, name: &str) -> Result<(), Violation> {
        let index = index_of(alias, maximum)?;
        if self.names.len() <= index {
            self.names.resize(index + 1, None);
        }
        if let Some(entry) = self.names.get_mut(index) {
            *entry = Some(name.into());
        }
        Ok(())
    }

    /// The name an alias stands for.
    pub(super) fn resolve(&self, alias: u32, maximum: u16) -> Result<Arc<str>, Violation> {
        let index = index_of(alias, maximum)?;
        self.names.get(index).and_then(Clone::clone).ok_or(Violation::TopicAliasUnknown)
    }
}

fn index_of(alias: u32, maximum: u16) -> Result<usize, Violation> {
    if alias == 0 || alias > u32::from(maximum) {
        return Err(Violation::TopicAliasRange);
    }
    Ok(alias as usize - 1)
}
