// Package probe is unidbg's in-guest probe for Go, without dependencies: what the Go runtime measures, and metrics of the program's own,
// over TCP, a Unix socket, a virtio-serial port or a file. The wire protocol is docs/probe-protocol.md. Nothing here ever waits: what
// cannot be delivered is dropped and counted. The probe never reads.
//
//	p, err := probe.Open("tcp:10.0.2.2:7000", "shop") // or "virtio", "/dev/vport0p1", "unix:/path", "/path/of/file"
//	p.WatchRuntime(time.Second)
//	orders := p.Declare(probe.Counter, "shop.orders", "{order}", "region=eu")
//	orders.Integer(17)
package probe

import (
	"io"
	"sync"
	"time"
)

const (
	maxMetrics = 1000
	queued     = 4096 // frames that wait for a slow reader
)

type metric struct {
	kind                   Kind
	name, unit, attributes string
}

// Probe speaks for one program. Its methods may be called from any goroutine.
type Probe struct {
	mutex    sync.Mutex
	program  string
	started  time.Time
	metrics  []metric
	sequence uint32
	dropped  uint32
	frames   chan []byte
	done     chan struct{} // nobody says more
	last     chan struct{} // what waits is the last
	closing  sync.Once
	speaking sync.WaitGroup
	ended    sync.WaitGroup
}

// Metric is a declared metric; nil is one whose values are ignored.
type Metric struct {
	probe *Probe
	id    uint16
}

// Open opens a probe. An empty place gives one that says nothing, so that a program need not ask whether it has one.
func Open(place, program string) (*Probe, error) {
	if place == "" {
		return New(nil, program), nil
	}
	connect, err := connector(place)
	if err != nil {
		return nil, err
	}
	return New(connect, program), nil
}

// New opens a probe on streams of the caller's making: connect is called again, a second later, whenever writing fails.
func New(connect func() (io.WriteCloser, error), program string) *Probe {
	p := &Probe{program: program, started: time.Now(), frames: make(chan []byte, queued)}
	p.done, p.last = make(chan struct{}), make(chan struct{})
	if connect == nil {
		p.frames = nil
		return p
	}
	p.ended.Add(1)
	go p.write(connect)
	p.every(time.Second, p.announce)
	return p
}

// Declare names a metric; nil when there are too many or a text is too long.
func (p *Probe) Declare(kind Kind, name, unit, attributes string) *Metric {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	length := header + 1 + 3 + len(name) + len(unit) + len(attributes)
	if p.frames == nil || len(p.metrics) >= maxMetrics || len(name) > 72 || len(unit) > 20 || length > maxRecord {
		return nil
	}
	p.metrics = append(p.metrics, metric{kind, name, unit, attributes})
	p.declare(len(p.metrics))
	return &Metric{p, uint16(len(p.metrics))}
}

// Integer says one value.
func (m *Metric) Integer(value int64) {
	if m != nil {
		m.probe.locked(func(sequence uint32, now uint64) []byte { return EncodeInteger(sequence, now, m.id, value) })
	}
}

// Float says one value.
func (m *Metric) Float(value float64) {
	if m != nil {
		m.probe.locked(func(sequence uint32, now uint64) []byte { return EncodeFloat(sequence, now, m.id, value) })
	}
}

// Span says that something that has just ended took so long.
func (m *Metric) Span(duration time.Duration) {
	if m != nil {
		m.probe.locked(func(sequence uint32, now uint64) []byte {
			return EncodeSpan(sequence, now-uint64(duration), m.id, uint64(duration))
		})
	}
}

// Dropped is how many records could not be delivered so far.
func (p *Probe) Dropped() uint32 {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.dropped
}

// Close delivers what waits, as far as somebody takes it, and ends the probe.
func (p *Probe) Close() {
	p.closing.Do(func() {
		close(p.done)
		p.speaking.Wait()
		close(p.last)
	})
	p.ended.Wait()
}

func (p *Probe) every(period time.Duration, body func()) {
	p.speaking.Add(1)
	go func() {
		defer p.speaking.Done()
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-p.done:
				return
			case <-ticker.C:
				body()
			}
		}
	}()
}

func (p *Probe) now() uint64 { return uint64(time.Since(p.started)) }

func (p *Probe) locked(encode func(sequence uint32, now uint64) []byte) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.send(encode)
}

// A record that is dropped has its number nevertheless: so the other side knows.
func (p *Probe) send(encode func(sequence uint32, now uint64) []byte) {
	if p.frames == nil {
		return
	}
	frame := encode(p.sequence, p.now())
	p.sequence++
	select {
	case p.frames <- frame:
	default:
		p.dropped++
	}
}

func (p *Probe) declare(id int) {
	m := p.metrics[id-1]
	p.send(func(sequence uint32, now uint64) []byte {
		return EncodeDeclare(sequence, now, uint16(id), m.kind, m.name, m.unit, m.attributes)
	})
}

func (p *Probe) announce() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.send(func(sequence uint32, now uint64) []byte {
		return EncodeHello(sequence, now, uint16(len(p.metrics)), p.dropped, p.program)
	})
	for id := range p.metrics {
		p.declare(id + 1)
	}
}

// write takes frames to wherever connect leads, until the probe is closed.
func (p *Probe) write(connect func() (io.WriteCloser, error)) {
	defer p.ended.Done()
	for {
		stream, err := connect()
		if err == nil {
			p.announce()
			err = p.writeTo(stream)
			stream.Close()
		}
		if err == nil {
			return
		}
		select {
		case <-p.last:
			return
		case <-time.After(time.Second):
		}
	}
}

// writeTo returns nil when the probe was closed and nothing waits any more.
func (p *Probe) writeTo(stream io.Writer) error {
	for {
		var frame []byte
		select {
		case frame = <-p.frames:
		case <-p.last:
			select {
			case frame = <-p.frames:
			default:
				return nil
			}
		}
		if _, err := stream.Write(frame); err != nil {
			p.mutex.Lock()
			p.dropped++
			p.mutex.Unlock()
			return err
		}
	}
}
