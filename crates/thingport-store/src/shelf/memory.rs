//! A shelf in memory, for tests: every call is durable at once, or fails as a whole where told to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use parking_lot::Mutex;

use super::{Order, Run, Shelf, ShelfError, Space, Visit};

/// A shelf in memory.
#[derive(Default)]
pub(crate) struct MemoryShelf(Mutex<State>);

#[derive(Default, Clone)]
struct State {
    pairs: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    calls: u64,
    fail_from: Option<u64>,
}

impl MemoryShelf {
    /// What it holds, for a process that starts after this one died.
    pub(crate) fn survivor(&self) -> Self {
        let pairs = self.0.lock().pairs.clone();
        Self(Mutex::new(State { pairs, ..State::default() }))
    }

    /// Lets the writing call with this number (from 1) and all later ones fail.
    pub(crate) fn fail_from(&self, call: Option<u64>) {
        let mut state = self.0.lock();
        state.calls = 0;
        state.fail_from = call;
    }

    /// Loses everything of a space.
    pub(crate) fn forget(&self, space: Space) {
        self.0.lock().pairs.retain(|(it, _), _| *it != space);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls
    }
}

impl State {
    fn step(&mut self) -> Result<(), ShelfError> {
        self.calls += 1;
        if self.fail_from.is_some_and(|first| self.calls >= first) {
            return Err(ShelfError::Failed("planned failure".to_owned()));
        }
        Ok(())
    }

    fn apply(&mut self, space: Space, run: &Run) {
        for (key, value) in run.pairs() {
            match value {
                Some(value) => self.pairs.insert((space, key.to_vec()), value.to_vec()),
                None => self.pairs.remove(&(space, key.to_vec())),
            };
        }
    }
}

impl Shelf for MemoryShelf {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        Ok(self.0.lock().pairs.get(&(space, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError> {
        let found: Vec<_> = {
            let state = self.0.lock();
            let range = state.pairs.range((space, from.to_vec())..(space, to.to_vec()));
            range.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        };
        let mut each = |(key, value): &(Vec<u8>, Vec<u8>)| visit(key, value);
        let _: ControlFlow<()> = match order {
            Order::Ascending => found.iter().try_for_each(&mut each),
            Order::Descending => found.iter().rev().try_for_each(&mut each),
        };
        Ok(())
    }

    fn ingest(&self, space: Space, run: &Run) -> Result<(), ShelfError> {
        let keys: Vec<_> = run.pairs().map(|(key, _)| key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "runs ascend");
        let mut state = self.0.lock();
        state.step()?;
        state.apply(space, run);
        Ok(())
    }

    fn commit(&self, edits: &[(Space, Run)]) -> Result<(), ShelfError> {
        let mut state = self.0.lock();
        state.step()?;
        edits.iter().for_each(|(space, run)| state.apply(*space, run));
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.0.lock().pairs.iter().map(|((_, key), value)| key.len() + value.len()).sum::<usize>()
            as u64
    }
}
