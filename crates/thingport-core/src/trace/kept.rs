//! The trace of one device: its latest records, and who reads along.
//!
//! There is no queue per reader. A reader remembers how far it has read; one that is too slow finds
//! that the oldest records are gone, and how many. So what is read first and what comes after it have
//! no gap and nothing twice.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use thingport_model::id::TenantId;
use thingport_model::port::ledger::Receipt;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use tokio::sync::watch;

use super::record::{Direction, Meaning, Packet, Record, Verdict, Why, tidy};
use super::scrub::Scrub;
use crate::metrics::{Bound, Metrics};

/// The trace of one device.
#[derive(Debug)]
pub struct Trace {
    pub(super) tenant: TenantId,
    /// On the clock that only moves forward; 0 once it was ended by hand.
    until_ms: AtomicU64,
    kept: Mutex<Kept>,
    /// How many changes there were.
    changed: watch::Sender<u64>,
    metrics: Arc<Metrics>,
}

/// Something to be recorded.
#[derive(Debug)]
pub struct Noted {
    /// When it happened.
    pub at: Timestamp,
    /// The connection; none where there is no lasting one.
    pub connection: Option<u64>,
    /// Which way it went.
    pub direction: Direction,
    /// `MQTT 3.1.1`, `HTTP`, ...
    pub protocol: &'static str,
    /// The packet.
    pub packet: Packet,
    /// By which its answer will name it; 0 for none.
    pub packet_id: u16,
    /// The promise it waits for.
    pub receipt: Option<Receipt>,
    /// What the device said by it.
    pub meaning: Option<Meaning>,
    /// What became of it so far.
    pub verdict: Verdict,
    /// Why it was not taken, where that is known already.
    pub why: Option<Why>,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    next: u64,
    revision: u64,
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Records that are gone and were not read.
    pub missed: u64,
    /// Records that were read before and have another verdict now.
    pub settled: Vec<Arc<Record>>,
    /// New ones, the oldest first.
    pub records: Vec<Arc<Record>>,
    /// There are more already.
    pub has_more: bool,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ends, or ended.
    pub until: Timestamp,
}

#[derive(Debug)]
struct Kept {
    span: Span,
    entries: VecDeque<Entry>,
    weight: usize,
    last_number: u64,
    revision: u64,
    scrub: Scrub,
    /// Reasons that belong to the packet being handled, with their connection.
    pending: Vec<(Option<u64>, &'static str, Why)>,
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    weight: usize,
    revision: u64,
    packet_id: u16,
    receipt: Option<Receipt>,
}

impl Trace {
    pub(super) fn new(tenant: TenantId, metrics: Arc<Metrics>) -> Self {
        let span = Span { started_at: Timestamp::EPOCH, until: Timestamp::EPOCH };
        let kept = Kept {
            span,
            entries: VecDeque::new(),
            weight: 0,
            last_number: 0,
            revision: 0,
            scrub: Scrub::default(),
            pending: Vec::new(),
        };
        let (until_ms, kept) = (AtomicU64::new(0), Mutex::new(kept));
        Self { tenant, until_ms, kept, changed: watch::Sender::new(0), metrics }
    }

    /// Begins it, again or for another time.
    pub(super) fn begin(&self, now: Timestamp, now_ms: u64, lasting_ms: u64) {
        let mut kept = self.kept.lock();
        if !self.is_running(now_ms) {
            kept.span.started_at = now;
        }
        let lasting = i64::try_from(lasting_ms).unwrap_or(i64::MAX);
        kept.span.until = now.plus_ms(lasting);
        self.until_ms.store(now_ms.saturating_add(lasting_ms), Ordering::Release);
        self.touch(&mut kept);
    }

    /// Ends it before its time.
    pub(super) fn end(&self, now: Timestamp, now_ms: u64) {
        let mut kept = self.kept.lock();
        if self.is_running(now_ms) {
            kept.span.until = now;
            self.until_ms.store(now_ms, Ordering::Release);
        }
        self.touch(&mut kept);
    }

    /// Whether records are made.
    #[must_use]
    pub fn is_running(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms()
    }

