// How much waits for a person: the small red number beside "Failures".
import { queryOptions } from '@tanstack/react-query';
import { api } from '../api/client';
import { unlessLive } from '../api/live';

/** Statuses that need somebody. */
export const TROUBLE = ['failed', 'dead', 'unknown'] as const;

export const openFailures = queryOptions({
  queryKey: ['deliveries', 'open'],
  refetchInterval: unlessLive(10_000),
  queryFn: async ({ signal }) => {
    const pages = await Promise.all(
      TROUBLE.map((status) => api('get', '/api/v1/deliveries', { query: { status, limit: 100 }, signal })),
    );
    return pages.reduce((sum, page) => sum + page.data.length, 0);
  },
});
