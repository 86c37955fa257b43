// From the snapshots of many VMs to metric families as Prometheus has them: one name, one type, one help text, many series.

import { type BoundedSample, type BoundedSeries, boundSeries, type Limits, type Refusal } from './bounded.ts';
import type { Declarations, ExportedVm } from './fleet.ts';
import { toLabelName, toPrometheusName } from './prometheus-name.ts';

/** Labels of one series. */
export type Labels = Readonly<Record<string, string>>;

/** A family and its series. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'summary';
  readonly series: readonly { readonly labels: Labels; readonly value: number }[];
}

/** Families, and what did not become one, by VM. */
export interface Collected {
  readonly families: readonly Family[];
  readonly refused: ReadonlyMap<string, ReadonlyMap<Refusal, number>>;
  readonly absent: ReadonlyMap<string, BoundedSeries['absent']>;
}

/** A family that is being filled. `metric` is the name it is made from: a second one of the same Prometheus name is refused. */
interface Filling {
  readonly metric: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly series: Map<string, { labels: Record<string, string>; value: number }>;
}

const MAX_LABEL_VALUE = 256;
/** What Prometheus itself stores beside what it scraped. */
const RESERVED = /^(up|ALERTS|ALERTS_FOR_STATE|scrape_.*|unidbg_.*|_)$/;

/** Collects the families of `vms`. `vmLabel` false: the series say not which VM they are of, the scraper does. */
export function collectFamilies(
  vms: readonly ExportedVm[],
  declarations: Declarations,
  limits: Limits,
  { now = Date.now(), vmLabel = true }: { readonly now?: number; readonly vmLabel?: boolean } = {},
): Collected {
  const filling = new Map<string, Filling>();
  const refused = new Map<string, ReadonlyMap<Refusal, number>>();
  const absent = new Map<string, BoundedSeries['absent']>();
  const ownedBy = ownersOf(declarations);
  for (const vm of vms) {
    const bounded = boundSeries(vm.snapshot(), declarations, limits, now);
    const count = new Map(bounded.refused);
    for (const sample of bounded.samples) {
      const refusal = fill(filling, ownedBy, declarations, sample, vmLabel ? { vm: vm.name } : {});
      if (refusal !== null) count.set(refusal, (count.get(refusal) ?? 0) + 1);
    }
    refused.set(vm.name, count);
    absent.set(vm.name, bounded.absent);
  }
  return { families: [...filling].map(([name, family]) => finish(name, family)), refused, absent };
}

const owners = new WeakMap<Declarations, ReadonlyMap<string, string>>();

/** Which declared metric a Prometheus name belongs to, whoever comes first. */
function ownersOf(declarations: Declarations): ReadonlyMap<string, string> {
  const known = owners.get(declarations) ?? listOwners(declarations);
  owners.set(declarations, known);
  return known;
}

function listOwners(declarations: Declarations): ReadonlyMap<string, string> {
  return new Map(
    [...declarations.values()].toReversed().map((metric) => [toPrometheusName(metric.name, metric).name, metric.name]),
  );
}

function fill(
  filling: Map<string, Filling>,
  ownedBy: ReadonlyMap<string, string>,
  declarations: Declarations,
  sample: BoundedSample,
  own: Labels,
): Refusal | null {
  const { name, type, scale } = toPrometheusName(sample.name, sample);
  if (RESERVED.test(name)) return 'reserved';
  if ((ownedBy.get(name) ?? sample.name) !== sample.name) return 'conflict';
  const known = filling.get(name);
  if (known !== undefined && (known.metric !== sample.name || known.type !== type)) return 'conflict';
  const family: Filling = known ?? {
    metric: sample.name,
    help: declarations.get(sample.name)?.doc ?? `${sample.name}, as the guest's own probe reports it.`,
    type,
    series: new Map(),
  };
  const labels: Record<string, string> = { ...own };
  for (const [attribute, value] of Object.entries(sample.attributes)) labels[toLabelName(attribute)] = clip(value);
  const key = Object.entries(labels)
    .map((pair) => pair.join('\0'))
    .sort()
    .join('\0\0');
  // Two series of one name and one set of labels: attributes that differ in what a label cannot say.
  if (family.series.has(key)) return 'malformed';
  family.series.set(key, { labels, value: scaled(sample.value, scale) });
  if (known === undefined) filling.set(name, family);
  return null;
}

function clip(value: string): string {
  return value.length <= MAX_LABEL_VALUE && value.isWellFormed() ? value : value.toWellFormed().slice(0, MAX_LABEL_VALUE);
}

// 3 ns are 3e-9 s and not 3.0000000000000004e-9.
function scaled(value: number, scale: number): number {
  return scale < 1 ? value / Math.round(1 / scale) : value * scale;
}

// Values by quantile are what Prometheus calls a summary; anything else with that label is not, and gives it another name.
function finish(name: string, { help, type, series }: Filling): Family {
  const all = [...series.values()];
  if (type === 'gauge' && all.every(({ labels }) => isQuantile(labels['quantile'])))
    return { name, help, type: 'summary', series: all };
  return { name, help, type, series: all.map(({ labels, value }) => ({ labels: withoutQuantile(labels), value })) };
}

function isQuantile(text: string | undefined): boolean {
  return text !== undefined && /^(0|1|0?\.\d+|1\.0+)$/.test(text);
}

function withoutQuantile(labels: Labels): Labels {
  if (!Object.hasOwn(labels, 'quantile')) return labels;
  const { quantile, ...others } = labels;
  return { ...others, exported_quantile: quantile! };
}
