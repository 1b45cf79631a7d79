// One customer: who they are, all that was said with them, a message to them, and their data to take or to erase.
import { Box, Button, Code, Group, Modal, Select, SimpleGrid, Stack, Text, Textarea, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDownload } from '@tabler/icons-react';
import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { address, api, raw } from '../../api/client';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Ago, Page, Phone } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { LinkButton } from '../../ui/links';
import { saveAs } from '../../ui/save';
import { Loaded } from '../../ui/states';
import { Bubble } from '../conversations/bubble';
import { numbersQuery } from '../numbers/data';
import { Fate } from '../numbers/test-message';
import { isSession, SESSION, sessionsQuery } from '../sessions/data';

const PATH = '/api/v1/contacts/{id}';

/** A number that can write to the contact: an official one, or a linked one. */
interface Way { id: string; label: string; send: (message: string, idempotencyKey: string) => Promise<{ data: { id: string } }> }

function useWays(phone: string): Way[] {
  const numbers = useQuery(numbersQuery).data ?? [];
  const sessions = useQuery(sessionsQuery).data ?? [];
  const official = numbers.filter((number) => !isSession(number.phoneNumberId) && ['active', 'restricted', 'token_invalid'].includes(number.status)).map((number): Way => ({
    id: number.id, label: `${number.displayPhoneNumber ?? number.phoneNumberId} · ${number.chatbotId}`,
    send: (message, idempotencyKey) => api('post', '/api/v1/whatsapp/send', {
      query: { chatbotId: number.chatbotId, phoneNumberId: number.phoneNumberId }, body: { to: phone, message } as never, idempotencyKey,
    }),
  }));
  const linked = sessions.filter((session) => session.phone).map((session): Way => ({
    id: session.id, label: `+${session.phone ?? ''} · ${session.name}`,
    send: (message, idempotencyKey) => api('post', `${SESSION}/messages`, { params: { name: session.name }, body: { to: phone, message }, idempotencyKey }),
  }));
  return [...official, ...linked];
}

function Write({ phone }: { phone: string }) {
  const { t } = useSpeech();
  const usable = useWays(phone);
  const form = useForm<{ through: string | null; message: string }>({ through: null, message: '' }, ['message', 'to']);
  const client = useQueryClient();
  const [sent, setSent] = useState<string | null>(null);
  /** The same words through the same number keep their key until they are taken, so that another try sends them once. */
  const [last] = useState({ words: '', key: '' });
  const chosen = usable.find((number) => number.id === form.values.through) ?? usable[0];
  if (chosen === undefined) return null;
  const send = async () => {
    const done = await form.submit(async () => {
      const words = `${chosen.id} ${form.values.message}`;
      if (words !== last.words) Object.assign(last, { words, key: crypto.randomUUID() });
      const answer = await chosen.send(form.values.message, last.key);
      last.words = '';
      setSent(answer.data.id);
      void client.invalidateQueries({ queryKey: ['messages'] });
    });
    if (done) form.set('message', '');
  };
  return (
    <Box className="panel" p="md">
      <Title order={2} mb="sm">{t('contact.write')}</Title>
      <form onSubmit={(event) => { event.preventDefault(); void send(); }}>
        <Stack gap="sm">
          {usable.length > 1 && (
            <Select label={t('contact.through')} allowDeselect={false} value={chosen.id} onChange={(through) => form.set('through', through)} data={usable.map(({ id, label }) => ({ value: id, label }))} />
          )}
          <Textarea autosize minRows={2} maxRows={8} label={t('test.message')} required value={form.values.message} error={form.error('message') ?? form.error('to')} onChange={(e) => form.set('message', e.currentTarget.value)} dir="auto" />
          {form.problem !== null && <ErrorNote error={form.problem} />}
          <Group justify="space-between"><Button type="submit" variant="light" loading={form.busy}>{t('action.send')}</Button>{sent !== null && <Fate id={sent} />}</Group>
        </Stack>
      </form>
    </Box>
  );
}

