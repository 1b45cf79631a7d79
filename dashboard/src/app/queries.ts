// How data is kept: fresh while it is looked at, asked again when the line heals, never asked again in vain.
import { QueryClient } from '@tanstack/react-query';
import { NoAnswer, Problem } from '../api/client';
import { whenHealed } from '../api/line';

/** Whether another try may help: nobody answered, or the server is in trouble. */
const mayHelp = (error: Error) => error instanceof NoAnswer || (error instanceof Problem && error.status >= 500);

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: 'always',
      retry: (count, error) => mayHelp(error) && count < 3,
      retryDelay: (count) => Math.min(500 * 2 ** count, 5000),
      staleTime: 1000,
      refetchOnWindowFocus: true,
    },
    mutations: { networkMode: 'always', retry: false },
  },
});

whenHealed(() => void queries.invalidateQueries());
