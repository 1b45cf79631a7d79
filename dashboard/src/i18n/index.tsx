// Words in three languages, and numbers and times as their readers write them.
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { en } from './en';

export type Key = keyof typeof en;
export type Words = Record<Key, string>;
export type Language = 'en' | 'es' | 'fa';
type Values = Record<string, string | number>;
type Plural<K> = K extends `${infer Stem}_other` ? Stem : never;
/** A word, or the stem of a word that depends on a count. */
export type AnyKey = Key | Plural<Key>;

export const LANGUAGES: Record<Language, string> = { en: 'English', es: 'Español', fa: 'فارسی' };
const LOADERS: Record<Language, () => Promise<Words>> = {
  en: () => Promise.resolve(en),
  es: () => import('./es').then((file) => file.es),
  fa: () => import('./fa').then((file) => file.fa),
};
const STORED = 'switchboard-language';

/** What a page needs to speak. */
export interface Speech {
  language: Language;
  direction: 'ltr' | 'rtl';
  setLanguage: (language: Language) => void;
  /** A sentence; `{name}` in it is filled from the values, and `count` picks the plural. */
  t: (key: AnyKey, values?: Values) => string;
  /** Whether there is such a word: for codes that the server makes up. */
  known: (key: string) => key is Key;
  number: (value: number, options?: Intl.NumberFormatOptions) => string;
  time: (at: string | number, options?: Intl.DateTimeFormatOptions) => string;
  /** How long something took, from milliseconds to hours: "420 ms", "2.4 s". */
  duration: (ms: number) => string;
  /** "3 minutes ago", "in 2 hours". */
  ago: (at: string | number, now?: number) => string;
}

const Context = createContext<Speech | null>(null);

function preferred(): Language {
  const stored = localStorage.getItem(STORED);
  const wanted = [stored, ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return (wanted.find((tag) => tag !== null && tag in LANGUAGES) as Language | undefined) ?? 'en';
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000], ['second', 1000],
];

/** What a time is told in: its size in milliseconds, its word, digits after the point, and up to when. */
const SPANS: [number, Key, number, number][] = [
  [1, 'time.ms', 0, 1000], [1000, 'time.s', 1, 10_000], [1000, 'time.s', 0, 90_000], [60_000, 'time.min', 0, 5_400_000], [3_600_000, 'time.h', 1, Infinity],
];

function speech(language: Language, words: Words, setLanguage: (language: Language) => void): Speech {
  const locale = { en: 'en-GB', es: 'es', fa: 'fa-IR' }[language];
  const plural = new Intl.PluralRules(locale);
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  const known = (key: string): key is Key => Object.hasOwn(words, key);
  const number = (value: number, options?: Intl.NumberFormatOptions) => value.toLocaleString(locale, options);
  const duration = (ms: number) => {
    const [size, key, digits] = SPANS.find(([, , , until]) => ms < until) ?? SPANS[SPANS.length - 1]!;
    return words[key].replace('{value}', number(ms / size, { maximumFractionDigits: digits }));
  };
  return {
    language, direction: language === 'fa' ? 'rtl' : 'ltr', setLanguage, known, number, duration,
    t(key, values = {}) {
      let found: string = key;
      if (known(key)) found = words[key];
      else if (typeof values.count === 'number') {
        const exact = `${key}_${plural.select(values.count)}`;
        const other = `${key}_other`;
        found = known(exact) ? words[exact] : known(other) ? words[other] : key;
      }
      return found.replace(/\{(\w+)\}/g, (whole, name: string) => {
        const value = values[name];
        return value === undefined ? whole : typeof value === 'number' ? number(value) : value;
      });
    },
    time: (at, options) =>
      new Date(at).toLocaleString(locale, options ?? { dateStyle: 'medium', timeStyle: 'short' }),
    ago(at, now = Date.now()) {
      const distance = new Date(at).getTime() - now;
      const [unit, size] = UNITS.find(([, size]) => Math.abs(distance) >= size) ?? ['second', 1000];
      return relative.format(Math.trunc(distance / size), unit);
    },
  };
}

/** Gives words to everything below it; what it shows while they are fetched is the previous language. */
export function SpeechProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(preferred);
  const [words, setWords] = useState<{ language: Language; words: Words } | null>(
    language === 'en' ? { language, words: en } : null,
  );
  useEffect(() => {
    let current = true;
    // A language that cannot be fetched is no reason to show nothing.
    const fallback = () => ({ language: 'en' as const, words: en });
    LOADERS[language]().then((words) => ({ language, words }), fallback)
      .then((found) => { if (current) setWords(found); });
    return () => { current = false; };
  }, [language]);
  const value = useMemo(() => {
    const shown = words ?? { language: 'en' as const, words: en };
    return speech(shown.language, shown.words, (language) => {
      localStorage.setItem(STORED, language);
      setLanguage(language);
    });
  }, [words]);
  useEffect(() => {
    document.documentElement.lang = value.language;
    document.documentElement.dir = value.direction;
  }, [value]);
  if (words === null) return null;
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function useSpeech(): Speech {
  const speech = useContext(Context);
  if (speech === null) throw new Error('no words above this component');
  return speech;
}
