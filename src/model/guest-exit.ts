// How a guest's program, or the guest itself, ended.

/** Its own exit code where that is told, and a sentence: `the program exited 3`, `SIGSEGV ended the program`. */
export interface GuestExit {
  readonly code: number | null;
  readonly how: string;
}

/** Both in one sentence: `exit code 3: the program exited 3`. */
export function exitWords({ code, how }: GuestExit): string {
  return code === null ? how : `exit code ${code}: ${how}`;
}
