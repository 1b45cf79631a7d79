// What went wrong, why, and another try: outgoing messages and unanswered turns, then what came in and was put aside.
import { Alert, Badge, Box, Button, Checkbox, Group, Progress, SegmentedControl, Select, Stack, Text } from '@mantine/core';
import { IconCircleCheck } from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import { unlessLive } from '../../api/live';
import type { Delivery } from '../../api/types';
import { TROUBLE } from '../../app/attention';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Ago, Page, State, useReason } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { LinkAnchor } from '../../ui/links';
import { Bones, Empty } from '../../ui/states';
import { Incoming } from './incoming';
import { useRetry } from './retry';
import { sideOf } from './side';

/** Most failures that are looked at together. */
const PAGE = 200;

function useFailures() {
  return useInfiniteQuery({
    queryKey: ['deliveries', 'trouble'],
    refetchInterval: unlessLive(5000),
    initialPageParam: Object.fromEntries(TROUBLE.map((status) => [status, ''])) as Record<string, string | null>,
    queryFn: async ({ pageParam, signal }) => {
      const pages = await Promise.all(TROUBLE.map(async (status) => {
        const cursor = pageParam[status];
        if (cursor === null || cursor === undefined) return { status, data: [], nextCursor: null };
        const page = await api('get', '/api/v1/deliveries', { query: { status, limit: PAGE, cursor }, signal });
        return { status, data: page.data, nextCursor: page.nextCursor ?? null };
      }));
      const data = pages.flatMap((page) => page.data).sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
      return { data, cursors: Object.fromEntries(pages.map((page) => [page.status, page.nextCursor])) as Record<string, string | null> };
    },
    getNextPageParam: (page) => (Object.values(page.cursors).some((cursor) => cursor !== null) ? page.cursors : null),
  });
}

function Row({ failure, chosen, onChoose, may }: { failure: Delivery; chosen: boolean; onChoose: () => void; may: boolean }) {
  const { t } = useSpeech();
  const reason = useReason();
  const retry = useRetry();
  const isTurn = failure.kind === 'turn';
  const side = sideOf(failure.reason);
  const again = <Button size="xs" variant="default" loading={retry.busy(failure.id)} onClick={() => void retry.one(failure.id, failure.status)}>{t('action.retry')}</Button>;
  return (
    <Group p="sm" px="md" gap="sm" align="flex-start" wrap="nowrap">
      {may && <Checkbox mt={3} checked={chosen} onChange={onChoose} aria-label={t('failures.choose')} />}
      <Box flex={1} miw={0}>
        <Group gap="xs">
          <State of={failure.status} size="sm" />
          <Text size="sm" fw={600}>{reason(failure.reason) ?? t('reason.none')}</Text>
          {side && <Badge className="badge" size="sm" variant="outline" color="gray" tt="none" title={t('side.title')}>{t(`side.${side}`)}</Badge>}
          <Text size="xs" c="dimmed"><Ago at={failure.failedAt ?? failure.createdAt} /></Text>
        </Group>
        <Text size="sm" lineClamp={2} mt={4} className="break" dir="auto">{isTurn ? <Text span c="dimmed" inherit>{t('failures.turn')}</Text> : failure.text}</Text>
        {(failure.detail ?? failure.code) && (
          <Text size="xs" c="dimmed" mt={2} className="break">
            <bdi>{failure.detail}</bdi>{failure.code ? ` (${t('failures.code')} ${failure.code})` : ''}
          </Text>
        )}
        <Group gap="md" mt={4}>
          <LinkAnchor to="/conversations/$id" params={{ id: failure.conversationId }} size="xs">{t('failures.conversation')}</LinkAnchor>
          {failure.wamid && <LinkAnchor to="/trace" search={{ wamid: failure.wamid }} size="xs">{t('message.why')}</LinkAnchor>}
          <Text size="xs" c="dimmed">{t('failures.tries', { count: failure.attempts })}</Text>
        </Group>
        {may && <Box hiddenFrom="xs" mt={8}>{again}</Box>}
      </Box>
      {may && <Box visibleFrom="xs">{again}</Box>}
    </Group>
  );
}

