// The inbox: every conversation, the latest first, beside the one that is open.
import { Badge, Button, CloseButton, Group, SegmentedControl, Select, Stack, Text, TextInput, VisuallyHidden } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api } from '../../api/client';
import type { Conversation } from '../../api/types';
import { useSpeech } from '../../i18n';
import { Ago, Phone } from '../../ui/common';
import { ErrorNote } from '../../ui/error-note';
import { Bones, Empty } from '../../ui/states';
import { chatbotsQuery } from '../chatbots/data';
import { nameOf } from './name';

type Search = { q?: string; chatbot?: string; show?: string };

function useConversations({ q, chatbot, show }: Search) {
  return useInfiniteQuery({
    queryKey: ['conversations', q ?? '', chatbot ?? '', show ?? ''],
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) =>
      api('get', '/api/v1/conversations', {
        query: { q: q ?? '', chatbotId: chatbot ?? '', cursor: pageParam, limit: 40, ...(show === 'people' && { handedOver: true }) }, signal,
      }),
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });
}

function Row({ conversation, active, search }: { conversation: Conversation; active: boolean; search: Search }) {
  const { t } = useSpeech();
  const { contact } = conversation;
  return (
    <Link to="/conversations/$id" params={{ id: conversation.id }} search={search} className="row-link" data-active={active} aria-current={active ? 'true' : undefined}>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text fw={600} size="sm" truncate><bdi>{nameOf(contact) ?? t('contact.nameless')}</bdi></Text>
        <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}><Ago at={conversation.lastMessageAt} /></Text>
      </Group>
      <Group justify="space-between" wrap="nowrap" gap="xs" mt={2}>
        <Text size="xs" c="dimmed" truncate>
          {contact.name && contact.phone ? <><Phone of={contact.phone} /> · </> : null}<bdi>{conversation.chatbotId}</bdi>
        </Text>
        {conversation.handedOverUntil && <Badge size="xs" variant="light" color="blue" tt="none" className="badge">{t('inbox.person')}</Badge>}
      </Group>
    </Link>
  );
}

export function Conversations() {
  const { t } = useSpeech();
  const search = useSearch({ from: '/app/conversations' });
  const navigate = useNavigate();
  const open = useParams({ strict: false, select: (params) => (params as { id?: string }).id });
  const [typed, setTyped] = useState(search.q ?? '');
  const query = useConversations(search);
  const chatbots = useQuery(chatbotsQuery).data ?? [];
  const change = (part: Search) =>
    void navigate({ to: open === undefined ? '/conversations' : '/conversations/$id', params: { id: open ?? '' }, search: clean({ ...search, ...part }), replace: true });
  const look = useDebouncedCallback((q: string) => change({ q }), 250);
  useEffect(() => { document.title = `${t('nav.conversations')} · Switchboard`; }, [t]);
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  const filtered = Boolean(search.q ?? search.chatbot ?? search.show);
  return (
    <div className="inbox" data-open={open !== undefined}>
      <VisuallyHidden><h1>{t('nav.conversations')}</h1></VisuallyHidden>
      <section className="inbox-list" aria-label={t('nav.conversations')}>
        <Stack gap="xs" p="sm">
          <TextInput
            type="search" aria-label={t('inbox.search')} placeholder={t('inbox.search')} leftSection={<IconSearch size={16} />} value={typed}
            onChange={(e) => { setTyped(e.currentTarget.value); look(e.currentTarget.value.trim()); }}
            rightSection={typed !== '' ? <CloseButton size="sm" aria-label={t('action.clear')} onClick={() => { setTyped(''); change({ q: '' }); }} /> : undefined}
          />
          <Group gap="xs" wrap="nowrap">
            <SegmentedControl
              size="xs" aria-label={t('inbox.show')} value={search.show ?? 'all'} onChange={(show) => change({ show: show === 'all' ? '' : show })}
              data={[{ value: 'all', label: t('inbox.all') }, { value: 'people', label: t('inbox.withPeople') }]}
            />
            {chatbots.length > 1 && (
              <Select
                size="xs" flex={1} clearable aria-label={t('inbox.chatbot')} placeholder={t('inbox.everyChatbot')} value={search.chatbot ?? null}
                data={chatbots.map((bot) => ({ value: bot.id, label: bot.name }))} onChange={(chatbot) => change({ chatbot: chatbot ?? '' })}
              />
            )}
          </Group>
        </Stack>
        <div className="inbox-scroll rows" tabIndex={-1}>
          {query.isPending && <Bones rows={6} p="md" />}
          {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
          {query.isSuccess && rows.length === 0 && (filtered
            ? <Empty title={t('inbox.nothing')} text={t('inbox.nothingText')} />
            : <Empty title={t('inbox.empty')} text={t('inbox.emptyText')} action={<Button component={Link} to="/numbers" variant="light">{t('nav.numbers')}</Button>} />)}
          {rows.map((row) => <Row key={row.id} conversation={row} active={row.id === open} search={search} />)}
          {query.hasNextPage && (
            <Button variant="subtle" fullWidth radius={0} loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>
          )}
        </div>
      </section>
      <div className="inbox-thread"><Outlet /></div>
    </div>
  );
}

const clean = (search: Search): Search => Object.fromEntries(Object.entries(search).filter(([, value]) => value)) as Search;
