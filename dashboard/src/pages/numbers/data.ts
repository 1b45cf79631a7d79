// The tenant's official numbers, as several pages need them.
import { queryOptions } from '@tanstack/react-query';
import { api } from '../../api/client';

export const numbersQuery = queryOptions({
  queryKey: ['numbers'],
  queryFn: async ({ signal }) => (await api('get', '/api/v1/whatsapp/integrations', { query: { limit: 200 }, signal })).data,
});

export const numberQuery = (id: string) => queryOptions({
  queryKey: ['numbers', id],
  queryFn: async ({ signal }) => (await api('get', '/api/v1/whatsapp/integration/{id}', { params: { id }, signal })).data ?? null,
});

/** Letters and digits that nobody guesses. */
export function randomToken(length = 32) {
  const letters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';
  const bytes = crypto.getRandomValues(new Uint32Array(length));
  return Array.from(bytes, (byte) => letters[byte % letters.length]).join('');
}
