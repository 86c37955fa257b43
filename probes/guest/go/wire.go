package probe

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Kind is what a metric is; spans are in ns.
type Kind uint8

const (
	Gauge Kind = iota
	Counter
	Span
)

const (
	version   = 1
	header    = 16
	maxRecord = 112
)

const (
	typeHello = iota + 1
	typeDeclare
	typeInteger
	typeFloat
	typeSpan
)

func start(kind byte, id uint16, sequence uint32, time uint64) []byte {
	record := make([]byte, header, maxRecord+6)
	record[0] = kind
	binary.LittleEndian.PutUint16(record[2:], id)
	binary.LittleEndian.PutUint32(record[4:], sequence)
	binary.LittleEndian.PutUint64(record[8:], time)
	return record
}

func appendText(record []byte, text string, most int) []byte {
	if len(text) > most {
		text = text[:most]
	}
	return append(append(record, byte(len(text))), text...)
}

func append16(record []byte, value uint16) []byte {
	return append(record, byte(value), byte(value>>8))
}

func append32(record []byte, value uint32) []byte {
	return append16(append16(record, uint16(value)), uint16(value>>16))
}

func append64(record []byte, value uint64) []byte {
	return append32(append32(record, uint32(value)), uint32(value>>32))
}

// EncodeHello gives HELLO as a frame.
func EncodeHello(sequence uint32, time uint64, metrics uint16, dropped uint32, program string) []byte {
	record := append(start(typeHello, 0, sequence, time), version, 0)
	return frame(appendText(append32(append16(record, metrics), dropped), program, 64))
}

// EncodeDeclare gives DECLARE as a frame; attributes are "key=value", at most four with commas between them.
func EncodeDeclare(sequence uint32, time uint64, id uint16, kind Kind, name, unit, attributes string) []byte {
	record := append(start(typeDeclare, id, sequence, time), byte(kind))
	record = appendText(appendText(record, name, 72), unit, 20)
	if attributes != "" {
		record = appendText(record, attributes, maxRecord-len(record)-1)
	}
	return frame(record)
}

// EncodeInteger gives INTEGER as a frame.
func EncodeInteger(sequence uint32, time uint64, id uint16, value int64) []byte {
	return frame(append64(start(typeInteger, id, sequence, time), uint64(value)))
}

// EncodeFloat gives FLOAT as a frame.
func EncodeFloat(sequence uint32, time uint64, id uint16, value float64) []byte {
	return frame(append64(start(typeFloat, id, sequence, time), math.Float64bits(value)))
}

// EncodeSpan gives SPAN as a frame; time is its start.
func EncodeSpan(sequence uint32, time uint64, id uint16, duration uint64) []byte {
	return frame(append64(start(typeSpan, id, sequence, time), duration))
}

// frame adds the CRC and encodes by COBS: records are far below 254 bytes, so one overhead byte is enough.
func frame(record []byte) []byte {
	record = append32(record, crc32.ChecksumIEEE(record))
	framed := make([]byte, len(record)+2)
	code := 0
	for i, b := range record {
		if b != 0 {
			framed[i+1] = b
			continue
		}
		framed[code] = byte(i + 1 - code)
		code = i + 1
	}
	framed[code] = byte(len(record) + 1 - code)
	return framed
}
