// Events that were stored and not understood, or belong to nobody yet: why, what they said, and once more.
import { Box, Button, Code, Group, Modal, SegmentedControl, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import { useMay, useMe } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Ago, State, useReason } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { Bones, Empty, Loaded } from '../../ui/states';

const STATES = ['unroutable', 'quarantined', 'parked', 'refused', 'ignored'] as const;

export function Incoming() {
  const { t } = useSpeech();
  const reason = useReason();
  const sentence = useSentence();
  const may = useMay('admin');
  // What reached nobody's number belongs to no client: the platform's people look after it.
  const everybody = useMe().platform;
  const client = useQueryClient();
  const [state, setState] = useState<(typeof STATES)[number]>('unroutable');
  const [open, setOpen] = useState<string | null>(null);
  const query = useInfiniteQuery({
    queryKey: ['events', state], initialPageParam: '',
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/events', { query: { state, cursor: pageParam, limit: 50 }, signal, everybody }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const replay = useMutation({
    mutationFn: (id: string) => api('post', '/api/v1/events/{id}/replay', { params: { id }, everybody }),
    onSuccess: () => {
      notifications.show({ color: 'brand', message: t('events.replayed') });
      void client.invalidateQueries({ queryKey: ['events'] });
    },
    onError: (error) => notifications.show({ color: 'red', message: sentence(error) }),
  });
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <>
      <Box style={{ overflowX: 'auto' }} mb="sm">
        <SegmentedControl
          size="xs" value={state} onChange={setState} aria-label={t('events.state')}
          data={STATES.map((value) => ({ value, label: t(`state.${value}`) }))}
        />
      </Box>
      {query.isPending && <Bones />}
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      {query.isSuccess && rows.length === 0 && <Empty title={t('events.none')} text={t(`events.${state as 'unroutable'}`)} />}
      {rows.length > 0 && (
        <Box className="panel rows">
          {rows.map((event) => (
            <Group key={event.id} p="sm" px="md" justify="space-between" gap="sm">
              <Box miw={0} flex={1}>
                <Group gap="xs">
                  <State of={event.state} size="sm" /><Code>{event.field || '?'}</Code>
                  <Text size="xs" c="dimmed"><Ago at={event.receivedAt} /></Text>
                </Group>
                <Text size="sm" mt={4} className="break">{reason(event.reason) ?? '—'}</Text>
                {event.phoneNumberId && <Text size="xs" c="dimmed" className="tabular">{t('number.id')}: {event.phoneNumberId}</Text>}
              </Box>
              <Group gap="xs">
                <Button size="xs" variant="subtle" onClick={() => setOpen(event.id)}>{t('events.open')}</Button>
                {may && <Button size="xs" variant="default" loading={replay.isPending && replay.variables === event.id} onClick={() => replay.mutate(event.id)}>{t('events.replay')}</Button>}
              </Group>
            </Group>
          ))}
        </Box>
      )}
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
      <Modal opened={open !== null} onClose={() => setOpen(null)} size="lg" title={t('events.body')}>{open !== null && <Raw id={open} everybody={everybody} />}</Modal>
    </>
  );
}

function Raw({ id, everybody }: { id: string; everybody: boolean }) {
  const query = useQuery({
    queryKey: ['events', 'one', id],
    queryFn: async ({ signal }) => (await api('get', '/api/v1/events/{id}', { params: { id }, signal, everybody })).data,
  });
  return <Loaded query={query}>{(event) => <pre className="raw" tabIndex={0}>{typeof event.raw === 'string' ? event.raw : JSON.stringify(event.raw, null, 2)}</pre>}</Loaded>;
}
