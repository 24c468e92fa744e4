//! Things of one entity by key, side by side. Mostly there are few of them: then looking through them
//! is quicker than any map, and they take no more memory than they need. Many are found by an index.

use core::hash::Hash;
use std::collections::HashMap;

use foldhash::fast::RandomState;

/// What has a key that never changes.
pub(crate) trait Keyed {
    type Key: Copy + Eq + Hash;

    fn key(&self) -> Self::Key;
}

/// At most one thing of each key, in order of arrival.
pub(crate) struct Few<T: Keyed> {
    all: Vec<T>,
    // Boxed, because most entities have none and a pointer is all it may cost them.
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<T::Key, u32, RandomState>>>,
}

impl<T: Keyed> Default for Few<T> {
    fn default() -> Self {
        Self { all: Vec::new(), index: None }
    }
}

impl<T: Keyed> Few<T> {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, T> {
        self.all.iter()
    }

    pub(crate) fn get(&self, key: T::Key) -> Option<&T> {
        self.all.get(self.find(key)?)
    }

    /// The one of this key, made if needed.
    pub(crate) fn of(&mut self, key: T::Key, make: impl FnOnce() -> T) -> &mut T {
        let place = self.find(key).unwrap_or_else(|| self.add(make()));
        &mut self.all[place]
    }

    fn find(&self, key: T::Key) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&key).map(|place| *place as usize),
            None => self.all.iter().position(|known| known.key() == key),
        }
    }

    fn add(&mut self, one: T) -> usize {
        let place = self.all.len();
        if place < FEW {
            self.all.reserve_exact(1); // most entities have three or four, for long
        }
        if let Some(index) = &mut self.index {
            index.insert(one.key(), place as u32);
        }
        self.all.push(one);
        if self.index.is_none() && place == FEW {
            let places = self.all.iter().zip(0..).map(|(one, place)| (one.key(), place));
            self.index = Some(Box::new(places.collect()));
        }
        place
    }
}

/// So many are looked through one by one.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    impl Keyed for (u32, u64) {
        type Key = u32;

        fn key(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn few_and_many_are_found_and_stay_in_order() {
        for count in [1, FEW as u32, FEW as u32 + 1, 1_000] {
            let mut few = Few::default();
            let keys = || (0..count).map(|number| number.wrapping_mul(0x9e37_79b9));
            for _ in 0..3 {
                keys().for_each(|key| few.of(key, || (key, 0)).1 += u64::from(key));
            }
            assert_eq!(few.len(), count as usize);
            assert!(few.iter().map(Keyed::key).eq(keys()), "{count}");
            let is_right = |key| few.get(key) == Some(&(key, 3 * u64::from(key)));
            assert!(keys().all(is_right) && few.get(1).is_none(), "{count}");
        }
    }
}
