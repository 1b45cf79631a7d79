// Keeps what is looked at fresh: the server names what changed, and that is asked again. While its line is lost, the
// conversations are asked every two seconds instead; a tab that nobody sees asks nothing.
import { useQueryClient, type Query } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';
import { whenActing } from './client';
import { ask } from './line';
import { listen } from './stream';

/** Between two looks without a line, in milliseconds. */
const BEAT = 2000;
/** What changed within so long is asked together, in milliseconds. */
const GATHER = 250;
/** Between two looks at what changed, in milliseconds: under steady traffic something always has. */
const REST = 1000;
/** With a line, everything is looked at this rarely all the same, in milliseconds. */
const SELDOM = 60_000;
/** Whoever reads far back is not asked for all of it again. */
const PAGES = 3;
const MOVING = ['conversations', 'conversation', 'messages'];

interface Changed { poll?: boolean; all: boolean; conversations: string[]; deliveries: string[]; accounts: string[]; sessions: string[] }

let live = false;
const listeners = new Set<() => void>();

function change(now: boolean) {
  if (live === now) return;
  live = now;
  listeners.forEach((tell) => tell());
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => { listeners.delete(listener); };
};

/** Whether the server tells what changes; otherwise it is asked every now and then. */
export const useIsLive = () => useSyncExternalStore(subscribe, () => live);

/** A `refetchInterval` in milliseconds that counts while there is no line; with one, once a minute. */
export const unlessLive = (pause: number) => () => (live ? SELDOM : pause);

/** Whether a query shows something of what changed. */
function shows({ queryKey, state }: Query, changed: Changed): boolean {
  const pages = (state.data as { pages?: unknown[] } | undefined)?.pages?.length ?? 1;
  const [kind, id] = queryKey.map(String) as [string, string | undefined];
  if (pages > PAGES && MOVING.includes(kind)) return false;
  // Without a line: the conversations, unless they are being asked just now. Everything else has its own beat.
  if (changed.poll && MOVING.includes(kind)) return state.fetchStatus === 'idle';
  const talks = changed.all || changed.conversations.length > 0;
  const accounts = changed.all || changed.accounts.length > 0;
  switch (kind) {
    case 'conversations': return talks;
    case 'conversation': case 'messages': return changed.all || (id === 'contact' && talks) || changed.conversations.includes(id ?? '');
    case 'deliveries': case 'delivery': case 'dead-letters': case 'events': return talks || changed.deliveries.length > 0;
    case 'overview': case 'alerts': return talks || accounts || changed.deliveries.length > 0;
    case 'numbers': case 'number': return accounts;
    case 'sessions': return changed.all || changed.sessions.length > 0;
    default: return false;
  }
}

const NOTHING: Changed = { all: false, conversations: [], deliveries: [], accounts: [], sessions: [] };

function merge(a: Changed | null, b: Changed): Changed {
  if (a === null) return b;
  const both = (key: 'conversations' | 'deliveries' | 'accounts' | 'sessions') => [...new Set([...a[key], ...b[key]])];
  return {
    poll: a.poll === true || b.poll === true, all: a.all || b.all, conversations: both('conversations'), deliveries: both('deliveries'), accounts: both('accounts'), sessions: both('sessions'),
  };
}

/** Listens as long as the tab is seen, for whoever is acted for. */
export function useLive() {
  const client = useQueryClient();
  useEffect(() => {
    let waiting: Changed | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    let last = 0;
    const flush = () => {
      timer = undefined;
      const changed = waiting;
      if (changed === null) return;
      // What is being asked is let finish, and asked once more then: begun anew each time it would never come.
      if (client.isFetching({ predicate: (query) => shows(query, changed) }) > 0) {
        timer = setTimeout(flush, GATHER);
        return;
      }
      waiting = null;
      last = Date.now();
      void client.invalidateQueries({ predicate: (query) => shows(query, changed) });
    };
    const take = (changed: Changed) => {
      waiting = merge(waiting, changed);
      timer ??= setTimeout(flush, Math.max(GATHER, last + REST - Date.now()));
    };
    const begin = () => {
      stop ??= listen('/api/v1/live', ({ name, data }) => {
        if (name === 'changed') take(JSON.parse(data) as Changed);
      }, (open) => {
        change(open);
        if (open || stop === undefined) return;
        // Whether only the line is gone, or the server with it; and what was missed.
        void ask();
        take({ ...NOTHING, all: true });
      });
    };
    const end = () => {
      const ending = stop;
      stop = undefined;
      ending?.();
      change(false);
    };
    // Browsers keep few lines open to one server: a tab that nobody sees leaves its own to others.
    const seen = () => (document.visibilityState === 'hidden' ? end() : begin());
    seen();
    document.addEventListener('visibilitychange', seen);
    const other = whenActing(() => { end(); seen(); });
    const beat = setInterval(() => {
      if (!live && document.visibilityState !== 'hidden') take({ ...NOTHING, poll: true });
    }, BEAT);
    return () => {
      document.removeEventListener('visibilitychange', seen);
      clearInterval(beat);
      clearTimeout(timer);
      other();
      end();
    };
  }, [client]);
}
