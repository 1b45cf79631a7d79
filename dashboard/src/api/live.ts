// What changed on the server, as it happens: whatever is shown of it is asked again. Without the stream, a clock does.
import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

/** How often what is looked at is asked again while nobody tells, in milliseconds. */
const BEAT = 2000;
/** Lists that move by themselves. */
const MOVING = ['conversations', 'conversation', 'messages', 'deliveries', 'delivery', 'numbers', 'sessions', 'trace'];

export function useLive() {
  const client = useQueryClient();
  useEffect(() => {
    const refresh = () => {
      if (document.visibilityState === 'hidden') return;
      void client.invalidateQueries({
        predicate: ({ queryKey, state }) => MOVING.includes(String(queryKey[0])) && state.fetchStatus === 'idle',
      });
    };
    const timer = setInterval(refresh, BEAT);
    return () => clearInterval(timer);
  }, [client]);
}
