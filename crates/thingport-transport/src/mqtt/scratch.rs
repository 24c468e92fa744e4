//! What a thread lends to the connection it is running: buffers that would be idle most of the time if
//! each connection owned them.

use core::cell::RefCell;

use thingport_device::link::Page;
use thingport_device::reader::Reader;
use thingport_model::reading::Readings;

use super::tap::Tap;
use crate::config::READ_BUFFER;
use crate::tls::Room;

/// One thread's buffers.
pub(super) struct Scratch {
    /// Bytes read from the socket.
    pub(super) read: Vec<u8>,
    /// What the connection is lent besides.
    pub(super) desk: Desk,
    /// Room for records of TLS.
    pub(super) room: Room,
}

/// Room to work in.
pub(super) struct Desk {
    /// Bytes to be written to the socket; emptied before each turn.
    pub(super) out: Vec<u8>,
    /// Reads payloads.
    pub(super) reader: Reader,
    /// Readings of the publication being handled.
    pub(super) readings: Readings,
    /// The message to a device being written.
    pub(super) page: Page,
    /// What looks on during this turn; hardly ever anything.
    pub(super) tap: Option<Box<Tap>>,
}

/// Lends this thread's buffers. A connection never runs another one, so they are free; should that
/// ever change, the inner one gets buffers of its own.
pub(super) fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
    }
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        Err(_) => work(&mut Scratch::new()),
    })
}

impl Scratch {
    fn new() -> Self {
        let desk = Desk {
            out: Vec::with_capacity(4096),
            reader: Reader::new(),
            readings: Readings::default(),
            page: Page::default(),
            tap: None,
        };
        Self { read: vec![0; READ_BUFFER], desk, room: Room::default() }
    }
}
