// A Node.js program that serves what it says of itself, beside which bench/inspector-truth.ts and the live test hold what is read over
// its inspector. `/busy` and `/quiet` switch its allocations, `/spin` makes them take most of its time, `/boom` ends it by an exception that nobody catches. Runs as it is on Node 24.

import { createServer } from 'node:http';
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';

interface Order {
  readonly customer: { readonly name: string };
}

const KEPT = 200_000;
const counts = { major: 0, minor: 0, incremental: 0, weakcb: 0, ms: 0 };
const names: Readonly<Record<number, 'major' | 'minor' | 'incremental' | 'weakcb'>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};
const observer = new PerformanceObserver((list) => {
  count(list.getEntries());
});
observer.observe({ entryTypes: ['gc'] });

function count(entries: readonly PerformanceEntry[]): void {
  for (const entry of entries) {
    const name = names[(entry as PerformanceEntry & { readonly detail: { readonly kind: number } }).detail.kind];
    if (name !== undefined) counts[name] += 1;
    counts.ms += entry.duration;
  }
}

let kept: object[] = [];
let busy = true;
let spinMs = 0;
setInterval(function allocate() {
  if (!busy) return;
  const end = Date.now() + spinMs;
  while (Date.now() < end) kept[0] = { index: 0, text: String(end) };
  for (let index = 0; index < 4000; index += 1) kept.push({ index, text: `order ${index}` });
  if (kept.length > KEPT) kept = [];
}, 50);

function readCustomer(orders: readonly Order[], index: number): string {
  return orders[index]!.customer.name;
}

class OrderDesk {
  loadOrder(index: number): string {
    return readCustomer([], index);
  }
}

const server = createServer((request, response) => {
  if (request.url === '/busy') busy = true;
  if (request.url === '/quiet') busy = false;
  if (request.url === '/spin') spinMs = 40;
  if (request.url === '/boom') setTimeout(() => new OrderDesk().loadOrder(3), 100);
  count(observer.takeRecords());
  response.end(JSON.stringify({ heap: getHeapStatistics(), spaces: getHeapSpaceStatistics(), gc: counts }));
});
server.listen(Number(process.env['PORT'] ?? 8080), () => {
  console.log('listening', JSON.stringify(server.address()));
});
