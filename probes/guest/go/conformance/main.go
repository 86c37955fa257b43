// Says what conformance.txt asks for on its standard input, as frames on its standard output. With an argument it is a program that
// watches itself and speaks to that place for so many seconds.
package main

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"unidbg/probe"
)

var kinds = map[string]probe.Kind{"gauge": probe.Gauge, "counter": probe.Counter, "span": probe.Span}

func unsigned(text string, bits int) uint64 {
	value, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		panic(err)
	}
	return value
}

func dash(text string) string { return strings.TrimPrefix(text, "-") }

func frameOf(line string) []byte {
	words := strings.Fields(line)
	sequence, time, id := uint32(unsigned(words[1], 32)), unsigned(words[2], 64), uint16(unsigned(words[3], 16))
	switch words[0] {
	case "hello":
		return probe.EncodeHello(sequence, time, id, uint32(unsigned(words[4], 32)), words[5])
	case "declare":
		return probe.EncodeDeclare(sequence, time, id, kinds[words[4]], words[5], dash(words[6]), dash(words[7]))
	case "integer":
		value, err := strconv.ParseInt(words[4], 10, 64)
		if err != nil {
			panic(err)
		}
		return probe.EncodeInteger(sequence, time, id, value)
	case "float":
		value, err := strconv.ParseFloat(words[4], 64)
		if err != nil {
			panic(err)
		}
		return probe.EncodeFloat(sequence, time, id, value)
	}
	return probe.EncodeSpan(sequence, time, id, unsigned(words[4], 64))
}

func live(place string, duration time.Duration) {
	p, err := probe.Open(place, "conformance")
	if err != nil {
		panic(err)
	}
	p.WatchRuntime(100 * time.Millisecond)
	orders := p.Declare(probe.Counter, "shop.orders", "{order}", "region=eu")
	took := p.Declare(probe.Span, "shop.order", "ns", "")
	for i, end := int64(1), time.Now().Add(duration); time.Now().Before(end); i++ {
		orders.Integer(i)
		took.Span(1500 * time.Microsecond)
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	p.Close()
}

func main() {
	if len(os.Args) > 2 {
		live(os.Args[1], time.Duration(unsigned(os.Args[2], 32))*time.Millisecond)
		return
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		out.Write(frameOf(lines.Text()))
	}
}
