// Every alert that is kept: what was raised and when, and whether it is over.
import { Box, Button, SegmentedControl } from '@mantine/core';
import { IconBellOff } from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import { useMe } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Page } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { Bones, Empty } from '../../ui/states';
import { AlertRow } from './row';

export function History() {
  const { t } = useSpeech();
  const me = useMe();
  const [whose, setWhose] = useState(me.platform ? 'all' : 'one');
  const everybody = whose === 'all';
  const [show, setShow] = useState('all');
  const query = useInfiniteQuery({
    queryKey: ['alerts', 'history', everybody], initialPageParam: '', refetchInterval: 15_000,
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/alerts', { query: { cursor: pageParam, limit: 50 }, signal, everybody }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const all = query.data?.pages.flatMap((page) => page.data) ?? [];
  const rows = all.filter((alert) => show === 'all' || alert.state === 'open');
  return (
    <Page title={t('nav.alerts')} text={t('alerts.text')} actions={me.platform && (
      <SegmentedControl size="xs" aria-label={t('tenant.choose')} value={whose} onChange={setWhose} data={[{ value: 'one', label: t('home.oneClient') }, { value: 'all', label: t('home.everyClient') }]} />
    )}>
      <SegmentedControl size="xs" mb="sm" aria-label={t('inbox.show')} value={show} onChange={setShow} data={[{ value: 'all', label: t('inbox.all') }, { value: 'open', label: t('alerts.open') }]} />
      {query.isPending && <Bones rows={6} />}
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      {query.isSuccess && rows.length === 0 && <Empty icon={<IconBellOff size={40} stroke={1.2} />} title={t(show === 'open' && all.length > 0 ? 'alerts.noneOpen' : 'alerts.none')} text={t('alerts.noneText')} />}
      {rows.length > 0 && <Box className="panel rows">{rows.map((alert) => <AlertRow key={alert.id} alert={alert} everybody={everybody} />)}</Box>}
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
    </Page>
  );
}
