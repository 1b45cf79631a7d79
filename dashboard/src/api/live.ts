// Keeps what is looked at fresh: conversations move by themselves, so they are asked again every two seconds.
import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

/** How often, in milliseconds. */
const BEAT = 2000;
const MOVING = ['conversations', 'conversation', 'messages'];
/** Whoever reads far back is not asked for all of it again. */
const PAGES = 3;

export function useLive() {
  const client = useQueryClient();
  useEffect(() => {
    const refresh = () => {
      if (document.visibilityState === 'hidden') return;
      void client.invalidateQueries({
        predicate: ({ queryKey, state }) => {
          const pages = (state.data as { pages?: unknown[] } | undefined)?.pages?.length ?? 1;
          return MOVING.includes(String(queryKey[0])) && state.fetchStatus === 'idle' && pages <= PAGES;
        },
      });
    };
    const timer = setInterval(refresh, BEAT);
    return () => clearInterval(timer);
  }, [client]);
}
