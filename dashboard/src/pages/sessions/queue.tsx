// A linked number's line: what waits, why and since when; to be withdrawn one by one or all; and what failed.
import { Box, Button, Group, Modal, SegmentedControl, Stack, Text, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconMoodEmpty } from '@tabler/icons-react';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import type { Delivery } from '../../api/types';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Ago, Phone, State, useReason } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { LinkAnchor } from '../../ui/links';
import { Bones, Empty } from '../../ui/states';
import { useRetry } from '../failures/retry';
import type { Session } from './data';

const SHOWN = ['queued', 'failed', 'unknown', 'sent'] as const;

export function Queue({ session }: { session: Session }) {
  const { t } = useSpeech();
  const may = useMay('agent');
  const client = useQueryClient();
  const sentence = useSentence();
  const [show, setShow] = useState<(typeof SHOWN)[number]>('queued');
  const [sure, setSure] = useState(false);
  const [busy, setBusy] = useState(false);
  const query = useInfiniteQuery({
    queryKey: ['deliveries', 'line', session.id, show], initialPageParam: '', refetchInterval: 4000,
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/deliveries', { query: { status: show, phoneNumberId: session.id, cursor: pageParam, limit: 50 }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  const withdraw = async (ids: string[]) => {
    setBusy(true);
    setSure(false);
    let done = 0;
    let failed: unknown = null;
    for (const id of ids) {
      try {
        await api('delete', '/api/v1/deliveries/{id}', { params: { id } });
        done++;
      } catch (error) {
        failed = error;
      }
    }
    setBusy(false);
    if (failed !== null) notifications.show({ color: 'red', message: sentence(failed) });
    if (done > 0) notifications.show({ color: 'brand', message: t('queue.withdrawn', { count: done }) });
    void client.invalidateQueries({ queryKey: ['deliveries'] });
    void client.invalidateQueries({ queryKey: ['session', session.name] });
  };
  return (
    <Box className="panel" p="md" component="section" aria-labelledby="line-title" style={{ alignSelf: 'start' }}>
      <Group justify="space-between" mb="sm">
        <Title order={2} id="line-title">{t('queue.title')}</Title>
        {may && show === 'queued' && rows.length > 1 && <Button size="xs" variant="subtle" color="red" loading={busy} onClick={() => setSure(true)}>{t('queue.withdrawAll')}</Button>}
      </Group>
      <SegmentedControl
        size="xs" fullWidth mb="sm" aria-label={t('inbox.show')} value={show} onChange={(value) => setShow(value as typeof show)}
        data={SHOWN.map((value) => ({ value, label: t(`state.${value}`) }))}
      />
      {query.isPending && <Bones rows={4} />}
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      {query.isSuccess && rows.length === 0 && <Empty icon={<IconMoodEmpty size={34} stroke={1.2} />} title={t('queue.none')} text={t(`queue.none.${show}`)} />}
      <Stack gap={0} className="rows">
        {rows.map((row) => <Row key={row.id} row={row} may={may} busy={busy} onWithdraw={() => void withdraw([row.id])} />)}
      </Stack>
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
      <Modal opened={sure} onClose={() => setSure(false)} title={t('queue.withdrawTitle')} centered>
        <Text size="sm">{t('queue.withdrawText', { count: rows.length })}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setSure(false)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => void withdraw(rows.map((row) => row.id))}>{t('queue.withdrawAll')}</Button>
        </Group>
      </Modal>
    </Box>
  );
}

function Row({ row, may, busy, onWithdraw }: { row: Delivery; may: boolean; busy: boolean; onWithdraw: () => void }) {
  const { t } = useSpeech();
  const reason = useReason();
  const retry = useRetry();
  return (
    <Group py="xs" gap="sm" wrap="nowrap" align="flex-start">
      <Box flex={1} miw={0}>
        <Group gap="xs">
          <State of={row.status} size="sm" />
          {row.to && <Text size="sm"><Phone of={row.to} /></Text>}
          <Text size="xs" c="dimmed"><Ago at={row.createdAt} /></Text>
        </Group>
        <Text size="sm" lineClamp={2} className="break" dir="auto" mt={2}>{row.text}</Text>
        {row.reason && <Text size="xs" c="dimmed">{reason(row.reason, row.advice)}</Text>}
        <LinkAnchor to="/conversations/$id" params={{ id: row.conversationId }} size="xs">{t('failures.conversation')}</LinkAnchor>
      </Box>
      {may && row.status === 'queued' && <Button size="compact-xs" variant="default" disabled={busy} onClick={onWithdraw}>{t('queue.withdraw')}</Button>}
      {may && ['failed', 'unknown'].includes(row.status) && <Button size="compact-xs" variant="default" loading={retry.busy(row.id)} onClick={() => void retry.one(row.id, row.status)}>{t('action.retry')}</Button>}
    </Group>
  );
}
