// A form's values and what is wrong with them: kept through every failure, shown at the field the server names.
import { useState } from 'react';
import { Problem } from '../api/client';

export interface Form<T> {
  values: T;
  set: <N extends keyof T>(name: N, value: T[N]) => void;
  reset: (values: T) => void;
  busy: boolean;
  /** What failed as a whole; what belongs to a field stands there alone. */
  problem: unknown;
  /** What is wrong with this field. */
  error: (name: string) => string | undefined;
  /** Does it, and remembers what was wrong. True: it went well. */
  submit: (action: () => Promise<void>) => Promise<boolean>;
}

const sentence = (words: string | undefined) => words && words.charAt(0).toUpperCase() + words.slice(1);

export function useForm<T extends object>(initial: T, shown: readonly string[] = Object.keys(initial)): Form<T> {
  const [values, setValues] = useState(initial);
  const [problem, setProblem] = useState<unknown>(null);
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  const [busy, setBusy] = useState(false);
  const errors = problem instanceof Problem ? problem.errors : [];
  const atFields = errors.length > 0 && errors.every(({ field }) => shown.includes(field));
  return {
    values, busy,
    problem: atFields ? null : problem,
    set(name, value) {
      setValues((before) => ({ ...before, [name]: value }));
      setTouched((before) => new Set(before).add(String(name)));
    },
    reset(values) {
      setValues(values);
      setProblem(null);
    },
    error: (name) => (touched.has(name) ? undefined : sentence(errors.find(({ field }) => field === name)?.message)),
    async submit(action) {
      if (busy) return false;
      setBusy(true);
      setTouched(new Set());
      setProblem(null);
      try {
        await action();
        return true;
      } catch (error) {
        setProblem(error);
        // To whatever is wrong first: by keyboard and by ear it is not seen.
        setTimeout(() => document.querySelector<HTMLElement>('form [aria-invalid=true]')?.focus(), 50);
        return false;
      } finally {
        setBusy(false);
      }
    },
  };
}
