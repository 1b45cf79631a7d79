// The tenant's chatbots, as several pages need them.
import { queryOptions } from '@tanstack/react-query';
import { api } from '../../api/client';

export const chatbotsQuery = queryOptions({
  queryKey: ['chatbots'],
  staleTime: 10_000,
  queryFn: async ({ signal }) => (await api('get', '/api/v1/chatbots', { query: { limit: 200 }, signal })).data,
});

export const chatbotQuery = (id: string) => queryOptions({
  queryKey: ['chatbots', id],
  queryFn: async ({ signal }) => (await api('get', '/api/v1/chatbots/{id}', { params: { id }, signal })).data,
});
