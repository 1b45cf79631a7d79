// Ordinary numbers, linked like WhatsApp Web: scan, watch it connect, send a first message.
import { Alert, Anchor, Badge, Box, Breadcrumbs, Button, Center, Group, Loader, Modal, Select, SimpleGrid, Stack, Text, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconBrandWhatsapp, IconCircleCheckFilled, IconPlus } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/client';
import { unlessLive } from '../../api/live';
import { useMay } from '../../app/session';
import { useSpeech } from '../../i18n';
import { Ago, Page, Phone, State } from '../../ui/common';
import { ErrorNote, useSentence } from '../../ui/error-note';
import { useForm } from '../../ui/form';
import { Empty, Loaded } from '../../ui/states';
import { chatbotsQuery } from '../chatbots/data';
import { Fate } from '../numbers/test-message';
import { SESSION, sessionsQuery, useSession, type Session } from './data';
import { Pairing } from './pairing';

type Command = 'start' | 'stop' | 'restart' | 'logout' | 'delete';

function useCommand(session: Session) {
  const client = useQueryClient();
  const sentence = useSentence();
  return useMutation({
    mutationFn: (command: Command) => (command === 'delete'
      ? api('delete', SESSION, { params: { name: session.name } })
      : api('post', `${SESSION}/${command}`, { params: { name: session.name } })),
    onSuccess: ({ data }, command) => {
      if (command !== 'delete') client.setQueryData(['session', session.name], data);
      void client.invalidateQueries({ queryKey: ['sessions'] });
    },
    onError: (error) => notifications.show({ color: 'red', message: sentence(error) }),
  });
}

/** A session's reason in the reader's language; the server's words where we have none. */
function useWords() {
  const { t, known } = useSpeech();
  return ({ reason, sentence, advice }: Session) => {
    const [why, what] = [`session.${reason}`, `session.${reason}.do`];
    return { sentence: known(why) ? t(why) : sentence, advice: known(what) ? t(what) : known(why) ? '' : advice };
  };
}

function TestMessage({ session }: { session: Session }) {
  const { t } = useSpeech();
  const form = useForm({ to: '', message: t('test.words') });
  const [sent, setSent] = useState<string | null>(null);
  const send = () => form.submit(async () => {
    const body = { to: form.values.to.replace(/[\s()-]/g, ''), message: form.values.message };
    const answer = await api('post', `${SESSION}/messages`, { params: { name: session.name }, body, idempotencyKey: crypto.randomUUID() });
    setSent(answer.data.id);
  });
  return (
    <Box className="panel" p="md">
      <Title order={2} mb={4}>{t('connect.test')}</Title>
      <Text size="sm" c="dimmed" mb="sm">{t('connect.testText')}</Text>
      <form onSubmit={(event) => { event.preventDefault(); void send(); }}>
        <Stack gap="sm">
          <TextInput label={t('test.to')} type="tel" required placeholder="+34 600 000 000" value={form.values.to} error={form.error('to')} onChange={(e) => form.set('to', e.currentTarget.value)} classNames={{ input: 'ltr' }} />
          <TextInput label={t('test.message')} required value={form.values.message} error={form.error('message')} onChange={(e) => form.set('message', e.currentTarget.value)} />
          {form.problem !== null && <ErrorNote error={form.problem} />}
          <Group justify="space-between"><Button type="submit" variant="light" loading={form.busy}>{t('test.send')}</Button>{sent !== null && <Fate id={sent} />}</Group>
        </Stack>
      </form>
    </Box>
  );
}

function Connected({ session }: { session: Session }) {
  const { t, number } = useSpeech();
  return (
    <Stack align="center" gap={6} py="md" className="moment">
      <IconCircleCheckFilled size={72} color="var(--mantine-color-brand-6)" aria-hidden />
      <Title order={2} size="h2">{t('connect.connected')}</Title>
      {session.phone && <Text>{t('connect.phoneIs')} <b><Phone of={session.phone} /></b></Text>}
      {session.pushName && <Text c="dimmed" size="sm"><bdi>{session.pushName}</bdi></Text>}
      {session.connectedAt && <Text c="dimmed" size="sm">{t('connect.since')} <Ago at={session.connectedAt} /></Text>}
      <Text c="dimmed" size="xs">{t('connect.today', { sent: number(session.queue.sentToday), cap: number(session.queue.capToday) })}</Text>
      {session.warning && <Alert color="yellow" variant="light" mt="xs">{t('connect.ages', { count: session.ageDays ?? 27 })}</Alert>}
    </Stack>
  );
}

