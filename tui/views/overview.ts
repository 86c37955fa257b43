// The overview panel: what is attached to, how it is read, which images name its addresses, and every remark of the session.

import type { Image } from '../../src/model/image.ts';
import { formatSize } from '../../src/model/quantity.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { padEnd, span, wrap } from '../text.ts';
import { findingStyle } from './findings.ts';
import type { Row } from './list.ts';

const MATCH_WORDS: Readonly<Record<Image['match'], { readonly text: string; readonly style: Style }>> = {
  'build-id': { text: 'verified by build-id', style: 'good' },
  text: { text: 'verified by its code bytes', style: 'good' },
  mismatch: { text: 'MISMATCH: not what the guest runs, no name is taken from it', style: 'bad' },
  unverified: { text: 'not verified', style: 'warning' },
  'no-file': { text: 'loaded by the guest; no symbols: give --symbols FILE', style: 'warning' },
};

const LABEL = 12;

/** All rows; long values are wrapped at `width`. */
export function overviewRows(snapshot: Snapshot, width: number): readonly Row[] {
  return [
    ...findingRows(snapshot, width),
    ...identityRows(snapshot, width),
    ...imageRows(snapshot, width),
    ...remarkRows(snapshot, width),
  ];
}

function identityRows({ identity, vm, lost, consoleDropped }: Snapshot, width: number): readonly Row[] {
  if (identity === null) return fact('target', 'attaching …', width);
  const memory = identity.memoryBytes === null ? 'size unknown' : formatSize(identity.memoryBytes);
  return [
    ...heading('Guest'),
    ...fact('name', `${identity.name} (${identity.kind}${identity.pid === null ? '' : `, QEMU pid ${identity.pid}`})`, width),
    ...fact('unikernel', identity.unikernelTitle ?? identity.unikernel ?? 'not recognised', width),
    ...fact(
      'machine',
      `${identity.machine}, ${identity.vcpus} vCPU, ${memory}, ${identity.accelerator ?? 'accelerator unknown'}`,
      width,
    ),
    ...fact('state', `${vm.status}${vm.reason === null ? '' : `: ${vm.reason}`}`, width),
    ...fact('memory', identity.memoryReader ?? 'cannot be read', width),
    ...fact(
      'looking',
      identity.readStopsGuest ? 'STOPS the guest for each read' : 'never stops the guest',
      width,
      identity.readStopsGuest ? 'warning' : 'good',
    ),
    ...fact('console', identity.console ?? 'not to be had', width),
    ...(lost > 0 ? fact('lost', `${lost} events could not be kept`, width, 'warning') : []),
    ...(consoleDropped > 0 ? fact('console', `${consoleDropped} oldest lines are no longer here`, width, 'warning') : []),
  ];
}

function findingRows({ findings }: Snapshot, width: number): readonly Row[] {
  if (findings.length === 0) return [];
  return [
    ...heading('Found wrong'),
    ...findings.flatMap((finding) => fact('!', `${finding.check}: ${finding.message}`, width, findingStyle(finding))),
  ];
}

function imageRows({ images }: Snapshot, width: number): readonly Row[] {
  if (images.length === 0)
    return [...heading('Images'), ...fact('', 'none: addresses have no names (--symbols ELF)', width, 'warning')];
  return [
    ...heading('Images'),
    ...images.slice(0, 256).flatMap((image) => {
      const { text, style } = MATCH_WORDS[image.match];
      const name = image.path.slice(image.path.lastIndexOf('/') + 1);
      return [
        ...fact(
          '',
          `${name}  0x${image.base.toString(16)}–0x${image.end.toString(16)}, bias 0x${image.loadBias.toString(16)} by ${image.placedBy}`,
          width,
        ),
        ...fact('', text, width, style),
      ];
    }),
  ];
}

function remarkRows({ diagnostics }: Snapshot, width: number): readonly Row[] {
  if (diagnostics.length === 0) return [];
  return [
    ...heading('Remarks'),
    ...diagnostics.slice(-200).flatMap(({ code, message }) => fact('!', `${code}: ${message}`, width)),
  ];
}

function heading(text: string): readonly Row[] {
  return [{ key: `heading:${text}`, text, draw: (): Line => [span(text, 'strong')], heading: true }];
}

function fact(label: string, value: string, width: number, style: Style = 'plain'): readonly Row[] {
  const indent = label === '!' || label === '' ? 3 : LABEL;
  return wrap(value, Math.max(10, width - indent), 8).map((piece, index) => ({
    key: `${label}:${value}:${index}`,
    text: `${label} ${value}`,
    draw: (): Line => [span(padEnd(index === 0 ? ` ${label}` : '', indent), 'dim'), span(piece, style)],
  }));
}
