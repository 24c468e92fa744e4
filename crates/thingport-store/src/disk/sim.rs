//! A disk in memory for crash tests: it remembers what was synced and what was not, fails where it is
//! told to, and after a power cut keeps only what a real disk may have kept.
//!
//! Not meant for use outside tests; public so that the tests of other crates and the fuzzers share it.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{BLOCK, Disk, DiskFile};

/// A simulated directory. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What programs see.
    names: BTreeMap<String, u64>,
    /// What is on the platter.
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, SimContent>,
    next_file: u64,
    calls: u64,
    plan: Plan,
    dead: bool,
    space: Option<u64>,
}

#[derive(Default, Clone)]
struct SimContent {
    durable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

/// What is to go wrong, and when. Calls that change or sync something are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    #[default]
    Healthy,
    /// The call with this number fails once with an I/O error.
    FailOnce(u64),
    /// The power fails during the call with this number: it and all later ones fail.
    CutAt(u64),
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimDisk {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is to go wrong and starts counting calls anew.
    pub fn set_plan(&self, plan: Plan) {
        let mut state = self.0.lock();
        state.plan = plan;
        state.calls = 0;
    }

    /// Calls counted since the plan was set.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Limits the space for all files together; None for no limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.0.lock().space = bytes;
    }

    /// The directory as it may be found after the power failed now: synced content, plus a subset of
    /// the writes that were not synced, chosen by `seed`, the last of them torn. `seed` 0 keeps none.
    #[must_use]
    pub fn after_cut(&self, seed: u64) -> Self {
        let state = self.0.lock();
        let mut dice = Dice(seed);
        let mut names = state.durable_names.clone();
        if dice.coin() {
            names.clone_from(&state.names);
        }
        let mut files = BTreeMap::new();
        for (id, content) in &state.files {
            files.insert(*id, SimContent { durable: content.cut(&mut dice), pending: Vec::new() });
        }
        let next_file = state.next_file;
        let state =
            State { durable_names: names.clone(), names, files, next_file, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// An independent copy with everything synced: a clean look at what programs see.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.0.lock();
        let files = state.files.iter().map(|(id, content)| {
            (*id, SimContent { durable: content.seen(), pending: Vec::new() })
        });
        let names = state.names.clone();
        let copy = State {
            durable_names: names.clone(),
            names,
            files: files.collect(),
            next_file: state.next_file,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// Content of a file, for tests that damage it.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(name).and_then(|id| state.files.get(id)).map(SimContent::seen)
    }

    /// Replaces the content of a file, created if needed, as if it had always been so.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let id = state.create(name);
        state.durable_names.insert(name.to_owned(), id);
        state.files.insert(id, SimContent { durable: bytes, pending: Vec::new() });
    }
}

impl State {
    /// Counts a call and fails it where the plan says so.
    fn step(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.plan {
            Plan::FailOnce(call) if call == self.calls => Err(io::Error::other("planned failure")),
            Plan::CutAt(call) if call <= self.calls => {
                self.dead = true;
                Err(io::Error::other("planned power cut"))
            }
            Plan::Healthy | Plan::FailOnce(_) | Plan::CutAt(_) => Ok(()),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("planned power cut")) } else { Ok(()) }
    }

    fn create(&mut self, name: &str) -> u64 {
        self.next_file += 1;
        self.names.insert(name.to_owned(), self.next_file);
        self.next_file
    }

    fn used(&self) -> u64 {
        let visible = self.names.values().filter_map(|id| self.files.get(id));
        visible.map(|content| content.seen().len() as u64).sum()
    }
}

impl SimContent {
    fn seen(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|(at, data)| overwrite(&mut bytes, *at, data));
        bytes
    }

    fn cut(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        for (index, (at, data)) in self.pending.iter().enumerate() {
            if dice.coin() {
                let kept = if index == last { dice.torn(data.len()) } else { data.len() };
                overwrite(&mut bytes, *at, &data[..kept]);
            }
        }
        bytes
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let end = at as usize + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at as usize..end].copy_from_slice(data);
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        state.alive()?;
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn allocate(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.step()?;
        if state.space.is_some_and(|space| state.used() + len > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.create(name);
        state.files.insert(id, SimContent { durable: vec![0; len as usize], pending: Vec::new() });
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.names.remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }

    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        Ok(state.files.get(&self.id).map_or(0, |content| content.seen().len() as u64))
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.alive()?;
        let bytes = state.files.get(&self.id).map(SimContent::seen).unwrap_or_default();
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, at: u64, blocks: &[u8]) -> io::Result<()> {
        assert!(at.is_multiple_of(BLOCK as u64) && blocks.len().is_multiple_of(BLOCK));
        assert_eq!(blocks.as_ptr().align_offset(BLOCK), 0, "direct I/O needs aligned memory");
        let mut state = self.disk.0.lock();
        state.alive()?;
        let outcome = state.step();
        // What a power cut or a failure hits may still have reached the disk in part.
        let torn = matches!(state.plan, Plan::FailOnce(_)) && outcome.is_err();
        let kept = if torn { blocks.len() / 2 } else { blocks.len() };
        let content = state.files.entry(self.id).or_default();
        content.pending.push((at, blocks[..kept].to_vec()));
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step()?;
        let content = state.files.entry(self.id).or_default();
        content.durable = content.seen();
        content.pending.clear();
        Ok(())
    }
}

/// A small generator of repeatable chance (xorshift). Seed 0 always answers no.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 11) % end.max(1)
    }

    fn coin(&mut self) -> bool {
        self.roll() >> 40 & 1 == 1
    }

    fn torn(&mut self, len: usize) -> usize {
        let unit = if self.coin() { 512 } else { BLOCK };
        self.below(len as u64 / unit as u64 + 1) as usize * unit
    }
}
