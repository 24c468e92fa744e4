//! Small numbers for entities and keys, so that a logged reading is a dozen bytes and maps are small.
//!
//! Numbers are given once and never change. A number is durable with the first commit that uses it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use thingport_model::id::EntityRef;

use crate::log::group::framed;
use crate::record;

/// Every entity and key that was ever named.
#[derive(Default)]
pub(crate) struct Names {
    entities: Vec<Option<EntityRef>>,
    keys: Vec<Option<Arc<str>>>,
    // Uuids and key texts come from the network; foldhash with a random seed is not predictable.
    entity_numbers: HashMap<EntityRef, u32, RandomState>,
    key_numbers: HashMap<Arc<str>, u32, RandomState>,
}

/// How many names there are; what came later lies behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameCount {
    pub(crate) entities: usize,
    pub(crate) keys: usize,
}

impl Names {
    pub(crate) fn entity(&self, name: EntityRef) -> Option<u32> {
        self.entity_numbers.get(&name).copied()
    }

    pub(crate) fn key(&self, name: &str) -> Option<u32> {
        self.key_numbers.get(name).copied()
    }

    pub(crate) fn entity_name(&self, number: u32) -> Option<EntityRef> {
        self.entities.get(number as usize).copied().flatten()
    }

    /// Whether a number has a name. Mostly all given ones have, and then none needs to be looked at.
    pub(crate) fn knows_entity(&self, number: u32) -> bool {
        let is_complete = self.entity_numbers.len() == self.entities.len();
        (number as usize) < self.entities.len()
            && (is_complete || self.entity_name(number).is_some())
    }

    pub(crate) fn key_name(&self, number: u32) -> Option<&Arc<str>> {
        self.keys.get(number as usize)?.as_ref()
    }

    pub(crate) fn count(&self) -> NameCount {
        NameCount { entities: self.entities.len(), keys: self.keys.len() }
    }

    /// The number of an entity; a new one is given and its record added to `log` when needed.
    pub(crate) fn intern_entity(&mut self, name: EntityRef, log: &mut Vec<u8>) -> u32 {
        self.entity(name).unwrap_or_else(|| {
            let number = self.entities.len() as u32;
            self.learn_entity(number, name);
            framed(log, |out| record::write_entity_name(out, number, name));
            number
        })
    }

    /// The number of a key; a new one is given and its record added to `log` when needed.
    pub(crate) fn intern_key(&mut self, name: &str, log: &mut Vec<u8>) -> u32 {
        self.key(name).unwrap_or_else(|| {
            let number = self.keys.len() as u32;
            self.learn_key(number, name);
            framed(log, |out| record::write_key_name(out, number, name));
            number
        })
    }

    /// Takes over a name read back. A number beyond all sense is ignored.
    pub(crate) fn learn_entity(&mut self, number: u32, name: EntityRef) {
        if grow(&mut self.entities, number) {
            self.entities[number as usize] = Some(name);
            self.entity_numbers.insert(name, number);
        }
    }

    /// Takes over a name read back. A number beyond all sense is ignored.
    pub(crate) fn learn_key(&mut self, number: u32, name: &str) {
        if grow(&mut self.keys, number) {
            let name: Arc<str> = name.into();
            self.keys[number as usize] = Some(Arc::clone(&name));
            self.key_numbers.insert(name, number);
        }
    }
}

fn grow<T: Clone>(list: &mut Vec<Option<T>>, number: u32) -> bool {
    let index = number as usize;
    if index >= list.len() + GAP_MAX {
        return false;
    }
    if index >= list.len() {
        list.resize(index + 1, None);
    }
    true
}

/// Numbers are given one after the other; a gap arises only where name records were damaged.
const GAP_MAX: usize = 1 << 20;
