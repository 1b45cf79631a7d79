// Sessions as the pages see them, live.
import { keepPreviousData, queryOptions, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { address, call } from '../../api/client';
import { listen } from '../../api/stream';

/** A number linked by QR code. */
export interface Session {
  id: string;
  name: string;
  engine: string;
  chatbotId: string | null;
  isDefault: boolean;
  state: 'pairing' | 'connecting' | 'connected' | 'disconnected' | 'logged_out' | 'expired' | 'failed';
  reason: string;
  sentence: string;
  advice: string;
  detail: string | null;
  phone: string | null;
  pushName: string | null;
  qr: { version: number; generatedAt: string | null; expiresAt: string | null; expired: boolean } | null;
  ageDays: number | null;
  warning: string | null;
  queue: { answers: number; started: number; sentToday: number; capToday: number };
  connectedAt: string | null;
}

export const SESSION = '/api/v1/sessions/{name}';

export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: async ({ signal }) => ((await call('get', '/api/v1/sessions', { query: { limit: 200 }, signal })) as { data: Session[] }).data,
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
    queryFn: async ({ signal }) => ((await call('get', SESSION, { params: { name }, signal })) as { data: Session }).data,
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
      ((await call('get', `${SESSION}/qr`, { params: { name }, query: { format: 'json' }, signal })) as { data: { qr: string | null } }).data.qr,
  });
}
