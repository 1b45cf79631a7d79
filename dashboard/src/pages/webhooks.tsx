// Where the tenant's own systems hear of what happens: endpoints, their secrets, and what each made of it.
import { Alert, Badge, Box, Button, Group, Modal, MultiSelect, Stack, Text, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconPlus, IconWebhook } from '@tabler/icons-react';
import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client';
import type { Endpoint } from '../api/types';
import { useSpeech } from '../i18n';
import { Ago, Copyable, Page, State } from '../ui/common';
import { ErrorNote, useSentence } from '../ui/error-note';
import { useForm } from '../ui/form';
import { Empty, Loaded } from '../ui/states';

const TYPES = ['message.received', 'message.sent', 'message.status', 'account.status', 'turn.dead'];

function New({ onMade }: { onMade: (secret: string) => void }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const form = useForm<{ url: string; types: string[] }>({ url: '', types: [] });
  const submit = () => form.submit(async () => {
    const { data } = await api('post', '/api/v1/event-endpoints', { body: form.values as never });
    void client.invalidateQueries({ queryKey: ['endpoints'] });
    onMade(data.secret);
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <Stack gap="sm">
        <TextInput data-autofocus label={t('hooks.url')} type="url" required placeholder="https://example.com/events" value={form.values.url} error={form.error('url')} onChange={(e) => form.set('url', e.currentTarget.value)} classNames={{ input: 'ltr' }} />
        <MultiSelect label={t('hooks.types')} description={t('hooks.typesText')} data={TYPES} value={form.values.types} error={form.error('types')} onChange={(types) => form.set('types', types)} />
        {form.problem !== null && <ErrorNote error={form.problem} />}
        <Group justify="flex-end"><Button type="submit" loading={form.busy}>{t('hooks.make')}</Button></Group>
      </Stack>
    </form>
  );
}

function Told() {
  const { t } = useSpeech();
  const sentence = useSentence();
  const client = useQueryClient();
  const query = useInfiniteQuery({
    queryKey: ['event-deliveries'], initialPageParam: '', refetchInterval: 5000,
    queryFn: ({ pageParam, signal }) => api('get', '/api/v1/event-deliveries', { query: { cursor: pageParam, limit: 30 }, signal }),
    getNextPageParam: (page) => page.nextCursor,
  });
  const again = async (id: string) => {
    try {
      await api('post', '/api/v1/event-deliveries/{id}/retry', { params: { id } });
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
    await client.invalidateQueries({ queryKey: ['event-deliveries'] });
  };
  const rows = query.data?.pages.flatMap((page) => page.data) ?? [];
  if (rows.length === 0) return null;
  return (
    <Box>
      <Title order={2} mb="xs">{t('hooks.told')}</Title>
      <Box className="panel rows">
        {rows.map((row) => (
          <Group key={row.id} p="xs" px="md" justify="space-between" gap="sm">
            <Group gap="xs"><State of={row.status} size="sm" /><Text size="sm">{row.type}</Text><Text size="xs" c="dimmed"><Ago at={row.createdAt} /></Text></Group>
            <Group gap="xs">
              <Text size="xs" c="dimmed">{[row.responseStatus, row.reason].filter(Boolean).join(' · ')} · {t('failures.tries', { count: row.attempts })}</Text>
              {row.status === 'dead' && <Button size="compact-xs" variant="default" onClick={() => void again(row.id)}>{t('action.retry')}</Button>}
            </Group>
          </Group>
        ))}
      </Box>
      {query.hasNextPage && <Button variant="subtle" fullWidth mt="sm" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t('action.more')}</Button>}
    </Box>
  );
}

export function Webhooks() {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const query = useQuery({
    queryKey: ['endpoints'],
    queryFn: async ({ signal }) => (await api('get', '/api/v1/event-endpoints', { signal })).data,
  });
  const attempt = async (action: () => Promise<unknown>) => {
    try {
      await action();
    } catch (error) {
      notifications.show({ color: 'red', message: sentence(error) });
    }
    await client.invalidateQueries({ queryKey: ['endpoints'] });
  };
  const row = (endpoint: Endpoint) => {
    const params = { id: endpoint.id };
    return (
      <Group key={endpoint.id} p="sm" px="md" justify="space-between" gap="sm">
        <Box miw={0} flex={1}>
          <Group gap="xs"><Text fw={600} size="sm" className="ltr break">{endpoint.url}</Text>{endpoint.disabled && <Badge className="badge" color="yellow" variant="light" tt="none">{t('state.inactive')}</Badge>}</Group>
          <Text size="xs" c="dimmed" className="break">{endpoint.types.length === 0 ? t('hooks.everything') : endpoint.types.join(', ')}</Text>
          {endpoint.failingSince && <Text size="xs" c="var(--mantine-color-error)">{t('hooks.failing')} <Ago at={endpoint.failingSince} /></Text>}
        </Box>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => void attempt(async () => setSecret((await api('post', '/api/v1/event-endpoints/{id}/rotate-secret', { params })).data.secret))}>{t('hooks.rotate')}</Button>
          <Button size="xs" variant="default" onClick={() => void attempt(() => api('patch', '/api/v1/event-endpoints/{id}', { params, body: { disabled: !endpoint.disabled } as never }))}>{endpoint.disabled ? t('number.resume') : t('number.suspend')}</Button>
          <Button size="xs" variant="subtle" color="red" onClick={() => void attempt(() => api('delete', '/api/v1/event-endpoints/{id}', { params }))}>{t('team.remove')}</Button>
        </Group>
      </Group>
    );
  };
  const make = <Button leftSection={<IconPlus size={17} />} onClick={() => setMaking(true)}>{t('hooks.make')}</Button>;
  return (
    <Page title={t('nav.webhooks')} text={t('hooks.text')} actions={make}>
      <Stack gap="lg">
        <Loaded query={query}>{(endpoints) => (endpoints.length === 0
          ? <Empty icon={<IconWebhook size={40} stroke={1.2} />} title={t('hooks.none')} text={t('hooks.noneText')} action={make} />
          : <Box className="panel rows">{endpoints.map(row)}</Box>)}</Loaded>
        <Told />
      </Stack>
      <Modal opened={making} onClose={() => setMaking(false)} title={t('hooks.make')} centered><New onMade={(made) => { setMaking(false); setSecret(made); }} /></Modal>
      <Modal opened={secret !== null} onClose={() => setSecret(null)} title={t('hooks.secretTitle')} centered closeOnClickOutside={false}>
        <Stack gap="sm">
          <Alert color="yellow" variant="light">{t('keys.once')}</Alert>
          <Copyable label={t('hooks.secret')} value={secret ?? ''} secret />
          <Group justify="flex-end"><Button onClick={() => setSecret(null)}>{t('action.done')}</Button></Group>
        </Stack>
      </Modal>
    </Page>
  );
}
