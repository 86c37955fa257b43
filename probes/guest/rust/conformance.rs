//! Says what conformance.txt asks for on its standard input, as frames on its standard output. With the argument `ring` it speaks
//! through a ring instead, and gives that.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use unidbg_probe::{Kind, Probe, Record};

unidbg_probe::ring!(64);

fn frame_of(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split(' ').collect();
    let sequence = words[1].parse().ok()?;
    let time = words[2].parse().ok()?;
    let dash = |index: usize| if words[index] == "-" { "" } else { words[index] };
    Some(match words[0] {
        "hello" => Record::hello(sequence, time, words[3].parse().ok()?, words[4].parse().ok()?, words[5]),
        "declare" => {
            let kind = match words[4] {
                "gauge" => Kind::Gauge,
                "counter" => Kind::Counter,
                _ => Kind::Span,
            };
            Record::declare(sequence, time, words[3].parse().ok()?, kind, words[5], dash(6), dash(7))
        }
        "integer" => Record::integer(sequence, time, words[3].parse().ok()?, words[4].parse().ok()?),
        "float" => Record::float(sequence, time, words[3].parse().ok()?, words[4].parse().ok()?),
        _ => Record::span(sequence, time, words[3].parse().ok()?, words[4].parse().ok()?),
    })
}

fn tick() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1000, Ordering::Relaxed)
}

fn main() {
    let mut out = std::io::stdout();
    if std::env::args().any(|argument| argument == "ring") {
        let mut probe: Probe<_, 4> = Probe::new("rust", tick, ring());
        let requests = probe.declare(Kind::Counter, "app.requests", "{request}", "");
        let load = probe.declare(Kind::Gauge, "app.load", "1", "core=0");
        let pause = probe.declare(Kind::Span, "app.pause", "ns", "");
        probe.integer(requests, -5);
        probe.float(load, 0.25);
        probe.span(pause, 7, 123_456);
        // The host would read it from outside.
        let size = std::mem::size_of::<unidbg_probe::RingMemory<64>>();
        let bytes = unsafe { std::slice::from_raw_parts(std::ptr::addr_of!(unidbg_ring) as *const u8, size) };
        out.write_all(bytes).unwrap();
        return;
    }
    for line in std::io::stdin().lock().lines().map(Result::unwrap) {
        let (frame, length) = frame_of(&line).expect("a call").frame();
        out.write_all(&frame[..length]).unwrap();
    }
}
