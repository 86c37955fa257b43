// What a guest printed of its JavaScript, in terms of the source that people wrote: frames, and the place that a crash names.

import type { ReportedCrash, ReportedFrame } from '../model/console-text.ts';
import type { SourceMaps } from '../symbolize/source-maps.ts';

/** A crash with its JavaScript in terms of its sources. */
export function mapReportedCrash(crash: ReportedCrash, maps: Pick<SourceMaps, 'map' | 'mapLine'> | null): ReportedCrash {
  if (maps === null) return crash;
  return { ...crash, frames: mapReportedFrames(crash.frames, maps), location: mapReportedLocation(crash.location, maps) };
}

/** Frames with their places mapped where a source map knows them; all else stays as it was printed. */
export function mapReportedFrames(
  frames: readonly ReportedFrame[],
  maps: Pick<SourceMaps, 'map'> | null,
): readonly ReportedFrame[] {
  if (maps === null) return frames;
  return frames.map((frame) => {
    const { address, file, line, column } = frame;
    if (address !== null || file === null || line === null || column === null) return frame;
    const mapped = maps.map({ file, line, column, function: frame.function });
    if (mapped === null) return frame;
    return { ...frame, file: mapped.file, line: mapped.line, column: mapped.column, function: mapped.function ?? frame.function };
  });
}

/** The place that a crash names, mapped where its whole line comes from one line: no column was printed with it. */
export function mapReportedLocation(
  location: ReportedCrash['location'],
  maps: Pick<SourceMaps, 'mapLine'> | null,
): ReportedCrash['location'] {
  if (maps === null || location?.line == null) return location;
  const mapped = maps.mapLine(location.file, location.line);
  return mapped === null ? location : { ...location, file: mapped.file, line: mapped.line };
}
