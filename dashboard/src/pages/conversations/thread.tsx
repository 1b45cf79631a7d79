// One conversation: what was said, live, and a person's answer to it.
import { Badge, Box, Button, Group, Loader, Text, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconArrowDown, IconArrowLeft, IconHandStop, IconRobot } from '@tabler/icons-react';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import { api } from '../../api/client';
import type { Conversation, Message } from '../../api/types';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Phone, useNow } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { Bones, Empty, Gone, isGone } from '../../ui/states';
import { Bubble, Unconfirmed } from './bubble';
import { Composer, isLinked } from './composer';
import { nameOf } from './name';
import { settle, useOutgoing } from './outgoing';

function Countdown({ until }: { until: number | null }) {
  const { t, number } = useSpeech();
  const now = useNow(1000);
  const left = until === null ? 0 : until - now;
  const two = (value: number) => number(value, { minimumIntegerDigits: 2 });
  if (left <= 0) return <Badge className="badge" variant="light" color="gray" tt="none">{t('window.closed')}</Badge>;
  const hours = Math.floor(left / 3_600_000);
  const clock = `${number(hours)}:${two(Math.floor(left / 60_000) % 60)}`;
  const exact = `${clock}:${two(Math.floor(left / 1000) % 60)}`;
  return (
    <Tooltip label={t('window.explain')} multiline w={260} withArrow>
      <Badge className="badge tabular" variant="light" color={left < 3_600_000 ? 'red' : left < 4 * 3_600_000 ? 'yellow' : 'brand'} tt="none" role="timer">
        {t('window.open', { time: left < 3_600_000 ? exact : clock })}
      </Badge>
    </Tooltip>
  );
}

function HandOver({ conversation }: { conversation: Conversation }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const withPerson = conversation.handedOverUntil !== null && conversation.handedOverUntil !== undefined;
  const change = useMutation({
    mutationFn: () => api('post', withPerson ? '/api/v1/conversations/{id}/hand-back' : '/api/v1/conversations/{id}/hand-over', { params: { id: conversation.id } }),
    onSuccess: ({ data }) => {
      client.setQueryData(['conversation', conversation.id], data);
      void client.invalidateQueries({ queryKey: ['conversations'] });
    },
    onError: (error) => notifications.show({ color: 'red', message: sentence(error) }),
  });
  return (
    <Button
      size="xs" variant={withPerson ? 'light' : 'default'} loading={change.isPending} onClick={() => change.mutate()}
      leftSection={withPerson ? <IconRobot size={16} /> : <IconHandStop size={16} />}
    >
      {withPerson ? t('thread.handBack') : t('thread.takeOver')}
    </Button>
  );
}

function Head({ conversation, until }: { conversation: Conversation; until: number | null }) {
  const { t, time } = useSpeech();
  const search = useSearch({ from: '/app/conversations' });
  const { contact } = conversation;
  const may = useMay('agent');
  return (
    <Group className="thread-head" justify="space-between" gap="sm">
      <Group gap="xs" wrap="nowrap" miw={0}>
        <Link to="/conversations" search={search} className="back" aria-label={t('action.back')}><IconArrowLeft size={18} className="flip" /></Link>
        <Box miw={0}>
          <Text component="h2" fw={600} truncate><bdi>{nameOf(contact) ?? t('contact.nameless')}</bdi></Text>
          <Text size="xs" c="dimmed" truncate>
            {contact.phone && <><Phone of={contact.phone} /> · </>}<bdi>{conversation.chatbotId}</bdi>
          </Text>
        </Box>
      </Group>
      <Group gap="xs">
        {conversation.handedOverUntil && (
          <Tooltip label={t('thread.personUntil', { time: time(conversation.handedOverUntil) })} withArrow>
            <Badge className="badge" variant="light" color="blue" tt="none">{t('inbox.person')}</Badge>
          </Tooltip>
        )}
        {!isLinked(conversation) && <Countdown until={until} />}
        {may && <HandOver conversation={conversation} />}
      </Group>
    </Group>
  );
}