    /// When it ends or ended, on the clock that only moves forward.
    #[must_use]
    pub fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Acquire)
    }

    /// From when to when.
    #[must_use]
    pub fn span(&self) -> Span {
        self.kept.lock().span
    }

    /// Remembers a secret that no record may show.
    pub fn learn_secret(&self, secret: &str) {
        self.kept.lock().scrub.learn(secret);
    }

    /// Notes a reason that belongs to the packet of this connection that is being handled; it goes to the
    /// next record of that connection that comes in.
    pub fn give_reason(
        &self,
        connection: Option<u64>,
        protocol: &'static str,
        reason: Reason,
        detail: &str,
    ) {
        let mut kept = self.kept.lock();
        let why = kept.why(reason, detail);
        if kept.pending.len() < PENDING_MAX {
            kept.pending.push((connection, protocol, why));
        }
    }

    /// Records something; gives its number.
    pub fn note(&self, noted: Noted) -> u64 {
        let mut kept = self.kept.lock();
        let mut reasons = match noted.direction {
            Direction::In => kept.take_reasons(noted.connection),
            Direction::Out | Direction::None => Vec::new(),
        };
        reasons.extend(noted.why.clone().map(|it| kept.why(it.reason, &it.detail)));
        let number = self.push(&mut kept, noted, reasons);
        self.touch(&mut kept);
        number
    }

    /// Records the reasons of a connection that belong to no packet, such as that it was lost.
    pub fn note_reasons(&self, connection: Option<u64>, at: Timestamp) {
        let mut kept = self.kept.lock();
        let of = |it: &(Option<u64>, _, _)| it.0 == connection;
        let Some(protocol) = kept.pending.iter().find(|it| of(it)).map(|it| it.1) else { return };
        let reasons = kept.take_reasons(connection);
        let noted = Noted {
            at,
            connection,
            direction: Direction::None,
            protocol,
            packet: Packet { kind: INCIDENT, ..Packet::default() },
            packet_id: 0,
            receipt: None,
            meaning: None,
            verdict: Verdict::None,
            why: None,
        };
        self.push(&mut kept, noted, reasons);
        self.touch(&mut kept);
    }

    /// The packet with this identifier, which went `of`, was answered so. `taken`: what that says.
    pub fn answered(
        &self,
        connection: Option<u64>,
        of: Direction,
        packet_id: u16,
        codes: &[u8],
        taken: bool,
    ) {
        self.settle(
            |it| it.is_of(connection, of) && it.packet_id == packet_id && packet_id != 0,
            |record| {
                record.answered = codes.iter().copied().map(u16::from).take(CODES_MAX).collect();
                match (taken, record.verdict) {
                    (false, _) => record.verdict = Verdict::Refused,
                    (true, Verdict::Open) => record.verdict = Verdict::Accepted,
                    (true, _) => {}
                }
            },
        );
    }

    /// The packet waits for this promise now.
    pub fn promised(&self, connection: Option<u64>, packet_id: u16, receipt: Receipt) {
        let mut kept = self.kept.lock();
        let of = |it: &Entry| it.is_open(connection, packet_id) && it.receipt.is_none();
        if let Some(entry) = kept.entries.iter_mut().rev().find(|it| of(it)) {
            entry.receipt = Some(receipt);
        }
    }

    /// What waited for this promise is durable, or will never be.
    pub fn committed(&self, connection: Option<u64>, receipt: Receipt, at: Timestamp, ok: bool) {
        self.settle(
            |it| it.is_of(connection, Direction::In) && it.receipt == Some(receipt),
            |it| it.verdict = if ok { Verdict::Committed { at } } else { Verdict::Refused },
        );
    }

    /// A packet that was recorded as not decided yet is refused; its reasons were given just now.
    pub fn refused(&self, connection: Option<u64>, packet_id: u16) {
        let reasons = self.kept.lock().take_reasons(connection);
        self.settle(
            |it| it.is_of(connection, Direction::In) && it.packet_id == packet_id,
            |record| {
                record.reasons.extend(reasons);
                record.verdict = Verdict::Refused;
            },
        );
    }

    /// Changes the record with this number.
    pub fn amend(&self, number: u64, change: impl FnOnce(&mut Record)) {
        let mut kept = self.kept.lock();
        let mut change = Some(change);
        kept.change(
            |it| it.record.number == number,
            |record, scrub| {
                if let Some(change) = change.take() {
                    change(record);
                }
                scrub_reasons(record, scrub);
                if let Some(meaning) = &mut record.meaning {
                    meaning.tidy(scrub);
                }
            },
        );
        self.touch(&mut kept);
    }

    /// Where to begin to read so that the last `records` come first.
    #[must_use]
    pub fn cursor(&self, records: usize) -> Cursor {
        let kept = self.kept.lock();
        let last = u64::try_from(records.min(kept.entries.len())).unwrap_or(0);
        Cursor { next: kept.last_number + 1 - last, revision: kept.revision }
    }

    /// Reads at most `max` new records on from there, and moves the cursor.
    #[must_use]
    pub fn read(&self, cursor: &mut Cursor, max: usize) -> Part {
        let kept = self.kept.lock();
        let first = kept.entries.front().map_or(kept.last_number + 1, |it| it.record.number);
        let missed = first.saturating_sub(cursor.next);
        let from = cursor.next.max(first);
        let settled = |it: &&Entry| it.record.number < from && it.revision > cursor.revision;
        let settled: Vec<_> =
            kept.entries.iter().filter(settled).map(|it| Arc::clone(&it.record)).collect();
        let at = usize::try_from(from - first).unwrap_or(usize::MAX);
        let new = kept.entries.iter().skip(at).take(max);
        let records: Vec<_> = new.map(|it| Arc::clone(&it.record)).collect();
        cursor.next = from + records.len() as u64;
        cursor.revision = kept.revision;
        let has_more = cursor.next <= kept.last_number;
        Part { missed, settled, records, has_more }
    }

    /// Records that were made and are gone.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let kept = self.kept.lock();
        kept.last_number - kept.entries.len() as u64
    }

    /// Hears of every change from now on: of records and of the time it lasts.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn push(&self, kept: &mut Kept, noted: Noted, reasons: Vec<Why>) -> u64 {
        let Noted { at, connection, direction, protocol, mut packet, mut meaning, .. } = noted;
        if packet.tidy(&kept.scrub) {
            self.metrics.count_bound(Bound::TracePayload);
        }
        if let Some(meaning) = &mut meaning {
            meaning.tidy(&kept.scrub);
        }
        let is_refused = reasons.iter().any(Why::is_refusal) && direction != Direction::None;
        let verdict = if is_refused { Verdict::Refused } else { noted.verdict };
        kept.last_number += 1;
        let (number, answered) = (kept.last_number, Vec::new());
        let record = Record {
            number,
            at,
            connection,
            direction,
            protocol,
            packet,
            meaning,
            reasons,
            verdict,
            answered,
        };
        let weight = record.weight();
        let (packet_id, receipt, record) = (noted.packet_id, noted.receipt, Arc::new(record));
        kept.weight += weight;
        kept.entries.push_back(Entry { record, weight, revision: 0, packet_id, receipt });
        self.make_room(kept);
        number
    }

    /// The oldest go.
    fn make_room(&self, kept: &mut Kept) {
        while kept.entries.len() > RECORDS_MAX {
            self.metrics.count_bound(Bound::TraceRecords);
            kept.drop_oldest();
        }
        while kept.weight > BYTES_MAX && kept.entries.len() > 1 {
            self.metrics.count_bound(Bound::TraceBytes);
            kept.drop_oldest();
        }
    }

    fn settle(&self, of: impl Fn(&Entry) -> bool, change: impl FnOnce(&mut Record)) {
        let mut kept = self.kept.lock();
        let mut change = Some(change);
        kept.change(of, |record, _| {
            if let Some(change) = change.take() {
                change(record);
            }
        });
        self.touch(&mut kept);
    }

    /// Lets readers look.
    fn touch(&self, kept: &mut Kept) {
        kept.revision += 1;
        self.changed.send_replace(kept.revision);
    }
}

