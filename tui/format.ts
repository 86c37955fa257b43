// Numbers as a person reads them on a screen: metric values by their UCUM unit, ages, clocks, JSON of anything in the model.

export { formatCount, formatSample, formatShare } from '../src/model/quantity.ts';

/** After this many milliseconds a value is stale and drawn dim. */
export const STALE_AFTER_MS = 3000;

/** `0s`, `59s`, `12m`, `3h`, `9d`: at most three cells for a day. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** A span to come: `40s`, `14m`, `2h 10m`, `3d 4h`, from seconds. */
export function formatSpan(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.max(0, Math.floor(seconds))}s`;
  if (minutes < 60) return minutes < 10 ? `${minutes}m ${Math.floor(seconds % 60)}s` : `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours}h ${minutes % 60}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** `00:12:03`, hours without bound. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** Indented JSON of a piece of the model: addresses as `0x…`, bytes as hex. */
export function formatJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, item: unknown) => {
      if (typeof item === 'bigint') return `0x${item.toString(16)}`;
      if (item instanceof Uint8Array) return Buffer.from(item).toString('hex');
      if (item instanceof Map) return Object.fromEntries(item as ReadonlyMap<string, unknown>);
      return item;
    },
    2,
  );
}