/** Keeps the newest message in sight, unless somebody reads further up. */
function useStick(newest: string | undefined, mine: number) {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [below, setBelow] = useState(false);
  const toEnd = () => {
    const element = box.current;
    if (element) element.scrollTop = element.scrollHeight;
    setBelow(false);
  };
  useLayoutEffect(() => {
    if (atEnd.current) toEnd();
    else setBelow(true);
  }, [newest, mine]);
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 80;
    if (atEnd.current) setBelow(false);
  };
  return { box, below, toEnd, onScroll };
}

export function Thread() {
  const { id } = useParams({ from: '/app/conversations/$id' });
  return <Open key={id} id={id} />;
}

function Open({ id }: { id: string }) {
  const { t, time } = useSpeech();
  const may = useMay('agent');
  const conversation = useQuery({
    queryKey: ['conversation', id],
    queryFn: async ({ signal }) => (await api('get', '/api/v1/conversations/{id}', { params: { id }, signal })).data,
  });
  const query = useInfiniteQuery({
    queryKey: ['messages', id],
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) =>
      api('get', '/api/v1/conversations/{id}/messages', { params: { id }, query: { cursor: pageParam, limit: 50 }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const messages = query.data?.pages.flatMap((page) => page.data) ?? [];
  const mine = useOutgoing(id);
  const windowUntil = conversation.data?.windowUntil;
  const until = windowUntil ? Date.parse(windowUntil) : null;
  const past = useIsPast(until);
  const closed = past && conversation.data !== undefined && !isLinked(conversation.data);
  const stick = useStick(messages[0]?.id, mine.length);
  useEffect(() => settle(new Set(messages.map((message) => message.id))));
  if (conversation.isError && conversation.data === undefined) {
    if (isGone(conversation.error)) return <Gone />;
    return <Box p="lg"><ErrorNote error={conversation.error} onRetry={() => void conversation.refetch()} /></Box>;
  }
  if (conversation.data === undefined) return <Bones rows={7} p="lg" />;
  const oldestFirst = messages.toReversed();
  const day = (message: Message) => time(message.sentAt, { weekday: 'long', day: 'numeric', month: 'long' });
  return (
    <section className="thread" aria-label={nameOf(conversation.data.contact) ?? t('contact.nameless')}>
      <Head conversation={conversation.data} until={until} />
      <div className="thread-scroll" ref={stick.box} onScroll={stick.onScroll} tabIndex={0} role="log" aria-label={t('thread.messages')} aria-live="polite">
        {query.isPending && <Bones rows={5} />}
        {query.isError && messages.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
        {query.isSuccess && messages.length === 0 && mine.length === 0 && <Empty title={t('thread.empty')} />}
        {query.hasNextPage && (
          <Button variant="subtle" size="xs" mx="auto" onClick={() => void query.fetchNextPage()} disabled={query.isFetchingNextPage} leftSection={query.isFetchingNextPage ? <Loader size={12} /> : undefined}>
            {t('thread.older')}
          </Button>
        )}
        {oldestFirst.map((message, n) => {
          const before = oldestFirst[n - 1];
          return (
            <Box key={message.id} style={{ display: 'contents' }}>
              {(before === undefined || day(before) !== day(message)) && <div className="day">{day(message)}</div>}
              <Bubble message={message} mayRetry={may} />
            </Box>
          );
        })}
        {mine.map((one) => <Unconfirmed key={one.key} one={one} />)}
      </div>
      {stick.below && (
        <Button size="xs" radius="xl" mx="auto" mt={-40} mb={8} style={{ zIndex: 2, flex: 'none' }} leftSection={<IconArrowDown size={14} />} onClick={stick.toEnd}>
          {t('thread.newer')}
        </Button>
      )}
      {may ? <Composer conversation={conversation.data} closed={closed} onWrite={stick.toEnd} /> : <div className="thread-foot"><Text size="sm" c="dimmed">{t('thread.readOnly')}</Text></div>}
    </section>
  );
}

/** Whether a moment is over, told when it comes. */
function useIsPast(until: number | null) {
  const now = useNow(5000);
  return until === null || until <= now;
}
