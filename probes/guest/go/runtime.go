package probe

import (
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"
)

// What OpenTelemetry has a name for; the others are called go.runtime and their path with dots.
var named = map[string]struct{ name, unit, attributes string }{
	"/gc/cycles/total:gc-cycles":        {"go.memory.gc.cycles", "{cycle}", ""},
	"/gc/heap/goal:bytes":               {"go.memory.gc.goal", "By", ""},
	"/gc/heap/allocs:bytes":             {"go.memory.allocated", "By", ""},
	"/gc/heap/allocs:objects":           {"go.memory.allocations", "{allocation}", ""},
	"/gc/gomemlimit:bytes":              {"go.memory.limit", "By", ""},
	"/gc/gogc:percent":                  {"go.config.gogc", "%", ""},
	"/sched/goroutines:goroutines":      {"go.goroutine.count", "{goroutine}", ""},
	"/sched/gomaxprocs:threads":         {"go.processor.limit", "{thread}", ""},
	"/sched/latencies:seconds":          {"go.schedule.duration", "s", ""},
	"/memory/classes/heap/stacks:bytes": {"go.memory.used", "By", "go.memory.type=stack"},
}

var quantiles = []struct {
	share float64
	label string
}{{0.5, "quantile=0.5"}, {0.9, "quantile=0.9"}, {0.99, "quantile=0.99"}, {1, "quantile=1"}}

// WatchRuntime says every metric of runtime/metrics once in a period, distributions as quantiles of the whole life, and every
// collection's pause.
func (p *Probe) WatchRuntime(period time.Duration) {
	if p.frames == nil {
		return
	}
	all := metrics.All()
	samples := make([]metrics.Sample, len(all))
	declared := make([][]*Metric, len(all))
	for i, description := range all {
		samples[i].Name = description.Name
		declared[i] = p.declareRuntime(description)
	}
	sayStats := p.watchStats()
	p.every(period, func() {
		metrics.Read(samples)
		for i, sample := range samples {
			say(declared[i], sample.Value)
		}
		sayStats()
	})
}

// What only runtime.MemStats has.
func (p *Probe) watchStats() func() {
	pause := p.Declare(Span, "go.memory.gc.pauses", "ns", "")
	pauseTime := p.Declare(Counter, "go.memory.gc.pause.time", "ns", "")
	pauseLast := p.Declare(Gauge, "go.memory.gc.pause.last", "ns", "")
	allocated := p.Declare(Gauge, "go.memory.heap.allocated", "By", "")
	used := p.Declare(Gauge, "go.memory.heap.used", "By", "")
	released := p.Declare(Gauge, "go.memory.heap.released", "By", "")
	var seen uint32
	var stats runtime.MemStats
	return func() {
		// Stops the world for some microseconds.
		runtime.ReadMemStats(&stats)
		// The last 256 pauses are kept.
		if stats.NumGC-seen > 256 {
			seen = stats.NumGC - 256
		}
		for ; seen < stats.NumGC; seen++ {
			pause.Span(time.Duration(stats.PauseNs[seen%256]))
		}
		pauseTime.Integer(int64(stats.PauseTotalNs))
		pauseLast.Integer(int64(stats.PauseNs[(stats.NumGC+255)%256]))
		allocated.Integer(int64(stats.HeapAlloc))
		used.Integer(int64(stats.HeapInuse))
		released.Integer(int64(stats.HeapReleased))
	}
}

func (p *Probe) declareRuntime(description metrics.Description) []*Metric {
	name, unit, attributes := nameOf(description.Name)
	kind := Gauge
	if description.Cumulative {
		kind = Counter
	}
	switch description.Kind {
	case metrics.KindUint64, metrics.KindFloat64:
		return []*Metric{p.Declare(kind, name, unit, attributes)}
	case metrics.KindFloat64Histogram:
		series := make([]*Metric, len(quantiles))
		for i, quantile := range quantiles {
			series[i] = p.Declare(Gauge, name, unit, quantile.label)
		}
		return series
	}
	return nil
}

func nameOf(path string) (name, unit, attributes string) {
	if known, ok := named[path]; ok {
		return known.name, known.unit, known.attributes
	}
	parts := strings.SplitN(path, ":", 2)
	name = "go.runtime" + strings.NewReplacer("/", ".", "-", "_").Replace(parts[0])
	switch parts[1] {
	case "bytes":
		return name, "By", ""
	case "seconds", "cpu-seconds":
		return name, "s", ""
	case "percent":
		return name, "%", ""
	}
	return name, "{" + strings.TrimSuffix(parts[1], "s") + "}", ""
}

func say(series []*Metric, value metrics.Value) {
	switch value.Kind() {
	case metrics.KindUint64:
		if value.Uint64() <= math.MaxInt64 {
			series[0].Integer(int64(value.Uint64()))
		} else {
			series[0].Float(float64(value.Uint64()))
		}
	case metrics.KindFloat64:
		series[0].Float(value.Float64())
	case metrics.KindFloat64Histogram:
		for i, quantile := range quantiles {
			series[i].Float(quantileOf(value.Float64Histogram(), quantile.share))
		}
	}
}

// quantileOf gives the upper bound of the bucket in which so much of a distribution lies: at least the true value. 0 of nothing.
func quantileOf(histogram *metrics.Float64Histogram, share float64) float64 {
	var total, below uint64
	for _, count := range histogram.Counts {
		total += count
	}
	for i, count := range histogram.Counts {
		below += count
		if count > 0 && float64(below) >= share*float64(total) {
			if bound := histogram.Buckets[i+1]; !math.IsInf(bound, 1) {
				return bound
			}
			return histogram.Buckets[i]
		}
	}
	return 0
}
