// GDB Remote Serial Protocol: a client, and a guardian that lets the guest run again whatever happens to the client.

export type { RequestOptions } from './client/connection.ts';
export type { Endpoint } from './client/endpoint.ts';
export { formatEndpoint, parseEndpoint } from './client/endpoint.ts';
export type { RunOptions, StubOptions, ThreadInfo } from './client/stub-client.ts';
export { adoptStub, openStub, StubClient } from './client/stub-client.ts';
export type { RspErrorCode } from './error.ts';
export { isRspError, RspError } from './error.ts';
export type { GuardedStub, Guardian, GuardOptions } from './guardian/open.ts';
export { openGuarded, openGuardian } from './guardian/open.ts';
export type { ReleaseReport } from './guardian/release.ts';
export type { Breakpoint, BreakpointKind } from './packets/breakpoints.ts';
export type { Features } from './packets/features.ts';
export type { StopReason, StopReply } from './packets/stop-reply.ts';
export type { ThreadId } from './packets/threads.ts';
export { parseThreadId } from './packets/threads.ts';
export type { RegisterInfo, TargetDescription } from './target-description/description.ts';
