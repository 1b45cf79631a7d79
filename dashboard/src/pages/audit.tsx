// Who changed what, when and from where.
import { Button, Code, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client';
import { useSpeech } from '../i18n';
import { Page } from '../ui/common';
import { ErrorNote } from '../ui/error-note';
import { Bones, Empty } from '../ui/states';

export function Audit() {
  const { t, time } = useSpeech();
  const [actor, setActor] = useState('');
  const look = useDebouncedCallback((value: string) => setActor(value), 300);
  const query = useInfiniteQuery({
    queryKey: ['audit', actor], initialPageParam: '',
    placeholderData: keepPreviousData,
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/audit', { query: { cursor: pageParam, limit: 100, actor: actor === '' ? '' : actor.includes(':') ? actor : `user:${actor}` }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <Page title={t('nav.audit')} text={t('audit.text')}>
      <TextInput maw={380} mb="md" label={t('audit.actor')} placeholder="ada@example.com, key:ab12cd34" onChange={(e) => look(e.currentTarget.value.trim())} classNames={{ input: 'ltr' }} />
      {query.isPending && <Bones rows={6} />}
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      {query.isSuccess && rows.length === 0 && <Empty title={t('inbox.nothing')} />}
      {rows.length > 0 && (
        <div className="panel">
          <Table.ScrollContainer minWidth={720} type="native" tabIndex={0}>
            <Table verticalSpacing="xs" fz="sm">
              <Table.Thead><Table.Tr>{(['audit.when', 'audit.who', 'audit.what', 'audit.which', 'audit.where'] as const).map((key) => <Table.Th key={key}>{t(key)}</Table.Th>)}</Table.Tr></Table.Thead>
              <Table.Tbody>
                {rows.map((row) => (
                  <Table.Tr key={row.id}>
                    <Table.Td className="tabular" style={{ whiteSpace: 'nowrap' }}>{time(row.at, { dateStyle: 'short', timeStyle: 'medium' })}</Table.Td>
                    <Table.Td className="break"><bdi>{row.actor}</bdi></Table.Td>
                    <Table.Td><Code>{row.action}</Code>{row.detail && <Text size="xs" c="dimmed">{row.detail}</Text>}</Table.Td>
                    <Table.Td className="break"><bdi>{row.target}</bdi></Table.Td>
                    <Table.Td className="ltr">{row.address ?? '—'}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </div>
      )}
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
    </Page>
  );
}