function One({ name }: { name: string }) {
  const { t } = useSpeech();
  const may = useMay('admin');
  const mayWrite = useMay('agent');
  const query = useSession(name);
  return (
    <Loaded query={query} rows={8}>{(session) => (
      <SimpleGrid cols={{ base: 1, md: session.state === 'connected' && mayWrite ? 2 : 1 }} spacing="md">
        <Box className="panel" p="md">
          <Group justify="space-between" mb="sm">
            <Group gap="xs"><Title order={2}><bdi>{session.name}</bdi></Title>{session.isDefault && <Badge className="badge" variant="light" color="gray" tt="none">{t('connect.default')}</Badge>}</Group>
            <State of={session.state} />
          </Group>
          <Body session={session} may={may} />
          {session.linkedAt && <Group justify="center" mt="xs"><Anchor component={Link} to={`/whatsapp-connect/${session.name}/pace`} size="sm">{t('pace.title')}</Anchor></Group>}
          {may && <Commands session={session} />}
        </Box>
        {session.state === 'connected' && mayWrite && <TestMessage session={session} />}
      </SimpleGrid>
    )}</Loaded>
  );
}

function Body({ session, may }: { session: Session; may: boolean }) {
  const { t } = useSpeech();
  const words = useWords()(session);
  const waiting = session.queue.answers + session.queue.started;
  if (session.state === 'connected') return <div role="status"><Connected session={session} /></div>;
  if (session.state === 'pairing') return <Pairing session={session} mayPair={may} />;
  if (session.state === 'connecting') {
    return session.qr
      ? <Pairing session={session} mayPair={may} />
      : <Center mih={280} role="status"><Stack align="center" gap="xs"><Loader /><Text fw={600}>{words.sentence}</Text></Stack></Center>;
  }
  const color = session.state === 'disconnected' || session.state === 'expired' ? 'yellow' : 'red';
  return (
    <Stack gap="sm" py="md">
      <Alert color={color} variant="light" title={words.sentence} role="status">
        {words.advice && <Text size="sm">{words.advice}</Text>}
        {session.detail && <Text size="xs" c="dimmed" className="break" mt={4}>{session.detail}</Text>}
      </Alert>
      {waiting > 0 && <Text size="sm" c="dimmed">{t('connect.waiting', { count: waiting })}</Text>}
    </Stack>
  );
}

function Commands({ session }: { session: Session }) {
  const { t } = useSpeech();
  const command = useCommand(session);
  const [sure, setSure] = useState<Command | null>(null);
  const navigate = useNavigate();
  const run = async (what: Command) => {
    setSure(null);
    await command.mutateAsync(what).catch(() => {});
    if (what === 'delete') await navigate({ to: '/whatsapp-connect', search: {} });
  };
  const rests = ['disconnected', 'logged_out', 'expired', 'failed'].includes(session.state);
  return (
    <Group mt="md" gap="xs" justify="center">
      {rests && <Button loading={command.isPending} onClick={() => void run('start')}>{session.state === 'expired' || session.state === 'logged_out' ? t('connect.newCode') : t('connect.reconnect')}</Button>}
      {session.state === 'connected' && <Button color="red" variant="light" loading={command.isPending} onClick={() => setSure('logout')}>{t('connect.disconnect')}</Button>}
      {session.state === 'connected' && <Button variant="default" loading={command.isPending} onClick={() => void run('stop')}>{t('connect.stop')}</Button>}
      {(session.state === 'connecting' || session.state === 'pairing') && <Button variant="default" loading={command.isPending} onClick={() => void run('stop')}>{t('action.cancel')}</Button>}
      {rests && <Button variant="subtle" color="red" onClick={() => setSure('delete')}>{t('connect.remove')}</Button>}
      <Modal opened={sure !== null} onClose={() => setSure(null)} title={sure === 'delete' ? t('connect.removeTitle') : t('connect.disconnectTitle')} centered>
        <Text size="sm">{sure === 'delete' ? t('connect.removeText') : t('connect.disconnectText')}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => setSure(null)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => sure && void run(sure)}>{sure === 'delete' ? t('connect.remove') : t('connect.disconnect')}</Button>
        </Group>
      </Modal>
    </Group>
  );
}

