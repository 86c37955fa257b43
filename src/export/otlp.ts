// Pushes over OTLP/HTTP by OpenTelemetry's own exporters: each VM is a resource, its series are the metrics under their OpenTelemetry
// names, a crash is a log record (semantic conventions: exceptions in logs). The packages are optional, and loaded when a push is asked
// for.

import type * as Api from '@opentelemetry/api';
import type { Attributes, HrTime } from '@opentelemetry/api';
import type { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import type { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type * as Sdk from '@opentelemetry/sdk-metrics';
import type { DataPoint, MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Crash } from '../model/crash.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Frame } from '../model/frame.ts';
import { type BoundedSample, boundSeries, DEFAULT_LIMITS, type Limits } from './bounded.ts';
import type { Declarations, ExportedVm, Fleet } from './fleet.ts';
import type { SelfCounts } from './self-families.ts';

/** What is pushed. */
export interface OtlpInput {
  readonly fleet: Fleet;
  readonly declarations: Declarations;
  readonly self: SelfCounts;
  readonly limits?: Limits;
  /** A frame as a line of a stack trace. */
  readonly describeFrame: (frame: Frame) => string;
  /** Told when pushing begins to fail, and when it goes again. */
  readonly onNews: (line: string) => void;
}

/** Where to, and how often (ms). `url` is the receiver's base (http://localhost:4318), `/v1/metrics` and `/v1/logs` are added. */
export interface OtlpOptions {
  readonly url: string;
  readonly everyMs: number;
}

/** Pushes until closed; `close` pushes once more. */
export interface OtlpPush {
  /** One push of all there is, now. */
  readonly push: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts pushing. Throws USAGE for a bad URL, EXPORT_UNAVAILABLE when OpenTelemetry's packages are not installed. */
export async function openOtlp(input: OtlpInput, { url, everyMs }: OtlpOptions): Promise<OtlpPush> {
  const pusher = new OtlpPusher(input, await openExporters(url));
  let busy: Promise<void> | null = null;
  const push = (): Promise<void> => {
    // A slow receiver is not asked twice at once.
    busy ??= pusher.push().finally(() => (busy = null));
    return busy;
  };
  const timer = setInterval(() => void push(), everyMs);
  return {
    push,
    close: async () => {
      clearInterval(timer);
      await push();
      await pusher.close();
    },
  };
}

/** The exporters, and what else of their packages is needed. */
interface Exporters {
  readonly api: typeof Api;
  readonly sdk: typeof Sdk;
  readonly metrics: OTLPMetricExporter;
  readonly logs: OTLPLogExporter;
  readonly toResource: (attributes: Attributes) => Resource;
}

/** A receiver that takes longer has failed; with retries within. */
const TIMEOUT_MS = 5000;
const PACKAGES =
  '@opentelemetry/api @opentelemetry/resources @opentelemetry/sdk-metrics @opentelemetry/sdk-logs @opentelemetry/exporter-metrics-otlp-http @opentelemetry/exporter-logs-otlp-http';

async function openExporters(url: string): Promise<Exporters> {
  const base = baseOf(url);
  try {
    const [api, sdk, metrics, logs, resources] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-metrics'),
      import('@opentelemetry/exporter-metrics-otlp-http'),
      import('@opentelemetry/exporter-logs-otlp-http'),
      import('@opentelemetry/resources'),
    ]);
    return {
      api,
      sdk,
      metrics: new metrics.OTLPMetricExporter({ url: `${base}/v1/metrics`, timeoutMillis: TIMEOUT_MS }),
      logs: new logs.OTLPLogExporter({ url: `${base}/v1/logs`, timeoutMillis: TIMEOUT_MS }),
      toResource: resources.resourceFromAttributes,
    };
  } catch (cause) {
    throw new UnidbgError(
      'EXPORT_UNAVAILABLE',
      `--otlp needs OpenTelemetry's packages, which are not installed (${errorMessage(cause).split('\n')[0]!}): npm install ${PACKAGES}`,
      { cause },
    );
  }
}

function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new UnidbgError('USAGE', `--otlp ${url}: write the receiver's address, as http://localhost:4318`);
  }
  return url.replace(/\/+$/, '').replace(/\/v1\/(metrics|logs)$/, '');
}

const SCOPE = { name: 'unidbg' };
class OtlpPusher {
  private readonly input: OtlpInput;
  private readonly exporters: Exporters;
  private readonly resources = new WeakMap<ExportedVm, { readonly key: string; readonly resource: Resource }>();
  private readonly starts = new WeakMap<ExportedVm, HrTime>();
  private readonly told = new WeakSet<Crash>();
  private isFailing = false;

  constructor(input: OtlpInput, exporters: Exporters) {
    this.input = input;
    this.exporters = exporters;
  }

