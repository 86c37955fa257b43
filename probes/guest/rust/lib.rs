//! unidbg's in-guest probe for Rust: `no_std`, no dependencies, no allocation. The wire protocol is docs/probe-protocol.md.
//!
//! ```ignore
//! unidbg_probe::ring!(1024);                                      // once in the program: the static `unidbg_ring`
//! let mut probe: Probe<_, 16> = Probe::new("my kernel", clock_ns, ring());
//! let requests = probe.declare(Kind::Counter, "app.requests", "{request}", "");
//! probe.integer(requests, 1);                                     // never blocks
//! probe.poll();                                                   // now and then
//! ```
//!
//! A `Sink` takes records: `Ring` puts them into RAM, where the host reads them; `Framed` makes frames of them for a UART, a
//! virtio-serial port or a socket of yours.
#![no_std]

use core::sync::atomic::{fence, AtomicU64, Ordering};

pub const VERSION: u8 = 1;
pub const MAX_RECORD: usize = 112;
pub const MAX_FRAME: usize = MAX_RECORD + 4 + 2;
const HEADER: usize = 16;
const ANNOUNCE_NS: u64 = 1_000_000_000;

/// What a metric is; spans are in ns.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Gauge = 0,
    Counter = 1,
    Span = 2,
}

/// A declared metric; 0 is none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Metric(pub u16);

/// One record's bytes.
#[derive(Clone, Copy)]
pub struct Record {
    bytes: [u8; MAX_RECORD],
    length: usize,
}