function New({ onMade, first }: { onMade: (name: string) => void; first: boolean }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const chatbots = useQuery(chatbotsQuery).data ?? [];
  const form = useForm<{ chatbotId: string | null; name: string }>({ chatbotId: null, name: '' });
  const make = () => form.submit(async () => {
    const { chatbotId, name } = form.values;
    const body = { ...(chatbotId ? { chatbotId } : {}), ...(name.trim() ? { name: name.trim() } : {}) };
    const answer = await api('post', '/api/v1/sessions', { body });
    client.setQueryData(['session', answer.data.name], answer.data);
    await client.invalidateQueries({ queryKey: ['sessions'] });
    onMade(answer.data.name);
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void make(); }}>
      <Stack gap="sm" maw={420} mx="auto">
        {chatbots.length > 0 && <Select label={t('connect.who')} description={t('connect.whoText')} clearable data={chatbots.map((bot) => ({ value: bot.id, label: bot.name }))} value={form.values.chatbotId} error={form.error('chatbotId')} onChange={(id) => form.set('chatbotId', id)} />}
        {!first && <TextInput label={t('connect.name')} description={t('connect.nameText')} value={form.values.name} error={form.error('name')} onChange={(e) => form.set('name', e.currentTarget.value)} />}
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Button type="submit" size="md" loading={form.busy} leftSection={<IconBrandWhatsapp size={20} />}>{t('connect.connect')}</Button>
      </Stack>
    </form>
  );
}

export function WhatsappConnect() {
  const { t } = useSpeech();
  const may = useMay('admin');
  const search = useSearch({ from: '/app/whatsapp-connect' });
  const navigate = useNavigate();
  const [adding, setAdding] = useState(false);
  const query = useQuery({ ...sessionsQuery, refetchInterval: unlessLive(5000) });
  const open = (session: string) => void navigate({ to: '/whatsapp-connect', search: { session }, replace: true });
  return (
    <Page
      title={t('connect.title')} text={t('connect.text')}
      actions={may && (query.data?.length ?? 0) > 0 ? <Button variant="default" leftSection={<IconPlus size={17} />} onClick={() => setAdding(true)}>{t('connect.another')}</Button> : undefined}
    >
      <Breadcrumbs mb="md" mt={-8} fz="sm" separatorMargin={6}>
        <Anchor component={Link} to="/settings" size="sm">{t('nav.settings')}</Anchor>
        <Anchor component={Link} to="/numbers" size="sm">{t('nav.numbers')}</Anchor>
        <Text size="sm">{t('connect.title')}</Text>
      </Breadcrumbs>
      <Alert color="yellow" variant="light" mb="md" p="xs"><Text size="sm">{t('connect.risk')}</Text></Alert>
      <Loaded query={query} rows={8}>{(sessions) => {
        const chosen = sessions.find((one) => one.name === search.session || one.id === search.session) ?? sessions.find((one) => one.isDefault) ?? sessions[0];
        if (chosen === undefined) {
          return may
            ? <Box className="panel" p="xl"><Stack gap="md" align="center"><IconBrandWhatsapp size={48} stroke={1.2} aria-hidden /><Text ta="center" c="dimmed">{t('connect.first')}</Text></Stack><Box mt="md"><New first onMade={open} /></Box></Box>
            : <Empty icon={<IconBrandWhatsapp size={40} stroke={1.2} />} title={t('connect.none')} text={t('connect.notYours')} />;
        }
        return (
          <Stack gap="md">
            {sessions.length > 1 && (
              <Group gap="xs" role="group" aria-label={t('connect.which')}>
                {sessions.map((one) => (
                  <Button key={one.name} size="xs" variant={one.name === chosen.name ? 'light' : 'default'} aria-pressed={one.name === chosen.name} onClick={() => open(one.name)} rightSection={<State of={one.state} size="xs" />}>
                    <bdi>{one.phone ? `+${one.phone}` : one.name}</bdi>
                  </Button>
                ))}
              </Group>
            )}
            <One key={chosen.name} name={chosen.name} />
          </Stack>
        );
      }}</Loaded>
      <Modal opened={adding} onClose={() => setAdding(false)} title={t('connect.another')} centered>
        <New first={false} onMade={(name) => { setAdding(false); open(name); }} />
      </Modal>
    </Page>
  );
}