impl Kept {
    fn why(&self, reason: Reason, detail: &str) -> Why {
        let mut detail = detail.to_owned();
        tidy(&mut detail, DETAIL_MAX, &self.scrub);
        Why { reason, detail }
    }

    fn take_reasons(&mut self, connection: Option<u64>) -> Vec<Why> {
        let is_of = |it: &mut (Option<u64>, _, _)| it.0 == connection;
        self.pending.extract_if(.., is_of).map(|it| it.2).collect()
    }

    /// Changes the newest entry of that kind.
    fn change(&mut self, of: impl Fn(&Entry) -> bool, change: impl FnOnce(&mut Record, &Scrub)) {
        let revision = self.revision + 1;
        let Some(entry) = self.entries.iter_mut().rev().find(|it| of(it)) else { return };
        // Copied only while somebody reads it.
        let record = Arc::make_mut(&mut entry.record);
        change(record, &self.scrub);
        let weight = record.weight();
        self.weight = self.weight - entry.weight + weight;
        (entry.weight, entry.revision) = (weight, revision);
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.weight -= oldest.weight;
        }
    }
}

impl Entry {
    fn is_of(&self, connection: Option<u64>, direction: Direction) -> bool {
        self.record.connection == connection && self.record.direction == direction
    }

    fn is_open(&self, connection: Option<u64>, packet_id: u16) -> bool {
        self.is_of(connection, Direction::In)
            && self.packet_id == packet_id
            && self.record.verdict == Verdict::Open
    }
}

impl Record {
    fn weight(&self) -> usize {
        let meaning = self.meaning.as_ref().map_or(0, Meaning::weight);
        let reasons = self.reasons.iter().map(|it| size_of::<Why>() + it.detail.len());
        size_of::<Entry>()
            + size_of::<Self>()
            + self.packet.weight()
            + meaning
            + reasons.sum::<usize>()
            + self.answered.len() * size_of::<u16>()
    }
}

fn scrub_reasons(record: &mut Record, scrub: &Scrub) {
    record.reasons.iter_mut().for_each(|why| tidy(&mut why.detail, DETAIL_MAX, scrub));
}

/// What is recorded without a packet.
pub const INCIDENT: &str = "INCIDENT";
/// Records of one device (`trace_records_max`); the oldest goes.
pub const RECORDS_MAX: usize = 1_000;
/// Bytes of all records of one device (`trace_bytes_max`); the oldest goes.
pub const BYTES_MAX: usize = 1024 * 1024;
/// Reasons that wait for the packet they belong to.
const PENDING_MAX: usize = 64;
/// Bytes of what exactly was wrong.
const DETAIL_MAX: usize = 512;
/// Codes of one answer.
const CODES_MAX: usize = 64;
