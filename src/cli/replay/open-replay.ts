// What can be replayed: a recording, or the recording in a bundle, whose core then answers what is asked of memory and code.

import { existsSync } from 'node:fs';
import { MEMBERS, openBundle } from '../../bundle/open-bundle.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import { openRecording, type RecordingReader, readRecording } from '../../session/recording.ts';
import type { ReplayOptions } from '../../session/replay.ts';
import { findStillKind, openStill, type StillOptions } from '../still-guest.ts';

/** A recording opened for replay, and what is around it. */
export interface ReplaySource {
  readonly reader: RecordingReader;
  readonly dump: ReplayOptions['dump'];
  /** What is wrong with the file itself. */
  readonly remarks: readonly Diagnostic[];
  close(): void;
}

/** Opens `path`. Throws RECORDING_MALFORMED, BUNDLE_MALFORMED, FILE_UNREADABLE, USAGE. */
export function openReplaySource(path: string, options: StillOptions): ReplaySource {
  const kind = existsSync(path) ? findStillKind(path) : null;
  if (kind === 'dump') throw new UnidbgError('USAGE', `${path} is a dump, a single moment: unidbg attach ${path} shows it`);
  if (kind === 'bundle') return openBundleSource(path, options);
  const reader = openRecording(path);
  return {
    reader,
    dump: null,
    remarks: [],
    close: () => {
      reader.close();
    },
  };
}

function openBundleSource(path: string, options: StillOptions): ReplaySource {
  const bundle = openBundle(path);
  try {
    const { manifest, partial, diagnostics } = bundle;
    const events = bundle.member(MEMBERS.events);
    if (events === null)
      throw new UnidbgError('RECORDING_MALFORMED', `${path} holds no events to replay: unidbg attach ${path} shows its dump`);
    const hasCore = bundle.members.some(({ name }) => name === MEMBERS.core);
    const madeAt = Date.parse(manifest.madeAt);
    const cut = partial === null ? [] : [{ code: 'bundle-partial', message: `${path} is not whole: ${partial}` }];
    return {
      reader: readRecording(events),
      dump: hasCore ? { at: Number.isNaN(madeAt) ? null : madeAt, open: () => openStill(path, 'bundle', options) } : null,
      remarks: [...diagnostics, ...cut],
      close: () => {
        bundle.close();
      },
    };
  } catch (error) {
    bundle.close();
    throw error;
  }
}
