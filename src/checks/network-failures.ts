// What failed on the wire of late: names that do not resolve, handshakes that end, connections that are refused.

import type { Check } from '../model/check.ts';
import type { FlowRemark } from '../model/flow.ts';

const RECENT_MS = 60_000;
const MAX_SHOWN = 3;

export const networkFailures: Check = {
  name: 'network-failures',
  doc: 'a DNS query, a TLS handshake or a connection failed within the last minute (while the network is captured)',
  find: ({ network, at }) => {
    const failures = (network?.flows ?? [])
      .flatMap(({ remarks }): readonly FlowRemark[] => remarks)
      .filter((remark) => remark.failure && at - remark.at < RECENT_MS)
      .sort((a, b) => b.at - a.at);
    if (failures.length === 0) return null;
    const texts = [...new Set(failures.map(({ protocol, text }) => `${protocol.toUpperCase()} ${text}`))];
    const more = texts.length > MAX_SHOWN ? `, and ${texts.length - MAX_SHOWN} more` : '';
    return { severity: 'warning', message: `the network failed it: ${texts.slice(0, MAX_SHOWN).join('; ')}${more}` };
  },
};