/** Nothing more is sent to whoever wants silence; a person may note it for them. */
function Silence({ id, silent }: { id: string; silent: boolean }) {
  const { t } = useSpeech();
  const sentence = useSentence();
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const change = async () => {
    setBusy(true);
    try {
      await api('post', silent ? `${PATH}/opt-in` : `${PATH}/opt-out`, { params: { id } });
      notifications.show({ color: 'brand', message: t(silent ? 'contact.wasOptedIn' : 'contact.wasOptedOut') });
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
    await client.invalidateQueries({ predicate: ({ queryKey }) => ['contacts', 'conversation', 'conversations'].includes(String(queryKey[0])) });
    setBusy(false);
  };
  return <Button size="xs" variant="default" loading={busy} onClick={() => void change()}>{t(silent ? 'contact.optIn' : 'contact.optOut')}</Button>;
}

function Timeline({ id }: { id: string }) {
  const { t, time } = useSpeech();
  const may = useMay('agent');
  const query = useInfiniteQuery({
    queryKey: ['messages', 'contact', id], initialPageParam: '',
    queryFn: ({ pageParam, signal }) => api('get', `${PATH}/timeline`, { params: { id }, query: { cursor: pageParam, limit: 50 }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <Box className="panel timeline">
      <Title order={2} mb="xs">{t('contact.timeline')}</Title>
      {query.isError && rows.length === 0 && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      <Stack gap={0}>
        {rows.map((message) => (
          <Box key={message.id} className="timeline-row">
            <Text size="xs" c="dimmed">{time(message.sentAt, { dateStyle: 'medium' })}</Text>
            <Bubble message={message} mayRetry={may} />
          </Box>
        ))}
      </Stack>
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('thread.older')}</Button>}
    </Box>
  );
}

function Erase({ id }: { id: string }) {
  const { t } = useSpeech();
  const sentence = useSentence();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [sure, setSure] = useState(false);
  const [typed, setTyped] = useState('');
  const word = t('contact.eraseWord');
  const erase = async () => {
    try {
      await api('delete', PATH, { params: { id } });
      client.removeQueries({ predicate: ({ queryKey }) => queryKey.includes(id) });
      notifications.show({ color: 'brand', message: t('contact.erased') });
      await navigate({ to: '/contacts' });
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
  };
  return (
    <>
      <Button variant="subtle" color="red" onClick={() => setSure(true)}>{t('contact.erase')}</Button>
      <Modal opened={sure} onClose={() => setSure(false)} title={t('contact.eraseTitle')} centered>
        <Stack gap="sm">
          <Text size="sm">{t('contact.eraseText')}</Text>
          <TextInput label={t('contact.eraseType', { word })} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={() => setSure(false)}>{t('action.cancel')}</Button>
            <Button color="red" disabled={typed.trim().toLocaleLowerCase() !== word.toLocaleLowerCase()} onClick={() => void erase()}>{t('contact.erase')}</Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}

export function OneContact() {
  const { t, time } = useSpeech();
  const { id } = useParams({ from: '/app/contacts/$id' });
  const may = useMay('admin');
  const mayWrite = useMay('agent');
  const sentence = useSentence();
  const query = useQuery({
    queryKey: ['contacts', 'one', id],
    queryFn: async ({ signal }) => (await api('get', PATH, { params: { id }, signal })).data,
  });
  const talks = useQuery({
    queryKey: ['conversations', 'of', query.data?.phone ?? ''], enabled: Boolean(query.data?.phone),
    queryFn: async ({ signal }) => (await api('get', '/api/v1/conversations', { query: { q: query.data?.phone ?? '', limit: 10 }, signal })).data,
  }).data?.filter((one) => one.contact.id === id) ?? [];
  const take = () => raw('get', address(`${PATH}/export`, { id })).then((response) => saveAs(response, `${id}.json`)).catch((error: unknown) => notifications.show({ color: 'red', message: sentence(error) }));
  return (
    <Loaded query={query} rows={7}>{(contact) => (
      <Page title={contact.name ?? (contact.phone ? `+${contact.phone}` : t('contact.nameless'))} actions={may && <><Button variant="default" leftSection={<IconDownload size={16} />} onClick={() => void take()}>{t('contact.export')}</Button><Erase id={id} /></>}>
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          <Stack>
            <Box className="panel" p="md">
              <Title order={2} mb="sm">{t('contact.who')}</Title>
              <Stack gap={6}>
                {contact.phone && <Text size="sm"><Phone of={contact.phone} /></Text>}
                <Text size="sm" c="dimmed">{t('contact.since')} {time(contact.createdAt, { dateStyle: 'medium' })}</Text>
                {contact.aliases.filter(({ value }) => value !== contact.phone).map((alias) => <Text size="xs" c="dimmed" key={`${alias.kind}-${alias.value}`} className="break">{alias.kind} <Code>{alias.value}</Code></Text>)}
                {contact.threads.map((thread) => thread.optedOutAt && <Text size="sm" key={thread.id}>{t('contact.optedOut')} <Ago at={thread.optedOutAt} /></Text>)}
              </Stack>
              {mayWrite && contact.threads.length > 0 && <Group mt="sm"><Silence id={id} silent={contact.threads.some((thread) => thread.optedOutAt)} /></Group>}
              {talks.length > 0 && <Group mt="sm" gap="xs">{talks.map((one) => <LinkButton key={one.id} to="/conversations/$id" params={{ id: one.id }} size="xs" variant="light">{t('failures.conversation')}{talks.length > 1 ? ` · ${one.chatbotId}` : ''}</LinkButton>)}</Group>}
            </Box>
            {mayWrite && contact.phone && <Write phone={contact.phone} />}
          </Stack>
          <Timeline id={id} />
        </SimpleGrid>
      </Page>
    )}</Loaded>
  );
}
