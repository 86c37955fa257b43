import type { Subject } from './unwind-subjects.ts';
export function hostedSubjects(): Subject[] {
  return [];
}
