// Says what conformance.txt asks for on its standard input, as frames on its standard output. With a place and a time in ms it is a program
// that watches itself and speaks to that place for so long.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeDeclare, encodeFloat, encodeHello, encodeInteger, encodeSpan, openProbe } from './unidbg-probe.mjs';

const dash = (text) => (text === '-' ? '' : text);

function frameOf(line) {
  const [what, ...words] = line.split(' ');
  const [sequence, time] = [Number(words[0]), BigInt(words[1])];
  const [, , first, second, third, fourth, fifth] = words;
  switch (what) {
    case 'hello':
      return encodeHello(sequence, time, { metrics: Number(first), dropped: Number(second), program: third });
    case 'declare':
      return encodeDeclare(sequence, time, Number(first), {
        kind: second,
        name: third,
        unit: dash(fourth),
        attributes: dash(fifth),
      });
    case 'integer':
      return encodeInteger(sequence, time, Number(first), BigInt(second));
    case 'float':
      return encodeFloat(sequence, time, Number(first), Number(second));
    default:
      return encodeSpan(sequence, time, Number(first), BigInt(second));
  }
}

async function live(place, ms) {
  const probe = openProbe({ to: place, program: 'conformance' }).watchRuntime({ everyMs: 50 });
  const orders = probe.counter('shop.orders', '{order}', { region: 'eu' });
  const took = probe.span('shop.order');
  const kept = [];
  for (const end = Date.now() + ms; Date.now() < end; ) {
    kept.push(Array.from({ length: 20_000 }, (_, index) => ({ index })));
    orders.add(1);
    took.record(1_500_000);
    await sleep(10);
  }
  probe.close();
  return kept.length;
}

const [place, ms] = process.argv.slice(2);
if (ms !== undefined) await live(place, Number(ms));
else {
  const calls = readFileSync(0, 'latin1').trim().split('\n');
  process.stdout.write(Buffer.concat(calls.map(frameOf)));
}