impl Record {
    fn new(kind: u8, id: u16, sequence: u32, time: u64) -> Record {
        let mut record = Record { bytes: [0; MAX_RECORD], length: 0 };
        record.put(&[kind, 0]);
        record.put(&id.to_le_bytes());
        record.put(&sequence.to_le_bytes());
        record.put(&time.to_le_bytes());
        record
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    fn put_text(&mut self, text: &str, most: usize) {
        let bytes = &text.as_bytes()[..text.len().min(most)];
        self.put(&[bytes.len() as u8]);
        self.put(bytes);
    }

    pub fn hello(sequence: u32, time: u64, metrics: u16, dropped: u32, program: &str) -> Record {
        let mut record = Record::new(1, 0, sequence, time);
        record.put(&[VERSION, 0]);
        record.put(&metrics.to_le_bytes());
        record.put(&dropped.to_le_bytes());
        record.put_text(program, 64);
        record
    }

    /// `attributes` is "key=value", at most four with commas between them. Texts that are too long together are cut.
    pub fn declare(sequence: u32, time: u64, id: u16, kind: Kind, name: &str, unit: &str, attributes: &str) -> Record {
        let mut record = Record::new(2, id, sequence, time);
        record.put(&[kind as u8]);
        record.put_text(name, 72);
        record.put_text(unit, 20);
        if !attributes.is_empty() {
            record.put_text(attributes, MAX_RECORD - record.length - 1);
        }
        record
    }

    pub fn integer(sequence: u32, time: u64, id: u16, value: i64) -> Record {
        Record::value(3, sequence, time, id, value as u64)
    }

    pub fn float(sequence: u32, time: u64, id: u16, value: f64) -> Record {
        Record::value(4, sequence, time, id, value.to_bits())
    }

    pub fn span(sequence: u32, start: u64, id: u16, duration: u64) -> Record {
        Record::value(5, sequence, start, id, duration)
    }

    fn value(kind: u8, sequence: u32, time: u64, id: u16, bits: u64) -> Record {
        let mut record = Record::new(kind, id, sequence, time);
        record.put(&bits.to_le_bytes());
        record
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The record with its CRC-32, COBS-encoded, ended by a zero; and how many bytes of the array that is.
    pub fn frame(&self) -> ([u8; MAX_FRAME], usize) {
        let mut frame = [0u8; MAX_FRAME];
        let crc = crc32(self.bytes()).to_le_bytes();
        let (mut code_at, mut at) = (0, 1);
        for &byte in self.bytes().iter().chain(crc.iter()) {
            if byte == 0 {
                frame[code_at] = (at - code_at) as u8;
                code_at = at;
            } else {
                frame[at] = byte;
            }
            at += 1;
        }
        frame[code_at] = (at - code_at) as u8;
        (frame, at + 1)
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= byte as u32;
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Takes records; gives false when one could not be taken, without waiting.
pub trait Sink {
    fn put(&mut self, record: &Record) -> bool;
    /// After so many records the names are to be repeated, whatever the clock says.
    fn turns_after(&self) -> u32 {
        u32::MAX
    }
}

/// A byte stream: `write` takes a whole frame, or none of it and gives false. It must not wait.
pub struct Framed<W: FnMut(&[u8]) -> bool>(pub W);

impl<W: FnMut(&[u8]) -> bool> Sink for Framed<W> {
    fn put(&mut self, record: &Record) -> bool {
        let (frame, length) = record.frame();
        (self.0)(&frame[..length])
    }
}

/// One slot of the ring.
#[repr(C, align(8))]
pub struct Slot {
    stamp: AtomicU64,
    length: u32,
    reserved: u32,
    record: [u8; MAX_RECORD],
}

/// The ring in RAM, as the host reads it. Made by `ring!`.
#[repr(C, align(64))]
pub struct RingMemory<const SLOTS: usize> {
    magic: [u8; 8],
    slot_size: u32,
    slot_count: u32,
    written: AtomicU64,
    reserved: [u8; 40],
    slots: [Slot; SLOTS],
}

impl<const SLOTS: usize> RingMemory<SLOTS> {
    #[allow(clippy::declare_interior_mutable_const)]
    const EMPTY: Slot = Slot { stamp: AtomicU64::new(0), length: 0, reserved: 0, record: [0; MAX_RECORD] };

    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        assert!(SLOTS.is_power_of_two() && SLOTS <= 65_536);
        RingMemory {
            magic: *b"UNIDBGR1",
            slot_size: core::mem::size_of::<Slot>() as u32,
            slot_count: SLOTS as u32,
            written: AtomicU64::new(0),
            reserved: [0; 40],
            slots: [Self::EMPTY; SLOTS],
        }
    }
}

/// Makes the program's ring, `unidbg_ring`, of so many slots, and `ring()`, which gives it away once as a `Sink`.
#[macro_export]
macro_rules! ring {
    ($slots:expr) => {
        #[no_mangle]
        #[used]
        #[allow(non_upper_case_globals)]
        static mut unidbg_ring: $crate::RingMemory<{ $slots }> = $crate::RingMemory::new();
        fn ring() -> $crate::Ring<{ $slots }> {
            use core::sync::atomic::{AtomicBool, Ordering};
            static TAKEN: AtomicBool = AtomicBool::new(false);
            assert!(!TAKEN.swap(true, Ordering::Relaxed), "there is one ring only");
            // The flag makes this the only reference there ever is.
            #[allow(unused_unsafe)]
            $crate::Ring::new(unsafe { &mut *core::ptr::addr_of_mut!(unidbg_ring) })
        }
    };
}

/// Puts records into the ring; the oldest is overwritten.
pub struct Ring<const SLOTS: usize>(&'static mut RingMemory<SLOTS>);

impl<const SLOTS: usize> Ring<SLOTS> {
    pub fn new(memory: &'static mut RingMemory<SLOTS>) -> Self {
        Ring(memory)
    }
}

impl<const SLOTS: usize> Sink for Ring<SLOTS> {
    fn put(&mut self, record: &Record) -> bool {
        let number = self.0.written.load(Ordering::Relaxed);
        let slot = &mut self.0.slots[number as usize & (SLOTS - 1)];
        slot.stamp.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        slot.length = record.length as u32;
        slot.record[..record.length].copy_from_slice(record.bytes());
        slot.stamp.store(number + 1, Ordering::Release);
        self.0.written.store(number + 1, Ordering::Release);
        true
    }

    fn turns_after(&self) -> u32 {
        SLOTS as u32 / 2
    }
}

/// Both sinks at once.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn put(&mut self, record: &Record) -> bool {
        let first = self.0.put(record);
        self.1.put(record) && first
    }

    fn turns_after(&self) -> u32 {
        self.0.turns_after().min(self.1.turns_after())
    }
}

#[derive(Clone, Copy)]
struct Declared {
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    attributes: &'static str,
}

/// Up to `N` metrics of one program, said to one sink.
pub struct Probe<S: Sink, const N: usize> {
    program: &'static str,
    clock: fn() -> u64,
    sink: S,
    metrics: [Option<Declared>; N],
    count: u16,
    sequence: u32,
    dropped: u32,
    announced_at: u64,
    announced_sequence: u32,
}

impl<S: Sink, const N: usize> Probe<S, N> {
    /// `clock`: nanoseconds, monotonic.
    pub fn new(program: &'static str, clock: fn() -> u64, sink: S) -> Self {
        let mut probe = Probe {
            program,
            clock,
            sink,
            metrics: [None; N],
            count: 0,
            sequence: 0,
            dropped: 0,
            announced_at: 0,
            announced_sequence: 0,
        };
        probe.announce();
        probe
    }

    /// Names a metric; `Metric(0)`, whose values are ignored, when there are `N` or a text is too long.
    pub fn declare(&mut self, kind: Kind, name: &'static str, unit: &'static str, attributes: &'static str) -> Metric {
        let length = name.len() + unit.len() + attributes.len();
        if self.count as usize >= N || name.len() > 72 || unit.len() > 20 || length > MAX_RECORD - HEADER - 4 {
            return Metric(0);
        }
        self.metrics[self.count as usize] = Some(Declared { kind, name, unit, attributes });
        self.count += 1;
        self.send_declaration(self.count);
        Metric(self.count)
    }

    pub fn integer(&mut self, metric: Metric, value: i64) {
        let time = (self.clock)();
        self.send_value(metric, |sequence| Record::integer(sequence, time, metric.0, value));
    }

    pub fn float(&mut self, metric: Metric, value: f64) {
        let time = (self.clock)();
        self.send_value(metric, |sequence| Record::float(sequence, time, metric.0, value));
    }

    /// When it began on the probe's clock, and how long it took.
    pub fn span(&mut self, metric: Metric, start_ns: u64, duration_ns: u64) {
        self.send_value(metric, |sequence| Record::span(sequence, start_ns, metric.0, duration_ns));
    }

    /// Repeats the names once a second.
    pub fn poll(&mut self) {
        if (self.clock)().wrapping_sub(self.announced_at) >= ANNOUNCE_NS {
            self.announce();
        }
    }

    /// Records that the sink could not take so far.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn send_value(&mut self, metric: Metric, record: impl FnOnce(u32) -> Record) {
        if metric.0 == 0 || metric.0 > self.count {
            return;
        }
        self.send(record);
        if self.sequence.wrapping_sub(self.announced_sequence) >= self.sink.turns_after() {
            self.announce();
        }
    }

    // A record that is dropped has its number nevertheless: so the other side knows.
    fn send(&mut self, record: impl FnOnce(u32) -> Record) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        if !self.sink.put(&record(sequence)) {
            self.dropped = self.dropped.wrapping_add(1);
        }
    }

    fn send_declaration(&mut self, id: u16) {
        let time = (self.clock)();
        if let Some(Declared { kind, name, unit, attributes }) = self.metrics[id as usize - 1] {
            self.send(|sequence| Record::declare(sequence, time, id, kind, name, unit, attributes));
        }
    }

    fn announce(&mut self) {
        let time = (self.clock)();
        let (metrics, dropped, program) = (self.count, self.dropped, self.program);
        self.announced_at = time;
        self.announced_sequence = self.sequence;
        self.send(|sequence| Record::hello(sequence, time, metrics, dropped, program));
        for id in 1..=self.count {
            self.send_declaration(id);
        }
    }
}