function Outgoing() {
  const { t, number } = useSpeech();
  const reasonOf = useReason();
  const may = useMay('agent');
  const query = useFailures();
  const retry = useRetry();
  const search = useSearch({ from: '/app/failures' });
  const navigate = useNavigate();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const all = query.data?.pages.flatMap((page) => page.data) ?? [];
  const counts = Map.groupBy(all, (failure) => failure.reason ?? '');
  const fits = (failure: Delivery) =>
    (!search.reason || (failure.reason ?? '') === search.reason) && (!search.status || failure.status === search.status);
  const rows = all.filter(fits);
  const picked = rows.filter((failure) => chosen.has(failure.id));
  const toggle = (id: string) => setChosen((before) => {
    const after = new Set(before);
    if (!after.delete(id)) after.add(id);
    return after;
  });
  const many = async () => {
    let wanted = picked;
    if (picked.length === 0) {
      // All that fit, also those that are not shown yet.
      let pages = query;
      while (pages.hasNextPage && !pages.isFetchNextPageError) pages = await pages.fetchNextPage();
      wanted = (pages.data?.pages.flatMap((page) => page.data) ?? []).filter(fits);
    }
    await retry.many(wanted.map(({ id, status }) => ({ id, status })));
    setChosen(new Set());
  };
  if (query.isPending) return <Bones rows={6} />;
  if (query.isError && all.length === 0) return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />;
  if (all.length === 0) return <Empty icon={<IconCircleCheck size={40} stroke={1.2} />} title={t('failures.none')} text={t('failures.noneText')} />;
  const { progress } = retry;
  const change = (part: { status?: string; reason?: string }) =>
    void navigate({ to: '/failures', search: Object.fromEntries(Object.entries({ ...search, ...part }).filter(([, value]) => value)), replace: true });
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Group gap="xs">
        <SegmentedControl
          size="xs" aria-label={t('number.status')} value={search.status ?? ''} onChange={(status) => change({ status })}
          data={[{ value: '', label: t('inbox.all') }, ...TROUBLE.map((value) => ({ value, label: t(`state.${value}`) }))]}
        />
        <Select
          size="sm" w={{ base: '100%', xs: 320 }} clearable aria-label={t('failures.reason')} placeholder={t('failures.everyReason')} value={search.reason ?? null}
          data={[...counts].map(([reason, of]) => ({ value: reason, label: `${reasonOf(reason) ?? t('reason.none')} (${number(of.length)})` }))}
          onChange={(reason) => change({ reason: reason ?? '' })}
        />
        </Group>
        {may && !progress && rows.length > 0 && (
          <Button size="sm" onClick={() => void many()}>
            {picked.length > 0 ? t('failures.retryChosen', { count: picked.length }) : query.hasNextPage ? t('failures.retryEvery') : t('failures.retryAll', { count: rows.length })}
          </Button>
        )}
      </Group>
      {progress && (
        <Box className="panel" p="md" role="status">
          <Group justify="space-between" mb={6}>
            <Text size="sm">{t('failures.progress', { done: progress.done, of: progress.of })}</Text>
            <Button size="compact-xs" variant="default" onClick={retry.stop}>{t('action.stop')}</Button>
          </Group>
          <Progress value={(100 * progress.done) / progress.of} aria-label={t('failures.progress', { done: progress.done, of: progress.of })} />
        </Box>
      )}
      {rows.some((failure) => failure.status === 'unknown') && <Alert color="yellow" variant="light" p="xs"><Text size="sm">{t('failures.doubtHint')}</Text></Alert>}
      {rows.length === 0 && <Empty title={t('inbox.nothing')} text={t('inbox.nothingText')} />}
      <Box className="panel rows">
        {rows.map((failure) => <Row key={failure.id} failure={failure} may={may} chosen={chosen.has(failure.id)} onChoose={() => toggle(failure.id)} />)}
      </Box>
      {query.hasNextPage && <Button variant="subtle" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
    </Stack>
  );
}

export function Failures() {
  const { t } = useSpeech();
  const search = useSearch({ from: '/app/failures' });
  const navigate = useNavigate();
  const show = search.show ?? 'out';
  return (
    <Page title={t('nav.failures')} text={t('failures.text')}>
      <SegmentedControl
        mb="md" value={show} onChange={(show) => void navigate({ to: '/failures', search: show === 'out' ? {} : { show }, replace: true })}
        data={[{ value: 'out', label: t('failures.out') }, { value: 'in', label: t('failures.in') }]} aria-label={t('inbox.show')}
      />
      {show === 'in' ? <Incoming /> : <Outgoing />}
    </Page>
  );
}