  async push(): Promise<void> {
    for (const vm of this.input.fleet.vms()) {
      const metrics = this.metricsOf(vm);
      if (metrics !== null)
        await this.send('metrics', (done) => {
          this.exporters.metrics.export(metrics, done);
        });
      const crashes = vm.crashes().filter((crash) => !this.told.has(crash));
      if (crashes.length === 0) continue;
      const records = crashes.map((crash) => this.recordOf(vm, crash));
      const isSent = await this.send('logs', (done) => {
        this.exporters.logs.export(records, done);
      });
      // What could not be sent is sent with the next push.
      if (isSent) for (const crash of crashes) this.told.add(crash);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.exporters.metrics.shutdown(), this.exporters.logs.shutdown()]);
  }

  private async send(
    signal: 'metrics' | 'logs',
    start: (done: (result: { readonly code: number; readonly error?: Error }) => void) => void,
  ): Promise<boolean> {
    const { code, error } = await new Promise<{ readonly code: number; readonly error?: Error }>(start);
    const { self, onNews } = this.input;
    const isSent = code === 0;
    self.pushes[isSent ? signal : 'failed'] += 1;
    if (isSent === this.isFailing)
      onNews(
        isSent
          ? 'OTLP: the receiver takes what is pushed again'
          : `OTLP: nothing is taken: ${error?.message ?? 'no reason given'}`,
      );
    this.isFailing = !isSent;
    return isSent;
  }

  private metricsOf(vm: ExportedVm): ResourceMetrics | null {
    const { declarations, limits = DEFAULT_LIMITS } = this.input;
    const { samples } = boundSeries(vm.snapshot(), declarations, limits, Date.now());
    const groups = new Map<string, BoundedSample[]>();
    for (const sample of samples) {
      const key = JSON.stringify([sample.name, sample.kind, sample.unit]);
      groups.set(key, [...(groups.get(key) ?? []), sample]);
    }
    if (groups.size === 0) return null;
    const metrics = [...groups.values()].map((group) => this.metricOf(vm, group));
    return { resource: this.resourceOf(vm), scopeMetrics: [{ scope: SCOPE, metrics }] };
  }

  private metricOf(vm: ExportedVm, group: readonly BoundedSample[]): MetricData {
    const { name, kind, unit } = group[0]!;
    const { api, sdk } = this.exporters;
    const dataPoints: DataPoint<number>[] = group.map(({ attributes, value, at }) => ({
      startTime: this.startOf(vm),
      endTime: toHrTime(at),
      attributes,
      value,
    }));
    const common = {
      descriptor: { name, description: this.input.declarations.get(name)?.doc ?? '', unit, valueType: api.ValueType.DOUBLE },
      aggregationTemporality: sdk.AggregationTemporality.CUMULATIVE,
      dataPoints,
    };
    return kind === 'counter'
      ? { ...common, dataPointType: sdk.DataPointType.SUM, isMonotonic: true }
      : { ...common, dataPointType: sdk.DataPointType.GAUGE };
  }

  private recordOf(vm: ExportedVm, crash: Crash): ReadableLogRecord {
    const now = toHrTime(Date.now());
    return {
      hrTime: now,
      hrTimeObserved: now,
      severityNumber: this.exporters.api.SeverityNumber.FATAL,
      severityText: 'FATAL',
      eventName: 'unikernel.crash',
      body: crash.title,
      resource: this.resourceOf(vm),
      instrumentationScope: SCOPE,
      attributes: {
        'exception.type': crash.kind,
        'exception.message': crash.message,
        'exception.stacktrace': crash.frames.map(this.input.describeFrame).join('\n'),
        'unikernel.crash.signature': crash.signature,
      },
      droppedAttributesCount: 0,
    };
  }

  // A guest counts since it started and not since we came. The same for all pushes, or the receiver sees restarts.
  private startOf(vm: ExportedVm): HrTime {
    const known = this.starts.get(vm);
    if (known !== undefined) return known;
    const uptime = vm.snapshot().metrics.get('process.uptime');
    const start = toHrTime(uptime?.latest.value == null ? vm.since : uptime.at - uptime.latest.value * 1000);
    this.starts.set(vm, start);
    return start;
  }

  private resourceOf(vm: ExportedVm): Resource {
    const { identity } = vm.snapshot();
    const attributes: Attributes = {
      'service.name': vm.name,
      'service.instance.id': `${vm.name}-${vm.pid}`,
      'process.pid': vm.pid,
      ...(identity === null ? {} : { 'host.arch': identity.machine, 'unikernel.name': identity.unikernel ?? 'unknown' }),
    };
    const key = JSON.stringify(attributes);
    const known = this.resources.get(vm);
    if (known?.key === key) return known.resource;
    const resource = this.exporters.toResource(attributes);
    this.resources.set(vm, { key, resource });
    return resource;
  }
}

function toHrTime(ms: number): HrTime {
  return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
}
