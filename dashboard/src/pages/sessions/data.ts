// Sessions as the pages see them, live.
import { keepPreviousData, queryOptions, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { address, api } from '../../api/client';
import { listen } from '../../api/stream';

export type { Session } from '../../api/types';

/** Whether a number is a linked one: those go by their session's id. */
export const isSession = (phoneNumberId: string) => phoneNumberId.startsWith('ses_');

export const SESSION = '/api/v1/sessions/{name}';

export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: async ({ signal }) => (await api('get', '/api/v1/sessions', { query: { limit: 200 }, signal })).data,
});

/** One session, told as it changes. */
export function useSession(name: string) {
  const client = useQueryClient();
  const key = ['session', name];
  useEffect(() => listen(address(`${SESSION}/events`, { name }), (event) => {
    if (event.name === 'session') client.setQueryData(['session', name], JSON.parse(event.data));
  }), [client, name]);
  return useQuery({
    queryKey: key,
    refetchInterval: 5000,
    queryFn: async ({ signal }) => (await api('get', SESSION, { params: { name }, signal })).data,
  });
}

/** The picture of the code; the one before stays until the next is there. */
export function useQr(name: string, version: number, enabled: boolean) {
  return useQuery({
    queryKey: ['session', name, 'qr', version],
    enabled,
    staleTime: Infinity,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      (await api('get', `${SESSION}/qr`, { params: { name }, query: { format: 'json' }, signal })).data.qr ?? null,
  });
}
