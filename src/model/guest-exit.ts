// How a guest's program, or the guest itself, ended.

/** Its own exit code where that is told, and a sentence: `the program exited 3`, `SIGSEGV ended the program`. */
export interface GuestExit {
  readonly code: number | null;
  readonly how: string;
}
